"""Valid banks for tests, and helpers to write them and to run the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from prompt_bank.recording.store import dumps
from prompt_bank.schema import (
    Affinity,
    Bank,
    Caption,
    Condition,
    Control,
    Correction,
    Dependency,
    Label,
    Provenance,
    Reading,
)

ASKED = (Reading(kind="yes-no", wordings=("Is {label} usual in {value}?",), model="m"),)


def good() -> Bank:
    """A valid bank: two labels, two conditions, one caption, one dependency; not recorded."""
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


def with_affinities() -> Bank:
    """A bank with three labels and two affinities: "place" with three values, "scene" with two, one of them shared."""
    place = Affinity(rows={"fork": (2.5, -1.0, None), "car": (-2.0, 1.5, 0.25)}, asked=ASKED)
    scene = Affinity(
        rows={"fork": (9.0, 1.0), "tree": (None, 3.0)},
        corrected=(Correction(label="fork", value="Kitchen", mined=0.5, by="bo"),),
    )
    return Bank(
        name="world",
        about="everyday photos",
        labels=(Label(name="fork"), Label(name="car"), Label(name="tree")),
        conditions=(
            Condition(id="place", text="place", values=("kitchen", "street", "ski slope"), affinity=place),
            Condition(id="scene", text="scene", values=("Kitchen", "forest"), affinity=scene),
        ),
        provenance=Provenance(control=Control(how="words", rows={"fork": (1.0, 0.25), "car": (0.25, 1.0)})),
    )


def content() -> dict[str, Any]:
    """The content of the bank `good` as parsed JSON, to be modified."""
    return json.loads(dumps(good()))


def text(content: dict[str, Any]) -> str:
    """Content as the text of a file."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def renamed(bank: Bank, name: str) -> Bank:
    """The bank under another name."""
    return bank.model_copy(update={"name": name})


def fedmpt(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "fedmpt", *map(str, words)],
        cwd=folder,
        env={**os.environ, "FEDMPT_CACHE_DIR": str(folder / "cache"), "COLUMNS": "160", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
