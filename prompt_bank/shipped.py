"""The label files that are shipped: one home for the names of the published data sets' labels."""

from __future__ import annotations

from pathlib import Path

from prompt_bank.schema import Label

FOLDER = Path(__file__).parent / "banks"


def shipped_labels(name: str) -> tuple[Label, ...]:
    """The labels of a shipped file, "voc20" for instance, in the data set's order.

    One label a line, aliases behind commas, comments behind #: an alias is the spelling that was published.
    """
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    rows = [[part.strip() for part in line.split("#", 1)[0].split(",")] for line in lines]
    return tuple(Label(name=row[0], aliases=tuple(row[1:])) for row in rows if any(row))
