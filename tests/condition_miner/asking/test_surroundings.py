"""The environment of a run: keys, proxies, certificates; what is remembered; which model answered."""

from __future__ import annotations

import json
import re
import traceback

import pytest

from condition_miner.errors import MinerError
from prompt_bank.recording.store import load
from tests.condition_miner.server import Fault, Handler, Server, completion, good, is_probe, next_tokens, schema, status
from tests.condition_miner.shell import Shell

STAGES = ("--stages", "describe,explain,abstract,attribute,measure")


@pytest.mark.parametrize("key", ["sk-very\nsecret", "sk-very secret", "sk-véry-secret", "sk-very\tsecret"])
def test_a_key_that_is_none_is_never_shown(shell: Shell, server: Server, key: str) -> None:
    with pytest.raises(MinerError) as caught:
        shell.mine(server, "--model", "m", "--debug", OPENAI_API_KEY=key)
    shown = "".join(traceback.format_exception(caught.value))
    assert "OPENAI_API_KEY has a blank" in shown
    assert "secret" not in shown
    assert server.bodies == server.probes == []


def test_a_line_break_behind_the_key_is_taken_off(shell: Shell, server: Server) -> None:
    assert shell.mine(server, *STAGES, OPENAI_API_KEY=" sk-1\n").code == 0


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks://127.0.0.1:9"])
def test_a_local_address_never_goes_through_a_proxy(shell: Shell, server: Server, name: str, proxy: str) -> None:
    done = shell.mine(server, *STAGES, **{name: proxy})
    assert done.code == 0, done.err


def test_certificates_that_are_not_there(shell: Shell, server: Server) -> None:
    assert shell.mine(server, *STAGES, SSL_CERT_FILE="/nowhere.pem").code == 0
    remote = ("--base-url", "https://example.invalid/v1", "--model", "m")
    done = shell.mine(None, *remote, SSL_CERT_FILE="/nowhere.pem", OPENAI_API_KEY="sk-1")
    assert done.code == 2
    assert "SSL_CERT_FILE" in done.err


def test_a_proxy_that_is_none(shell: Shell) -> None:
    remote = ("--base-url", "https://example.invalid/v1", "--model", "m")
    done = shell.mine(None, *remote, ALL_PROXY="socks://127.0.0.1:9", OPENAI_API_KEY="sk-1")
    assert done.code == 2
    assert "proxy" in done.err


def test_the_query_of_the_base_url_goes_with_each_request(shell: Shell, server: Server) -> None:
    paths: list[str] = []

    def noted(handler: Handler, body: dict[str, object]) -> None:
        paths.append(handler.path)
        handler.send(completion('{"hue_code": "H1"}' if is_probe(body) else good(body)))

    server.probing = server.always = noted
    url = f"{server.url}?api-version=2024-10-21"
    done = shell.mine(None, "--base-url", url, "--model", "tiny", *STAGES)
    assert done.code == 0, done.err
    assert set(paths) == {"/v1/chat/completions?api-version=2024-10-21"}


def refuse_once_hot(name: str) -> Fault:
    """A server that refuses a parameter of real questions alone."""

    def answer(handler: Handler, body: dict[str, object]) -> None:
        if name in body:
            handler.send({"detail": [{"loc": ["body", name], "msg": "Extra inputs are not permitted"}]}, 422)
        else:
            handler.send(completion(good(body)))

    return answer


def test_a_parameter_that_is_refused_later_is_left_out_and_remembered(shell: Shell, server: Server) -> None:
    server.always = refuse_once_hot("seed")
    done = shell.mine(server, *STAGES, "--concurrency", "1")
    assert done.code == 0, done.err
    assert sum("seed" in body for body in server.bodies) == 1
    assert done.err.count("the server refuses 'seed'") == 1
    assert json.loads(shell.mine(server, *STAGES, "--json").out)["requests_sent"] == 0
    server.bodies.clear()
    assert shell.mine(server, *STAGES, "--from-stage", "describe").code == 0
    assert not any("seed" in body for body in server.bodies)


def test_answers_from_before_a_parameter_was_refused_still_count(shell: Shell, server: Server) -> None:
    assert shell.mine(server, "--stages", "describe").code == 0
    server.always = refuse_once_hot("seed")
    assert shell.mine(server, *STAGES).code == 0
    assert json.loads(shell.mine(server, *STAGES, "--json").out)["requests_sent"] == 0


def test_an_unknown_refusal_is_not_remembered(shell: Shell, server: Server) -> None:
    server.always = status(400)
    assert shell.mine(server, *STAGES).code == 1
    server.always = None
    assert shell.mine(server, *STAGES).code == 0


def test_no_choices_are_sent_again(shell: Shell, server: Server) -> None:
    server.faults = [lambda handler, body: handler.send({"choices": []})]
    assert shell.mine(server, *STAGES, "--max-failed", "0").code == 0


def test_the_model_that_the_server_ran_is_recorded_and_told(shell: Shell, server: Server) -> None:
    done = shell.mine(server, *STAGES)
    assert "note: asked for the model tiny, the server says that it ran m" in done.err
    answered = load(shell.folder / "bank.json").bank.provenance.parameters["answered_by"]
    assert answered == {"m": len(server.bodies)}


def test_a_label_that_is_refused_has_no_affinities(shell: Shell, server: Server) -> None:
    """The others have theirs; nothing but the cells of that label is missing."""

    def filtered(handler: Handler, body: dict[str, object]) -> None:
        if re.search(r"a sofa", str(body["prompt"]).split(". This one")[-1]):
            handler.send({"error": {"code": "content_filter", "message": "filtered"}}, 400)
        else:
            handler.send(next_tokens(body))

    server.completing = filtered
    done = shell.mine(server, "--max-failed", "0.5")
    assert done.code == 0, done.err
    bank = load(shell.folder / "bank.json").bank
    affinities = [condition.affinity for condition in bank.conditions if condition.affinity]
    assert affinities
    for affinity in affinities:
        assert set(affinity.rows) == {"cat", "person", "bus"}
        assert all(cell is not None for row in affinity.rows.values() for cell in row)


def test_without_affinities_the_bank_is_made_and_says_so(shell: Shell, server: Server) -> None:
    server.completing = server.judging = status(404)

    def wrong(handler: Handler, body: dict[str, object]) -> None:
        handler.send(completion("{}" if "values" in schema(body)["properties"] else good(body)))

    server.always = wrong
    server.judging = lambda handler, body: handler.send(completion("yes"))
    done = shell.mine(server)
    assert done.code == 0, done.err
    assert "the bank is made without affinities" in done.err
    missing = load(shell.folder / "bank.json").bank.provenance.parameters["missing"]
    assert missing[-1]["stage"] == "affinities"
    assert shell.mine(server, "--stages", "affinities", "--out", "alone.json").code == 1
