"""The peculiarities of real servers, played by the reference data's script: borne, or ended with one clear line."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from condition_miner.answers.cache import AnswerCache
from prompt_bank.recording.store import load
from tests.condition_miner.shell import CommandResult, Shell
from tests.shared import shared

BORNE_NAMES = (
    "fine or_error_once or_error_choice fastapi_seed mistral_seed_list gemini_seed string_error_seed "
    "openai_shape_seed maxtok_string mct_extra gemma o1mini fin_null fin_eos fin_empty fin_eos2 "
    "fin_stopseq magistral qwen_reasoning_content qwen_reasoning_always qwen_reasoning_empty t_magistral "
    "t_harmony t_harmony_plain t_harmony_detok t_exaone t_gemma4 t_reflection t_think_attr t_imend t_bom "
    "t_crlf_fence t_tildes t_fence_jsonc t_json_prefix t_two_think t_twice t_list1 t_string t_brace_twice "
    "t_prose_braces t_fence_braces_after t_truefalse schema500 schema_failopen lmstudio lmstudio_noschema "
    "thinks600 models_list models_name models_lmstudio sse textplain leading_ws comments lmstudio_roles "
    "x_digits x_surrogate x_finish "
)
BORNE = BORNE_NAMES.split()
"""The bank is whole."""
REPAIRED = ["t_trailing_comma", "t_newline_in_string", "t_smart", "t_single", "t_comment"]
"""JSON is never repaired: the questions have no valid answer."""
MENDED = {
    "lm_noload": "No models loaded",
    "arrears": "the account has no credit left",
    "deepseek402": "402 Insufficient Balance",
    "google400key": "API key not valid",
    "credit_mid": "402 Insufficient Balance",
    "gone_mid": "Service temporarily overloaded",
}
"""Faults of the account and the server: told, never remembered, and the same command goes on once they are mended."""
ENDED = {
    "or_error_always": "Rate limit exceeded: free-models-per-day",
    "region403": "Country, region, or territory not supported",
    "models_503": "Loading model",
    "models_404": "name a model with --model",
    "models_403": "This key may not list models",
    "ollama_root": "404 page not found",
    "redirect301": "/https/v1/chat/completions (301)",
    "redirect307": "/https/v1/chat/completions (307)",
    "e404_detail": "The model `x` does not exist",
    "e500_detail": "CUDA out of memory",
    "e400_list": "User location is not supported",
    "e400_nested": "max_tokens must be at least 1024",
    "x_endless": "longer than 8 MB",
    "x_redirect": "/elsewhere/v1/chat/completions (307)",
    "x_models_bomb": "longer than 8 MB",
}
"""No request can succeed: the server's words, in one line."""
WITHOUT = {"azure_filter": "content management policy", "moderation403": "flagged by moderation"}
"""The bank is made without the questions that were refused."""
STAGES = ("--stages", "describe,explain,abstract,attribute,measure")
"""The scripted server knows no others."""


def module() -> Any:
    spec = importlib.util.spec_from_file_location("scripted", shared("cases/endpoint/server.py"))
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


class Quiet(ThreadingHTTPServer):
    """Clients that hang up are expected."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Silent."""


@contextmanager
def scripted(scenario: str, folder: Path) -> Iterator[str]:
    """The base URL of a server that plays a scenario; while `log.broken` is in the folder, some are broken."""
    with (folder / "log").open("a") as log:
        server: Any = Quiet(("127.0.0.1", 0), module().H)
        server.scenario, server.n, server.lock, server.log = scenario, 0, threading.Lock(), log
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def mine(shell: Shell, url: str, scenario: str, *more: str) -> CommandResult:
    named = () if scenario.startswith(("models_", "x_models")) else ("--model", "tiny")
    words = ("--combinations", "4", "--captions", "2", "--retries", "1", "--timeout", "5", *STAGES, *named, *more)
    done = shell.run("mine-conditions", "--labels", "labels.txt", "--base-url", url, *words)
    assert "Traceback" not in done.err
    assert "\x1b" not in done.err + done.out
    return done


def test_every_scenario_has_its_expectation() -> None:
    expected = {*BORNE, *REPAIRED, *MENDED, *ENDED, *WITHOUT}
    assert set(module().SCEN) == expected


@pytest.mark.parametrize("scenario", BORNE)
def test_what_is_borne(shell: Shell, scenario: str) -> None:
    with scripted(scenario, shell.folder) as url:
        done = mine(shell, url, scenario)
        assert done.code == 0, done.err
        assert len(load(shell.folder / "bank.json").bank.captions) == 8
        again = mine(shell, url, scenario, "--json")
        assert json.loads(again.out)["requests_sent"] == 0


@pytest.mark.parametrize("scenario", REPAIRED)
def test_json_is_not_repaired(shell: Shell, scenario: str) -> None:
    with scripted(scenario, shell.folder) as url:
        done = mine(shell, url, scenario)
    assert done.code == 1
    assert "no valid answer" in done.err


@pytest.mark.parametrize(("scenario", "said"), MENDED.items(), ids=MENDED)
def test_what_goes_on_once_it_is_mended(shell: Shell, scenario: str, said: str) -> None:
    (shell.folder / "log.broken").touch()
    with scripted(scenario, shell.folder) as url:
        done = mine(shell, url, scenario)
        assert done.code == 1
        assert said in done.err
        with AnswerCache(shell.folder / "cache") as cache:
            assert cache.failures() == []
        (shell.folder / "log.broken").unlink()
        done = mine(shell, url, scenario)
    assert done.code == 0, done.err
    bank = load(shell.folder / "bank.json").bank
    assert bank.provenance.parameters["asked_by"].keys() == {"json_schema"}, "a probe that nothing passed is not kept"


@pytest.mark.parametrize(("scenario", "said"), ENDED.items(), ids=ENDED)
def test_what_ends_in_the_servers_words(shell: Shell, scenario: str, said: str) -> None:
    with scripted(scenario, shell.folder) as url:
        done = mine(shell, url, scenario)
    assert done.code == 1
    assert said in done.err
    assert len(done.err) < 1000
    with AnswerCache(shell.folder / "cache") as cache:
        assert len(cache) == 0
        assert cache.failures() == []


@pytest.mark.parametrize(("scenario", "said"), WITHOUT.items(), ids=WITHOUT)
def test_the_bank_is_made_without_refused_questions(shell: Shell, scenario: str, said: str) -> None:
    if scenario == "azure_filter":
        (shell.folder / "labels.txt").write_text("cat\nsofa\nperson\ngun\n")
    with scripted(scenario, shell.folder) as url:
        done = mine(shell, url, scenario)
        assert done.code == 0, done.err
        assert said in done.err
        bank = load(shell.folder / "bank.json").bank
        missing = bank.provenance.parameters["missing"]
        assert missing
        assert all(one["about"] in done.err for one in missing)
        assert all(said in one["reason"] for one in missing)
        if scenario == "azure_filter":
            assert all("gun" in one["about"] for one in missing)
        refused = mine(shell, url, scenario, "--max-failed", "0", "--out", "other.json")
        assert refused.code == 1
        assert missing[0]["about"] in refused.err
