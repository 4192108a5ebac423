"""Fixtures: a scripted server, and a folder in which to run commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.condition_miner.server import Server, serving
from tests.condition_miner.shell import Shell, make_shell


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return make_shell(tmp_path, monkeypatch)
