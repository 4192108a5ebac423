"""Parts of the miner's work by command: some stages, stages anew, conditions sent back, as many as it takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from prompt_bank.recording.store import load
from prompt_bank.schema import Bank
from tests.condition_miner.server import Handler, Server, completion, good, status
from tests.condition_miner.shell import Done, Shell

DESCRIBE, EXPLAIN, ABSTRACT, ATTRIBUTE = 4, 3, 5, 2
"""Requests of each stage at these settings."""


def bank(here: Shell) -> Bank:
    return load(here.folder / "bank.json").bank


def name(body: dict[str, Any]) -> str:
    """Of the message that a request sends."""
    return str(body["response_format"]["json_schema"]["name"])


def sent(server: Server) -> dict[str, int]:
    """Requests since the last call, by message."""
    counted: dict[str, int] = {}
    for body in server.bodies:
        counted[name(body)] = counted.get(name(body), 0) + 1
    server.bodies.clear()
    return counted


def fine(done: Done) -> Done:
    assert done.code == 0, done.err
    return done


class TestStages:
    def test_later_stages_are_left_out(self, here: Shell, server: Server) -> None:
        fine(here.mine(server, "--stages", "describe,explain"))
        assert sent(server) == {"describe": DESCRIBE, "explain": EXPLAIN}
        part = bank(here)
        assert (part.conditions, len(part.captions)) == ((), 8)
        assert all(len(caption.factors) == 2 for caption in part.captions)
        assert part.provenance.parameters["stages"] == ["describe", "explain"]
        fine(here.mine(server))
        assert sent(server) == {"abstract": ABSTRACT, "attribute": ATTRIBUTE}
        assert len(bank(here).conditions) == 3

    def test_earlier_stages_come_from_the_cache_alone(self, here: Shell, server: Server) -> None:
        done = here.mine(server, "--stages", "explain")
        assert done.code == 1
        assert "the cache lacks 4 of 4 answers of stage describe" in done.err
        assert server.bodies == []
        fine(here.mine(server, "--stages", "describe"))
        fine(here.mine(server, "--stages", "explain"))
        assert sent(server) == {"describe": DESCRIBE, "explain": EXPLAIN}

    @pytest.mark.parametrize("words", [("--stages", "desrcibe"), ("--from-stage", "desrcibe"), ("--conditions", "all")])
    def test_what_there_is_not(self, here: Shell, server: Server, words: tuple[str, str]) -> None:
        done = here.mine(server, *words)
        assert done.code == 2
        assert "desrcibe" in done.err or "--conditions" in done.err
        assert server.bodies == []


class TestFromStage:
    def test_it_is_asked_anew_and_stays_so(self, here: Shell, server: Server) -> None:
        fine(here.mine(server))
        sent(server)
        fine(here.mine(server, "--from-stage", "abstract"))
        seeds = {body["seed"] for body in server.bodies}
        assert sent(server) == {"abstract": ABSTRACT, "attribute": ATTRIBUTE}
        assert min(seeds) >= 1_000_000
        assert bank(here).provenance.parameters["takes"] == {"abstract": 1, "attribute": 1}
        again = bank(here)
        fine(here.mine(server))
        assert sent(server) == {}, "mining again goes on with the same takes"
        assert bank(here).provenance == again.provenance
        fine(here.mine(server, "--from-stage", "attribute"))
        assert sent(server) == {"attribute": ATTRIBUTE}
        assert bank(here).provenance.parameters["takes"] == {"abstract": 1, "attribute": 2}

    def test_a_failure_does_not_begin_yet_another_take(self, here: Shell, server: Server) -> None:
        fine(here.mine(server))
        sent(server)
        server.faults = [status(401)]
        assert here.mine(server, "--from-stage", "abstract", "--concurrency", "1").code == 1
        assert sent(server) == {"abstract": 1}
        fine(here.mine(server, "--from-stage", "abstract"))
        assert sent(server) == {"abstract": ABSTRACT, "attribute": ATTRIBUTE}
        assert bank(here).provenance.parameters["takes"] == {"abstract": 1, "attribute": 1}

    def test_takes_that_make_no_sense(self, here: Shell, server: Server) -> None:
        fine(here.mine(server))
        path = here.folder / "bank.json"
        content = json.loads(path.read_text())
        content["provenance"]["parameters"]["takes"] = {"abstract": -1}
        path.write_text(json.dumps(content, indent=2))
        done = here.mine(server)
        assert done.code == 2
        assert "provenance.parameters.takes" in done.err


class TestConditions:
    def test_auto_takes_as_few_as_explain_enough(self, here: Shell, server: Server) -> None:
        """Location explains all captions; so does weather, which comes later."""
        fine(here.mine(server, "--conditions", "auto"))
        assert [c.text for c in bank(here).conditions] == ["location"]
        asked = [body for body in server.bodies if name(body) == "abstract"]
        assert all("exactly 10" in body["messages"][1]["content"] for body in asked)

    def test_auto_says_what_cannot_be_explained(self, here: Shell, server: Server) -> None:
        def answer(handler: Handler, body: dict[str, Any]) -> None:
            given = good(body)
            if name(body) == "explain":
                entries = json.loads(given)
                entries["1"]["factors"] = [{"words": "under the sea", "factor": "location"}]
                given = json.dumps(entries)
            handler.send(completion(given))

        server.always = answer
        done = fine(here.mine(server, "--conditions", "auto"))
        assert "all conditions together explain 62% of the captions, not 95%" in done.err
        assert [len(c.factors) for c in bank(here).captions] == [0, 2, 2, 0, 2, 2, 0, 2]

    def test_a_name_that_says_nothing_is_sent_back(self, here: Shell, server: Server) -> None:
        server.always = empty_words({"location": "context"})
        fine(here.mine(server))
        asked = [body for body in server.bodies if name(body) == "refine"]
        assert len(asked) == 1
        assert "says nothing by itself" in asked[0]["messages"][1]["content"]
        assert [c.text for c in bank(here).conditions] == ["camera height", "weather", "time of day"]

    def test_it_is_dropped_in_the_end(self, here: Shell, server: Server) -> None:
        server.always = empty_words({"location": "context", "camera height": "overall state"})
        fine(here.mine(server))
        reasons = [b["messages"][1]["content"] for b in server.bodies if name(b) == "refine"]
        assert len(reasons) == 2
        assert "'overall state' says nothing" in reasons[1].replace("\\u0027", "'")
        assert [c.text for c in bank(here).conditions] == ["weather", "time of day"]


def empty_words(instead: dict[str, str]) -> Any:
    """A server that says one name in the place of another."""

    def answer(handler: Handler, body: dict[str, Any]) -> None:
        given = good(body)
        if name(body) in ("abstract", "refine"):
            for word, other in instead.items():
                given = given.replace(f'"name": "{word}"', f'"name": "{other}"')
        handler.send(completion(given))

    return answer


def test_forgotten_labels_are_asked_for_once_more(here: Shell, server: Server) -> None:
    """A caption has the labels that it names; what names none stays out where others name some."""

    def answer(handler: Handler, body: dict[str, Any]) -> None:
        given = good(body)
        if name(body) == "describe":
            objects = json.loads(body["messages"][1]["content"].split("<data>")[1].split("</data>")[0])["objects"]
            shown = " and ".join(objects[:1] if body["seed"] == 0 else objects)
            texts = [f"At dusk {shown} in place in the rain.", "An empty street in the rain."]
            given = json.dumps({"occasions": ["a", "b"], "descriptions": texts})
        handler.send(completion(given))

    server.always = answer
    fine(here.mine(server))
    assert sent(server)["describe"] == 2 * DESCRIBE
    captions = bank(here).captions
    assert len(captions) == 4
    assert all(len(caption.labels) >= 2 and "dusk" in caption.text for caption in captions)
