"""The label files in `banks/`: the label names of the published data sets."""

from __future__ import annotations

from pathlib import Path

from prompt_bank.schema import Label

FOLDER = Path(__file__).parent / "banks"


def shipped_labels(name: str) -> tuple[Label, ...]:
    """The labels of a shipped file, for example "voc20", in the data set's order.

    Each line holds a label and, after commas, its aliases, which are the published spellings. # starts a comment.
    """
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    rows = [[part.strip() for part in line.split("#", 1)[0].split(",")] for line in lines]
    return tuple(Label(name=row[0], aliases=tuple(row[1:])) for row in rows if any(row))
