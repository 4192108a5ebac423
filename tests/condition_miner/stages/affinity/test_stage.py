"""Stage affinities against the scripted server: which way it asks, what it finds, and what people set stays."""

from __future__ import annotations

import json

import pytest

from prompt_bank.dependencies.predicting import derive_dependencies
from prompt_bank.recording.store import load
from prompt_bank.schema import Bank
from tests.condition_miner.server import Server, status
from tests.condition_miner.shell import Shell

ALONE = ("--stages", "affinities")
LABELS = ["cat", "sofa", "person", "bus"]


def mined(shell: Shell) -> Bank:
    return load(shell.folder / "bank.json").bank


def told(bank: Bank) -> list[tuple[str, str]]:
    """The two pairs that are tied most: cat and sofa are in houses, person and bus in streets."""
    return [(a, b) for a, b, _ in derive_dependencies(bank).pairs()[:2]]


def test_affinities_alone_need_no_captions(shell: Shell, server: Server) -> None:
    done = shell.mine(server, *ALONE, "--about", "small pictures")
    assert done.code == 0, done.err
    bank = mined(shell)
    assert [c.text for c in bank.conditions] == ["place", "occasion", "activity", "ground", "theme"]
    assert set(told(bank)) == {("cat", "sofa"), ("person", "bus")}
    assert server.bodies == server.probes == [] and bank.captions == ()
    place = bank.conditions[0]
    assert place.affinity and list(place.affinity.rows) == LABELS
    (asked,) = place.affinity.asked
    assert (asked.kind, asked.model, len(asked.wordings)) == ("next-token", "tiny", 2)
    assert bank.about == "small pictures" and bank.provenance.parameters["affinities"]["about"] == bank.about
    fronts = {body["prompt"].split(" This one")[0] for body in server.prompts[1:]}
    assert len(fronts) == 3 and all(front.startswith("From a collection of small pictures,") for front in fronts)


def test_the_same_command_sends_nothing_and_another_about_asks_again(shell: Shell, server: Server) -> None:
    shell.mine(server, *ALONE)
    count, before = len(server.prompts), mined(shell)
    assert "0 requests sent" in shell.mine(server, *ALONE).out
    assert len(server.prompts) == count and mined(shell) == before
    shell.mine(server, *ALONE, "--about", "chest X-rays")
    assert len(server.prompts) > count and mined(shell).about == "chest X-rays"
    again = len(server.prompts)
    assert "0 requests sent" in shell.mine(server, *ALONE).out, "the bank's own about is taken up"
    assert len(server.prompts) == again


def test_about_stands_in_every_chat(shell: Shell, server: Server) -> None:
    assert shell.mine(server, "--about", "chest X-rays").code == 0
    assert all('{"images": "chest X-rays"}' in body["messages"][0]["content"] for body in server.bodies)


def test_a_bank_keeps_its_captions_and_what_people_set(shell: Shell, server: Server) -> None:
    assert shell.mine(server, "--stages", "describe,explain,abstract,attribute,measure").code == 0
    before = mined(shell)
    assert [c.text for c in before.conditions] == ["location", "weather", "time of day"]
    assert shell.mine(server, *ALONE).code == 0
    after = mined(shell)
    assert after.captions == before.captions and after.dependencies == before.dependencies
    assert [c.text for c in after.conditions[:3]] == ["location", "weather", "time of day"]
    assert after.conditions[0].affinity and after.conditions[0].support == before.conditions[0].support
    assert "place" not in [c.text for c in after.conditions], "location is its home"
    own = after.provenance.parameters
    assert own["affinities"]["model"] == "tiny" and own["stages"] == before.provenance.parameters["stages"]
    assert after.provenance.requests == before.provenance.requests + own["affinities"]["requests"]
    path = shell.folder / "bank.json"
    content = json.loads(path.read_text())
    column = content["conditions"][0]["values"].index("house")
    content["conditions"][0]["affinity"]["rows"]["cat"][column] = -3.0
    path.write_text(json.dumps(content, indent=2))
    assert shell.mine(server, *ALONE, "--from-stage", "affinities").code == 0
    found = mined(shell).conditions[0]
    assert found.affinity and found.affinity.rows["cat"][column] == -3.0
    assert [(c.label, c.value) for c in found.affinity.corrected] == [("cat", "house")]


def test_a_new_condition_takes_the_words_that_the_bank_has_for_it(shell: Shell, server: Server) -> None:
    shell.mine(server, *ALONE)
    assert shell.run("bank", "rename", "bank.json", "place", "surroundings").code == 0
    assert shell.run("bank", "reject", "bank.json", "theme").code == 0
    assert shell.mine(server, *ALONE, "--seed", "1").code == 0
    texts = [(c.text, c.status) for c in mined(shell).conditions]
    proposed = [(text, "proposed") for text in ("surroundings", "occasion", "activity", "ground")]
    assert texts == [*proposed, ("theme", "rejected")]


def test_a_server_that_gives_twenty_tokens(shell: Shell, server: Server) -> None:
    """As vLLM does, unless it is started with --max-logprobs."""
    whole = server.completing
    server.completing = lambda handler, body: (status(400) if body["logprobs"] > 20 else whole)(handler, body)
    assert shell.mine(server, *ALONE).code == 0
    assert {body["logprobs"] for body in server.prompts[1:]} == {20, 1} and server.judged == []
    assert set(told(mined(shell))) == {("cat", "sofa"), ("person", "bus")}


@pytest.mark.parametrize("refusal", [404, 400])
def test_a_server_of_chats_alone_is_asked_by_yes_and_no(shell: Shell, server: Server, refusal: int) -> None:
    server.completing = status(refusal)
    done = shell.mine(server, *ALONE)
    assert done.code == 0, done.err
    assert "asked by yes or no" in done.err
    bank = mined(shell)
    assert set(told(bank)) == {("cat", "sofa"), ("person", "bus")}
    assert {reading.kind for c in bank.conditions if c.affinity for reading in c.affinity.asked} == {"yes-no"}
    values = [json.loads(b["messages"][1]["content"].split("<data>")[1].split("</data>")[0]) for b in server.judged[1:]]
    runs = [one for at, one in enumerate(values) if at == 0 or values[at - 1] != one]
    assert len(runs) <= 5 * 3 * 2, "questions of the same value follow each other, for the server's prefix cache"
    tried = len(server.prompts)
    assert "0 requests sent" in shell.mine(server, *ALONE).out
    assert len(server.prompts) == tried, "a refusal is remembered"


def test_a_server_without_probabilities_is_asked_for_lists(shell: Shell, server: Server) -> None:
    server.completing = server.judging = status(400)
    done = shell.mine(server, *ALONE)
    assert done.code == 0, done.err
    assert "asked for in words" in done.err
    bank = mined(shell)
    assert set(told(bank)) == {("cat", "sofa"), ("person", "bus")}
    assert {reading.kind for c in bank.conditions if c.affinity for reading in c.affinity.asked} == {"lists"}
    names = {body["response_format"]["json_schema"]["name"] for body in server.bodies}
    assert names == {"values", "listed"}
    shown = [
        json.loads(b["messages"][1]["content"].split("<data>")[1].split("</data>")[0])["answers"]
        for b in server.bodies
        if b["response_format"]["json_schema"]["name"] == "listed"
    ]
    assert len({tuple(values) for values in shown}) > 1, "in another order each time"


def test_a_server_that_is_down_is_not_taken_for_one_without_probabilities(shell: Shell, server: Server) -> None:
    server.completing = status(503)
    done = shell.mine(server, *ALONE, "--retries", "0")
    assert done.code == 1 and "503" in done.err and server.judged == []


def test_the_estimate_is_what_is_sent(shell: Shell, server: Server) -> None:
    plan = json.loads(shell.mine(server, *ALONE, "--model", "tiny", "--dry-run", "--json").out)["stages"]
    assert server.prompts == []
    assert shell.mine(server, *ALONE).code == 0
    sent = [body for body in server.prompts[1:] if body["logprobs"] > 1]
    assert [(stage["stage"], stage["exact"]) for stage in plan] == [("next-token", True), ("spelling", False)]
    assert plan[0]["requests"] == len(sent) == 3 * 6 * len(LABELS)
