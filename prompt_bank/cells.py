"""Cells of people's tables that hold several names."""

from __future__ import annotations

import json
import re


def split_names(cell: str) -> list[str]:
    """The names in a cell: a JSON list, else parted by ; or |, else by commas."""
    if cell.startswith("["):
        try:
            value = json.loads(cell)
        except ValueError:
            value = None
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            return [name.strip() for name in value]
    parts = re.split(r"[;|]", cell) if re.search(r"[;|]", cell) else cell.split(",")
    return [part.strip() for part in parts if part.strip()]
