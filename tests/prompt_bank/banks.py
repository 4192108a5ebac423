"""A small bank that is good in every part, and ways to spoil it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from prompt_bank.recording.store import dumps
from prompt_bank.schema import Bank, Caption, Condition, Dependency, Label, Provenance


def good() -> Bank:
    """Two labels, two conditions, one caption, one dependency; never recorded."""
    return Bank(
        name="small",
        labels=(Label(name="cat", aliases=("kitten",)), Label(name="potted plant")),
        conditions=(
            Condition(id="background", text="background", support=0.5, values=("room",), evidence=("cap-0001",)),
            Condition(id="pose", text="object pose"),
        ),
        dependencies=(Dependency(labels=("cat", "potted plant"), conditions=("background",), evidence=("cap-0001",)),),
        captions=(Caption(id="cap-0001", labels=("cat",), text="A cat in a room."),),
        provenance=Provenance(model="a-model", endpoint="local", requests=3, created="2026-11-23T00:00:00Z"),
    )


def content() -> dict[str, Any]:
    """The good bank as parsed JSON, to be spoiled."""
    return json.loads(dumps(good()))


def text(spoiled: dict[str, Any]) -> str:
    """As a file's text."""
    return json.dumps(spoiled, indent=2, ensure_ascii=False) + "\n"


def fedmpt(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder of its own."""
    return subprocess.run(
        [sys.executable, "-m", "fedmpt", *map(str, words)],
        cwd=folder,
        env={**os.environ, "FEDMPT_CACHE_DIR": str(folder / "cache"), "COLUMNS": "160", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
