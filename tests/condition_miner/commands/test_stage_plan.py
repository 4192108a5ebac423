"""--stages, --from-stage and --conditions auto; refinement of unusable names; repeated descriptions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from prompt_bank.recording.store import load
from prompt_bank.schema import Bank
from tests.condition_miner.server import Handler, Server, completion, good, status
from tests.condition_miner.shell import CommandResult, Shell

DESCRIBE, EXPLAIN, ABSTRACT, ATTRIBUTE = 4, 3, 5, 2
"""Requests of each stage with the test settings."""
ASKED = ["occasion", "activity", "ground", "theme"]
"""The conditions of stage affinities that the scripted model does not name itself."""


def bank(shell: Shell) -> Bank:
    return load(shell.folder / "bank.json").bank


def name(body: dict[str, Any]) -> str:
    """The name of a request's message."""
    return str(body["response_format"]["json_schema"]["name"])


def sent(server: Server) -> dict[str, int]:
    """Requests since the last call, by message."""
    counted: dict[str, int] = {}
    for body in server.bodies:
        counted[name(body)] = counted.get(name(body), 0) + 1
    server.bodies.clear()
    return counted


def fine(done: CommandResult) -> CommandResult:
    assert done.code == 0, done.err
    return done


class TestStages:
    def test_later_stages_are_left_out(self, shell: Shell, server: Server) -> None:
        fine(shell.mine(server, "--stages", "describe,explain"))
        assert sent(server) == {"describe": DESCRIBE, "explain": EXPLAIN}
        part = bank(shell)
        assert (part.conditions, len(part.captions)) == ((), 8)
        assert all(len(caption.factors) == 2 for caption in part.captions)
        assert part.provenance.parameters["stages"] == ["describe", "explain"]
        fine(shell.mine(server))
        assert sent(server) == {"abstract": ABSTRACT, "attribute": ATTRIBUTE}
        assert len(bank(shell).conditions) == 3 + len(ASKED)

    def test_earlier_stages_come_from_the_cache_alone(self, shell: Shell, server: Server) -> None:
        done = shell.mine(server, "--stages", "explain")
        assert done.code == 1
        assert "the cache lacks 4 of 4 answers of stage describe" in done.err
        assert server.bodies == []
        fine(shell.mine(server, "--stages", "describe"))
        fine(shell.mine(server, "--stages", "explain"))
        assert sent(server) == {"describe": DESCRIBE, "explain": EXPLAIN}

    @pytest.mark.parametrize("words", [("--stages", "desrcibe"), ("--from-stage", "desrcibe"), ("--conditions", "all")])
    def test_invalid_values(self, shell: Shell, server: Server, words: tuple[str, str]) -> None:
        done = shell.mine(server, *words)
        assert done.code == 2
        assert "desrcibe" in done.err or "--conditions" in done.err
        assert server.bodies == []


class TestFromStage:
    def test_the_new_take_is_kept(self, shell: Shell, server: Server) -> None:
        fine(shell.mine(server))
        sent(server)
        fine(shell.mine(server, "--from-stage", "abstract"))
        seeds = {body["seed"] for body in server.bodies}
        assert sent(server) == {"abstract": ABSTRACT, "attribute": ATTRIBUTE}
        assert min(seeds) >= 1_000_000
        assert bank(shell).provenance.parameters["takes"] == {"abstract": 1, "attribute": 1, "affinities": 1}
        again = bank(shell)
        fine(shell.mine(server))
        assert sent(server) == {}, "mining again uses the same takes"
        assert bank(shell).provenance == again.provenance
        fine(shell.mine(server, "--from-stage", "attribute"))
        assert sent(server) == {"attribute": ATTRIBUTE}
        assert bank(shell).provenance.parameters["takes"] == {"abstract": 1, "attribute": 2, "affinities": 2}

    def test_a_failed_run_begins_no_further_take(self, shell: Shell, server: Server) -> None:
        fine(shell.mine(server))
        sent(server)
        server.faults = [status(401)]
        assert shell.mine(server, "--from-stage", "abstract", "--concurrency", "1").code == 1
        assert sent(server) == {"abstract": 1}
        fine(shell.mine(server, "--from-stage", "abstract"))
        assert sent(server) == {"abstract": ABSTRACT, "attribute": ATTRIBUTE}
        assert bank(shell).provenance.parameters["takes"] == {"abstract": 1, "attribute": 1, "affinities": 1}

    def test_invalid_takes(self, shell: Shell, server: Server) -> None:
        fine(shell.mine(server))
        path = shell.folder / "bank.json"
        content = json.loads(path.read_text())
        content["provenance"]["parameters"]["takes"] = {"abstract": -1}
        path.write_text(json.dumps(content, indent=2))
        done = shell.mine(server)
        assert done.code == 2
        assert "provenance.parameters.takes" in done.err


class TestConditions:
    def test_auto_selects_the_smallest_set_that_explains_enough(self, shell: Shell, server: Server) -> None:
        """Location explains all captions; so does weather, which comes later."""
        fine(shell.mine(server, "--conditions", "auto"))
        assert [c.text for c in bank(shell).conditions] == ["location", *ASKED]
        asked = [body for body in server.bodies if name(body) == "abstract"]
        assert all("exactly 10" in body["messages"][1]["content"] for body in asked)

    def test_auto_reports_unexplained_captions(self, shell: Shell, server: Server) -> None:
        def answer(handler: Handler, body: dict[str, Any]) -> None:
            given = good(body)
            if name(body) == "explain":
                entries = json.loads(given)
                entries["1"]["factors"] = [{"words": "under the sea", "factor": "location"}]
                given = json.dumps(entries)
            handler.send(completion(given))

        server.always = answer
        done = fine(shell.mine(server, "--conditions", "auto"))
        assert "all conditions together explain 62% of the captions, not 95%" in done.err
        assert [len(c.factors) for c in bank(shell).captions] == [0, 2, 2, 0, 2, 2, 0, 2]

    def test_an_unusable_name_is_refined(self, shell: Shell, server: Server) -> None:
        server.always = replaced_names({"location": "context"})
        fine(shell.mine(server))
        asked = [body for body in server.bodies if name(body) == "refine"]
        assert len(asked) == 1
        assert "says nothing by itself" in asked[0]["messages"][1]["content"]
        assert [c.text for c in bank(shell).conditions] == ["camera height", "weather", "time of day", "place", *ASKED]

    def test_a_name_that_stays_unusable_is_dropped(self, shell: Shell, server: Server) -> None:
        server.always = replaced_names({"location": "context", "camera height": "overall state"})
        fine(shell.mine(server))
        reasons = [b["messages"][1]["content"] for b in server.bodies if name(b) == "refine"]
        assert len(reasons) == 2
        assert "'overall state' says nothing" in reasons[1].replace("\\u0027", "'")
        assert [c.text for c in bank(shell).conditions] == ["weather", "time of day", "place", *ASKED]


def replaced_names(instead: dict[str, str]) -> Any:
    """A server that replaces condition names."""

    def answer(handler: Handler, body: dict[str, Any]) -> None:
        given = good(body)
        if name(body) in ("abstract", "refine"):
            for word, other in instead.items():
                given = given.replace(f'"name": "{word}"', f'"name": "{other}"')
        handler.send(completion(given))

    return answer


def test_combinations_with_forgotten_labels_are_requested_once_more(shell: Shell, server: Server) -> None:
    """A caption has the labels that it names; captions without labels are dropped if others name some."""

    def answer(handler: Handler, body: dict[str, Any]) -> None:
        given = good(body)
        if name(body) == "describe":
            objects = json.loads(body["messages"][1]["content"].split("<data>")[1].split("</data>")[0])["objects"]
            shown = " and ".join(objects[:1] if body["seed"] == 0 else objects)
            texts = [f"At dusk {shown} in place in the rain.", "An empty street in the rain."]
            given = json.dumps({"occasions": ["a", "b"], "descriptions": texts})
        handler.send(completion(given))

    server.always = answer
    fine(shell.mine(server))
    assert sent(server)["describe"] == 2 * DESCRIBE
    captions = bank(shell).captions
    assert len(captions) == 4
    assert all(len(caption.labels) >= 2 and "dusk" in caption.text for caption in captions)
