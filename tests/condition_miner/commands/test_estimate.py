"""--dry-run: estimates match what is sent later, and nothing is sent."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from condition_miner.asking.budget import estimate_prompt_tokens
from condition_miner.settings import STAGES
from tests.condition_miner.server import Server, text
from tests.condition_miner.shell import Shell

PRICES = ("--price-in", "1", "--price-out", "10")


def planned(shell: Shell, server: Server, *words: str) -> Any:
    done = shell.mine(server, "--model", "tiny", "--dry-run", "--json", *words)
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_nothing_is_sent_and_nothing_written(shell: Shell, server: Server) -> None:
    plan = planned(shell, server, *PRICES)
    assert server.bodies == server.probes == []
    assert not (shell.folder / "bank.json").exists()
    assert (plan["stages"][0]["stage"], plan["stages"][0]["exact"]) == ("describe", True)
    assert plan["requests"] == sum(stage["requests"] for stage in plan["stages"])
    assert plan["price"] == pytest.approx((plan["tokens_in"] + 10 * plan["tokens_out"]) / 1e6)
    said = shell.mine(server, "--model", "tiny", "--dry-run", *PRICES).out
    assert "describe" in said
    assert f"price {plan['price']:.4f}" in said


@pytest.mark.parametrize("words", [(), ("--combinations", "9", "--captions", "3"), ("--conditions", "auto")])
def test_estimates_match_what_is_sent(shell: Shell, server: Server, words: tuple[str, ...]) -> None:
    """Requests by stage, for stages whose number of questions does not depend on answers."""
    plan = {stage["stage"]: stage for stage in planned(shell, server, *words)["stages"]}
    assert shell.mine(server, *words).code == 0
    names = [body["response_format"]["json_schema"]["name"] for body in server.bodies]
    sent = Counter(names)
    assert plan["describe"]["requests"] == sent["describe"]
    # Equal questions are sent once, and some of the scripted server's descriptions are equal.
    assert plan["explain"]["requests"] >= sent["explain"] > 0
    assert sent["abstract"] <= plan["abstract"]["requests"] <= sent["abstract"] + 1
    measured = sum(
        estimate_prompt_tokens(body) for body, name in zip(server.bodies, names, strict=True) if name == "describe"
    )
    assert plan["describe"]["tokens_in"] == measured
    for stage in ("explain", "abstract"):
        each = [estimate_prompt_tokens(body) for body, name in zip(server.bodies, names, strict=True) if name == stage]
        planned_each = plan[stage]["tokens_in"] / plan[stage]["requests"]
        assert planned_each == pytest.approx(sum(each) / len(each), rel=0.4), stage


def test_only_missing_answers_are_estimated(shell: Shell, server: Server) -> None:
    server.faults = [text(None, refusal="no")] * 5
    assert shell.mine(server, "--concurrency", "1", "--max-failed", "0").code == 1
    plan = json.loads(shell.mine(server, "--dry-run", "--json", "--retry-failed").out)
    assert (plan["stages"][0]["stage"], plan["stages"][0]["requests"]) == ("describe", 1)
    assert shell.mine(server, "--retry-failed").code == 0
    assert planned(shell, server) == {"stages": [], "requests": 0, "tokens_in": 0, "tokens_out": 0, "price": None}
    assert "nothing would be sent" in shell.mine(server, "--dry-run").out


def test_every_stage_that_sends_is_estimated(shell: Shell, server: Server) -> None:
    assert [stage["stage"] for stage in planned(shell, server)["stages"]] == [s for s in STAGES if s != "measure"]


def test_costs_of_a_finished_run(shell: Shell, server: Server) -> None:
    """Of this run, and of all answers of the bank; the scripted server counts 10 tokens in and 5 out a chat."""
    done = json.loads(shell.mine(server, "--json", "--stages", "describe", *PRICES).out)
    chats = len(server.bodies)
    assert done["costs"]["bank"] == {
        "requests": chats,
        "tokens_in": 10 * chats,
        "tokens_out": 5 * chats,
        "price": pytest.approx(60 * chats / 1e6),
    }
    assert done["costs"]["this_run"]["requests"] == chats + len(server.probes)
    again = shell.mine(server, "--stages", "describe", *PRICES).out
    assert "this run: 0 requests, 0 tokens in, 0 out, price 0.0000" in again
    assert f"all answers of the bank: {chats} requests, {10 * chats} tokens in, {5 * chats} out" in again
    assert "price" not in shell.mine(server, "--stages", "describe").out
