"""The fixture of a recorded bank."""

from __future__ import annotations

from pathlib import Path

import pytest

from prompt_bank.recording.store import record
from tests.prompt_bank.banks import good


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    path = tmp_path / "bank.json"
    record(good(), path, by="miner", did="mined")
    return path
