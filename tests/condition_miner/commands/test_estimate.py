"""--dry-run: what it says is what is sent, and it sends nothing."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from condition_miner.asking.budget import tokens_in
from condition_miner.settings import STAGES
from tests.condition_miner.server import Server, text
from tests.condition_miner.shell import Shell

PRICES = ("--price-in", "1", "--price-out", "10")


def planned(here: Shell, server: Server, *words: str) -> Any:
    done = here.mine(server, "--model", "tiny", "--dry-run", "--json", *words)
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_nothing_is_sent_and_nothing_written(here: Shell, server: Server) -> None:
    plan = planned(here, server, *PRICES)
    assert server.bodies == server.probes == []
    assert not (here.folder / "bank.json").exists()
    assert (plan["stages"][0]["stage"], plan["stages"][0]["exact"]) == ("describe", True)
    assert plan["requests"] == sum(stage["requests"] for stage in plan["stages"])
    assert plan["price"] == pytest.approx((plan["tokens_in"] + 10 * plan["tokens_out"]) / 1e6)
    said = here.mine(server, "--model", "tiny", "--dry-run", *PRICES).out
    assert "describe" in said
    assert f"price {plan['price']:.4f}" in said


@pytest.mark.parametrize("words", [(), ("--combinations", "9", "--captions", "3"), ("--conditions", "auto")])
def test_the_plan_is_what_is_then_sent(here: Shell, server: Server, words: tuple[str, ...]) -> None:
    """Requests by stage, for the questions whose number doesn't depend on what the model says."""
    plan = {stage["stage"]: stage for stage in planned(here, server, *words)["stages"]}
    assert here.mine(server, *words).code == 0
    names = [body["response_format"]["json_schema"]["name"] for body in server.bodies]
    sent = Counter(names)
    assert plan["describe"]["requests"] == sent["describe"]
    # Equal questions are asked once, and the scripted server's descriptions are alike.
    assert plan["explain"]["requests"] >= sent["explain"] > 0
    assert sent["abstract"] <= plan["abstract"]["requests"] <= sent["abstract"] + 1
    measured = sum(tokens_in(body) for body, name in zip(server.bodies, names, strict=True) if name == "describe")
    assert plan["describe"]["tokens_in"] == measured
    for stage in ("explain", "abstract"):
        each = [tokens_in(body) for body, name in zip(server.bodies, names, strict=True) if name == stage]
        planned_each = plan[stage]["tokens_in"] / plan[stage]["requests"]
        assert planned_each == pytest.approx(sum(each) / len(each), rel=0.4), stage


def test_with_answers_in_the_cache_only_the_rest_is_planned(here: Shell, server: Server) -> None:
    server.faults = [text(None, refusal="no")] * 5
    assert here.mine(server, "--concurrency", "1").code == 1
    plan = planned(here, server)
    assert (plan["stages"][0]["stage"], plan["stages"][0]["requests"]) == ("describe", 1)
    assert here.mine(server, "--retry-failed").code == 0
    assert planned(here, server) == {"stages": [], "requests": 0, "tokens_in": 0, "tokens_out": 0, "price": None}
    assert "nothing would be sent" in here.mine(server, "--dry-run").out


def test_every_stage_that_sends_is_planned(here: Shell, server: Server) -> None:
    assert [stage["stage"] for stage in planned(here, server)["stages"]] == [s for s in STAGES if s != "measure"]


def test_prices_without_a_dry_run(here: Shell, server: Server) -> None:
    done = here.mine(server, *PRICES)
    assert done.code == 2
    assert "--dry-run" in done.err
