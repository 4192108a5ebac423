"""A scripted server and a folder to run commands in, for each test that asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.condition_miner.server import Server, serving
from tests.condition_miner.shell import Shell, shell


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return shell(tmp_path, monkeypatch)
