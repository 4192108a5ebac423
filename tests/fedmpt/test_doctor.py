"""fedmpt doctor, on installations that work and on ones that do not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from condition_miner.answers.cache import AnswerCache
from fedmpt.common.check import Status
from fedmpt.doctor import machine, state
from tests.condition_miner.server import Server, serving
from tests.condition_miner.shell import CommandResult, Shell, make_shell

KEY = "sk-this-must-not-be-shown"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return make_shell(tmp_path, monkeypatch)


def checks(done: CommandResult) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(done.out)}


def test_a_sound_installation(shell: Shell, server: Server) -> None:
    done = shell.run("doctor", "--json", OPENAI_BASE_URL=server.url, OPENAI_API_KEY=KEY)
    assert done.code == 0, done.out
    found = checks(done)
    assert found["shipped weights"]["status"] == "ok"
    assert found["endpoint"]["status"] == "ok"
    assert server.url in found["endpoint"]["detail"]
    assert found["other weights"]["status"] == "note"
    assert KEY not in done.out + done.err
    assert not (shell.folder / "cache").exists()


def test_what_is_broken_is_said_with_a_remedy(shell: Shell) -> None:
    """Everything is checked although the first checks fail; exit code 1."""
    (shell.folder / "fedmpt.toml").write_text("[method]\nrnak = 3\n")
    entry = shell.folder / "cache" / "features" / "scenes-test-0"
    entry.mkdir(parents=True)
    (entry / "meta.json").write_text("{}")
    AnswerCache(shell.folder / "cache").__exit__()
    done = shell.run("doctor", "--json", OPENAI_BASE_URL="http://127.0.0.1:9/v1", OPENAI_API_KEY=KEY)
    assert done.code == 1
    broken = {name for name, row in checks(done).items() if row["status"] == "broken"}
    assert broken == {"endpoint", "settings", "cached features"}
    assert all(row["remedy"] for name, row in checks(done).items() if name in broken)
    assert "'method.rnak' is not a setting" in done.out
    assert KEY not in done.out + done.err
    text = shell.run("doctor")
    assert text.code == 1
    assert "broken  settings" in text.out


def test_a_model_that_the_server_does_not_offer(shell: Shell, server: Server) -> None:
    done = shell.run("doctor", "--json", OPENAI_BASE_URL=server.url, FEDMPT_MODEL="gpt-0")
    assert done.code == 1
    assert "not FEDMPT_MODEL=gpt-0" in checks(done)["endpoint"]["detail"]


def test_a_key_in_an_answer_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert state.without_key(f"wrong key {KEY}\x1b[2J") == "wrong key …�[2J"


def test_damaged_answers_are_found(shell: Shell, server: Server) -> None:
    assert shell.mine(server).code == 0
    assert checks(shell.run("doctor", "--json"))["cached answers"]["status"] == "ok"
    with AnswerCache(shell.folder / "cache") as answers:
        answers._cache.set(answers.answer_keys()[0], "nonsense", tag="m")
    done = shell.run("doctor", "--json")
    assert done.code == 1
    assert "verify --drop" in checks(done)["cached answers"]["remedy"]


def test_space_and_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "NO_SPACE", 2**62)
    monkeypatch.setattr(machine, "LITTLE_SPACE", 2**63)
    assert {check.status for check in machine.disk(tmp_path / "not" / "there")} == {Status.BROKEN}
    monkeypatch.setattr(machine, "_required", lambda: ["typer", "a-package-that-is-not-there"])
    (found,) = machine.packages()
    assert (found.status, found.detail) == (Status.BROKEN, "missing: a-package-that-is-not-there")
