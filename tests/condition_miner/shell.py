"""Runs commands in this process, which is faster than a subprocess; returns exit code, stdout and stderr."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedmpt.cli import build
from tests.condition_miner.server import Server

LABELS = "cat\nsofa\n# furniture ends\nperson, human\nbus\n"
QUICK = ("--combinations", "4", "--captions", "2", "--conditions", "3", "--concurrency", "4")


@dataclass(frozen=True)
class CommandResult:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Shell:
    """Runs commands in a folder that has a `labels.txt`."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def run(self, *words: str, typed: str | None = None, **environment: str) -> CommandResult:
        with self.monkeypatch.context() as patch:
            for name in [n for n in os.environ if n.startswith(("OPENAI_", "FEDMPT_"))]:
                patch.delenv(name)
            for name, value in {"FEDMPT_CACHE_DIR": str(self.folder / "cache"), **environment}.items():
                patch.setenv(name, value)
            patch.chdir(self.folder)
            result = CliRunner().invoke(build(words[0]), list(words), input=typed)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return CommandResult(result.exit_code, result.stdout, result.stderr)

    def mine(self, server: Server | None, *words: str, **environment: str) -> CommandResult:
        where = ("--base-url", server.url) if server else ()
        return self.run("mine-conditions", "--labels", "labels.txt", *QUICK, *where, *words, **environment)


def make_shell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    (folder / "labels.txt").write_text(LABELS)
    return Shell(folder, monkeypatch)
