"""Unit tests of the concurrency limiter and the token budget."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condition_miner.asking.budget import Budget, BudgetExceeded
from condition_miner.asking.concurrency import ConcurrencyLimiter
from condition_miner.model.backend import Reply

TIMEOUT = 100.0


def test_additive_increase_multiplicative_decrease() -> None:
    """From 16 at once: 8 after an overload, 9 after a round of 8 answers (8 + 8·(1/8) or a little less)."""
    limiter = ConcurrencyLimiter(16, TIMEOUT)
    assert limiter.limit == 16
    limiter.overloaded(time.monotonic())
    assert limiter.limit == 8
    for _ in range(9):
        limiter.answered(time.monotonic())
    assert 9 <= limiter.limit < 9.1
    assert limiter.lowest == 8


def test_a_burst_of_refusals_counts_once() -> None:
    limiter = ConcurrencyLimiter(16, TIMEOUT)
    left = time.monotonic()
    for _ in range(16):
        limiter.overloaded(left)
    assert limiter.limit == 8


def test_a_slow_answer_is_a_sign_of_overload() -> None:
    limiter = ConcurrencyLimiter(16, TIMEOUT)
    limiter.answered(time.monotonic() - 0.4 * TIMEOUT)
    assert limiter.limit == 16
    limiter.answered(time.monotonic() - 0.6 * TIMEOUT)
    assert limiter.limit == 8


@given(events=st.lists(st.booleans(), max_size=60), most=st.integers(1, 64))
def test_the_limit_stays_between_one_and_the_highest(events: list[bool], most: int) -> None:
    limiter = ConcurrencyLimiter(most, TIMEOUT)
    for overloaded in events:
        (limiter.overloaded if overloaded else limiter.answered)(time.monotonic())
        assert 1 <= limiter.limit <= most


@pytest.mark.parametrize("cancelled", [0, 3])
def test_the_limit_is_respected_and_every_request_gets_its_turn(cancelled: int) -> None:
    """Also if waiting requests are cancelled."""

    async def run() -> tuple[int, int]:
        limiter, running, most, done = ConcurrencyLimiter(4, TIMEOUT), 0, 0, 0

        async def one() -> None:
            nonlocal running, most, done
            async with limiter:
                running += 1
                most = max(most, running)
                await asyncio.sleep(0)
                running -= 1
                done += 1

        tasks = [asyncio.create_task(one()) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks[10 : 10 + cancelled]:
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
        return most, done

    assert asyncio.run(run()) == (4, 20 - cancelled)


BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "x" * 400}], "max_tokens": 100}


@given(most=st.integers(1, 3000), costs=st.lists(st.tuples(st.integers(1, 110), st.integers(1, 100)), max_size=30))
def test_a_budget_is_never_exceeded(most: int, costs: list[tuple[int, int]]) -> None:
    """Five concurrent requests, each of which uses at most what it reserved."""

    async def run() -> int:
        budget, queue = Budget(most), list(costs)

        async def worker() -> None:
            while queue:
                into, out = queue.pop()
                try:
                    async with budget.reserved(BODY):
                        await asyncio.sleep(0)
                        budget.spend(BODY, Reply("", "stop", into, out))
                except BudgetExceeded:
                    return

        await asyncio.wait_for(asyncio.gather(*[worker() for _ in range(5)]), 30)
        return budget.spent

    assert asyncio.run(run()) <= most


def test_tokens_are_estimated_where_the_server_does_not_count() -> None:
    budget = Budget(None)
    budget.spend(BODY, Reply("y" * 40, "stop", 0, 0))
    assert (budget.spent_in, budget.spent_out) == (108, 10)
