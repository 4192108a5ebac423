"""mine-conditions --serve: a server for one run, which never outlives it."""

from __future__ import annotations

import ast
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from condition_miner.errors import MinerError
from condition_miner.serving.engines import EngineProgram, ServedModel, find_engine
from tests.condition_miner.shell import LABELS, QUICK, CommandResult, Shell

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 60.0
KEY = "sk-of-another-service"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="--serve needs POSIX")


@pytest.fixture
def shell(shell: Shell) -> Shell:
    program = shell.folder / "llama-server"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.condition_miner.serving.fake_engine "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (shell.folder / "tiny.gguf").write_bytes(b"GGUF")
    return shell


def variables(shell: Shell, **more: str) -> dict[str, str]:
    return {
        "PYTHONPATH": str(ROOT),
        "PATH": f"{shell.folder}{os.pathsep}{os.environ['PATH']}",
        "FAKE_PROCESSES": str(shell.folder / "noted"),
        "OPENAI_API_KEY": KEY,
        **more,
    }


def serve(shell: Shell, *words: str, **more: str) -> CommandResult:
    return shell.mine(None, "--serve", "tiny.gguf", *words, **variables(shell, **more))


def noted(shell: Shell) -> dict[str, Any]:
    found: dict[str, Any] = ast.literal_eval((shell.folder / "noted").read_text())
    return found


def gone(pids: list[int]) -> bool:
    """Whether no process of these ids runs."""
    for pid in pids:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        return False
    return True


def await_gone(pids: list[int]) -> None:
    until = time.monotonic() + PATIENCE
    while not gone(pids):
        assert time.monotonic() < until, "a process was left behind"
        time.sleep(0.05)


def test_a_bank_is_mined_and_the_server_ends(shell: Shell) -> None:
    done = serve(shell)
    assert done.code == 0, done.err
    assert "llama-server loads tiny" in done.err
    found = noted(shell)
    assert gone(found["pids"])
    assert found["words"][:4] == ["-m", str(shell.folder / "tiny.gguf"), "--alias", "tiny"]
    assert found["words"][4:6] == ["--host", "127.0.0.1"]
    assert not any("key" in word for word in found["words"])
    assert found["openai"] is None
    assert not list((shell.folder / "cache" / "engines").iterdir())


def test_with_all_answers_in_the_cache_no_server_is_started(shell: Shell) -> None:
    assert serve(shell).code == 0
    (shell.folder / "noted").unlink()
    again = serve(shell)
    assert (again.code, "0 requests sent" in again.out) == (0, True), again.err
    assert "from nothing" not in again.err
    assert serve(shell, "--dry-run", "--captions", "3").code == 0
    assert serve(shell, "--offline", "--captions", "3").code == 1
    assert not (shell.folder / "noted").exists()


def test_a_server_that_does_not_start(shell: Shell) -> None:
    done = serve(shell, FAKE_FAILS="1")
    assert done.code == 1
    (log,) = (shell.folder / "cache" / "engines").iterdir()
    assert log.stat().st_mode & 0o077 == 0
    for said in ("exit code 3", "no such architecture", log.name):
        assert said in done.err
    assert done.err.count("exit code 3") == 1
    await_gone(noted(shell)["pids"])


def test_a_server_that_dies_while_it_mines(shell: Shell) -> None:
    done = serve(shell, "--retries", "0", FAKE_ENDS_AFTER="3")
    assert done.code == 1
    (log,) = (shell.folder / "cache" / "engines").iterdir()
    for said in ("exit code 9", "out of memory", log.name, "run the same command again"):
        assert said in done.err
    assert "\x1b" not in done.err
    assert gone(noted(shell)["pids"])
    assert serve(shell).code == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_no_process_is_left_behind(tmp_path: Path, shell: Shell, number: signal.Signals) -> None:
    """However the command ends, while the server loads or answers."""
    (tmp_path / "labels.txt").write_text(LABELS)
    words = ["mine-conditions", "--labels", "labels.txt", "--serve", "tiny.gguf", *QUICK, "--cache-dir", "cache"]
    command = subprocess.Popen(
        [sys.executable, "-m", "fedmpt", *words],
        cwd=tmp_path,
        env={**os.environ, **variables(shell)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + PATIENCE
    while not (tmp_path / "noted").exists():
        assert time.monotonic() < until, "the server was not started"
        assert command.poll() is None
        time.sleep(0.02)
    time.sleep(0.1)
    pids = noted(shell)["pids"]
    command.send_signal(number)
    command.wait(PATIENCE)
    await_gone(pids)


def test_options_that_do_not_go_together(shell: Shell) -> None:
    for words in (("--base-url", "http://127.0.0.1:9/v1"), ("--backend", "transformers")):
        done = serve(shell, *words)
        assert (done.code, "--serve" in done.err) == (2, True)
    done = shell.mine(None, "--engine", "llama-server")
    assert (done.code, "--serve" in done.err) == (2, True)
    assert serve(shell, "--engine-args", "'").code == 2


def test_which_engine_serves_what(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    folder = ServedModel.resolve(str(tmp_path))
    hub, quantised = ServedModel.resolve("Qwen/Qwen3-8B"), ServedModel.resolve("unsloth/Qwen3-8B-GGUF:Q4_K_M")
    everything = {"vllm": "/bin/vllm", "llama-server": "/bin/llama-server"}.get
    assert find_engine(folder, which=everything).kind == "vllm"
    assert find_engine(hub, which=everything).kind == "vllm"
    assert find_engine(quantised, which=everything).kind == "llama-server"
    only = {"llama-server": "/bin/llama-server"}.get
    assert find_engine(hub, which=only).words(hub, 1, ["-t", "1"])[:3] == ["/bin/llama-server", "-hf", "Qwen/Qwen3-8B"]
    with pytest.raises(MinerError, match="no vllm was found"):
        find_engine(folder, which=only)
    vllm = EngineProgram("vllm", "/bin/vllm")
    assert vllm.words(hub, 8123, []) == [
        *("/bin/vllm", "serve", "Qwen/Qwen3-8B", "--served-model-name", "Qwen/Qwen3-8B"),
        *("--host", "127.0.0.1", "--port", "8123"),
    ]
    assert vllm.environment("secret")["VLLM_API_KEY"] == "secret"


@pytest.mark.parametrize("source", ["--help", "nowhere.gguf", "../x", "a/b/c", "name", "-m", "https://x/y", "a/b:c d"])
def test_what_is_no_model_is_refused(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MinerError, match="--serve"):
        ServedModel.resolve(source)


def test_a_named_program_says_by_its_name_what_it_is(tmp_path: Path) -> None:
    model = ServedModel.resolve("Qwen/Qwen3-8B")
    for name in ("vllm-nightly", "llama-server-cuda", "server"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
    assert find_engine(model, tmp_path / "vllm-nightly").kind == "vllm"
    assert find_engine(model, tmp_path / "llama-server-cuda").kind == "llama-server"
    with pytest.raises(MinerError, match="its name"):
        find_engine(model, tmp_path / "server")
    with pytest.raises(MinerError, match="no program"):
        find_engine(model, tmp_path / "missing")
