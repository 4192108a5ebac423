"""Output modes: detected by a probe, cached, recorded in the bank, and changed if a server rejects a request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from condition_miner.model.dialect import Dialect, OutputMode
from condition_miner.model.probing import PROBE_SCHEMA, probe_question
from prompt_bank.recording.store import load
from tests.condition_miner.server import Fault, Handler, Server, completion, good, is_probe, status, text
from tests.condition_miner.shell import Shell

Body = dict[str, Any]


def form(body: Body) -> str:
    return str(body.get("response_format", {}).get("type", "words"))


def asked_by(shell: Shell) -> dict[str, int]:
    found: dict[str, int] = load(shell.folder / "bank.json").bank.provenance.parameters["asked_by"]
    return found


def test_a_server_that_enforces_schemas_gets_schemas(shell: Shell, server: Server) -> None:
    assert shell.mine(server).code == 0
    assert {form(body) for body in server.bodies} == {"json_schema"}
    assert asked_by(shell) == {"json_schema": len(server.bodies)}
    assert server.probes[0]["response_format"]["json_schema"]["schema"] == PROBE_SCHEMA


def test_the_probe_is_cached_and_a_warm_run_sends_nothing(shell: Shell, server: Server) -> None:
    server.faults = [status(400)] * 12
    assert shell.mine(server).code == 1
    assert shell.mine(server, "--retry-failed").code == 0
    assert len(server.probes) == 1
    sent = len(server.bodies)
    assert json.loads(shell.mine(server, "--json").out)["requests_sent"] == 0
    assert (len(server.probes), len(server.bodies)) == (1, sent)


IGNORING: dict[str, tuple[Fault, str]] = {
    "prose": (text("It is blue."), "words"),
    "fenced": (text('```json\n{"colour": "blue"}\n```'), "words"),
    "JSON of another form": (text('{"colour": "blue"}'), "json_object"),
    "almost the form": (text('{"hue_code": "blue"}'), "json_object"),
    "a flood of white space": (text(" \n" * 300, "length"), "words"),
    "thinking until the room is used up": (text("<think>Blue is", "length"), "words"),
}


@pytest.mark.parametrize(("probing", "mode"), IGNORING.values(), ids=IGNORING)
def test_a_server_that_ignores_schemas_is_asked_in_words(
    shell: Shell, server: Server, probing: Fault, mode: str
) -> None:
    """The schema is in the system message, the bank records the mode, and offline runs find the answers."""
    server.probing = probing
    done = shell.mine(server)
    assert done.code == 0, done.err
    assert f"note: this server does not obey JSON schemas; answers are asked for by {mode}" in done.err
    assert {form(body) for body in server.bodies} == {mode}
    assert all('"additionalProperties": false' in body["messages"][0]["content"] for body in server.bodies)
    assert asked_by(shell) == {mode: len(server.bodies)}
    first = (shell.folder / "bank.json").read_bytes()
    assert shell.mine(None, "--offline", "--out", "again.json").code == 0
    again = json.loads((shell.folder / "again.json").read_bytes())
    assert again["conditions"] == json.loads(first)["conditions"]
    assert again["provenance"] == json.loads(first)["provenance"]


def refuse(*forms: str) -> Fault:
    """A server that rejects some response formats."""

    def answer(handler: Handler, body: Body) -> None:
        if form(body) in forms:
            handler.send({"error": {"message": "Unknown response_format"}}, 400)
        elif is_probe(body):
            handler.send(completion('{"colour": "blue"}'))
        else:
            handler.send(completion(good(body)))

    return answer


@pytest.mark.parametrize(
    ("forms", "mode"), [(("json_schema",), "json_object"), (("json_schema", "json_object"), "words")]
)
def test_a_server_that_rejects_schemas(shell: Shell, server: Server, forms: tuple[str, ...], mode: str) -> None:
    server.probing = server.always = refuse(*forms)
    assert shell.mine(server).code == 0
    assert asked_by(shell) == {mode: len(server.bodies)}


def test_a_stage_whose_schema_is_rejected_uses_a_less_strict_mode(shell: Shell, server: Server) -> None:
    """As with uniqueItems on vLLM: the probe's schema is taken, one stage's is not."""

    def answer(handler: Handler, body: Body) -> None:
        if "minItems" in json.dumps(body.get("response_format", {})):
            handler.send({"error": {"message": "Unimplemented keys: minItems"}}, 400)
        else:
            handler.send(completion(good(body)))

    server.always = answer
    done = shell.mine(server, "--concurrency", "1")
    assert done.code == 0, done.err
    assert done.err.count("note: stage describe: the server refuses json_schema (400 Unimplemented keys") == 1
    refused = [body for body in server.bodies if "minItems" in json.dumps(body.get("response_format", {}))]
    assert len(refused) == 3, "once for describe, once for explain and once for abstract"
    assert asked_by(shell)["json_object"] == 4 + 3 + 5
    assert json.loads(shell.mine(server, "--json").out)["requests_sent"] == 0


def test_a_request_that_is_too_long_is_not_retried_in_another_mode(shell: Shell, server: Server) -> None:
    refusal = {"error": {"message": "the request exceeds the available context size"}}
    server.always = lambda handler, body: handler.send(refusal, 400)
    done = shell.mine(server, "--combinations", "1")
    assert done.code == 1
    assert "exceeds the available context size" in done.err
    assert [form(body) for body in server.bodies] == ["json_schema"]


def test_a_reasoning_model_that_rejects_parameters(shell: Shell, server: Server) -> None:
    """As newer models of OpenAI do."""

    def particular(handler: Handler, body: Body) -> None:
        if "max_tokens" in body:
            said = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
        elif "temperature" in body:
            said = "Unsupported value: 'temperature' does not support 0 with this model."
        else:
            handler.send(completion('{"hue_code": "H1"}' if is_probe(body) else good(body)))
            return
        handler.send({"error": {"message": said}}, 400)

    server.probing = server.always = particular
    done = shell.mine(server)
    assert done.code == 0, done.err
    assert len(server.probes) == 3
    assert all("max_completion_tokens" in body and "temperature" not in body for body in server.bodies)
    assert asked_by(shell) == {"json_schema": len(server.bodies)}
    assert shell.mine(None, "--offline").code == 0


def test_the_request_body_in_each_mode() -> None:
    """Schema mode leaves the body unchanged; others change the response format and append to the first message."""
    body = probe_question("local", "m").body
    assert Dialect().wire_body(body) == body
    wired = Dialect(OutputMode.OBJECT).wire_body(body)
    assert wired["response_format"] == {"type": "json_object"}
    assert wired["messages"][0]["content"].startswith(body["messages"][0]["content"])
    assert json.loads(wired["messages"][0]["content"].splitlines()[-1]) == PROBE_SCHEMA
    words = Dialect(OutputMode.WORDS, ("seed",)).wire_body(body)
    assert "response_format" not in words
    assert "seed" not in words
    assert {k: v for k, v in words.items() if k != "messages"} == {
        k: v for k, v in body.items() if k not in ("messages", "response_format", "seed")
    }
