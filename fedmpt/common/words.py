"""Words of people and of models: when two are the same, what may be shown, which name was meant."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches

DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Signs that turn the direction of the text around them, so that a word may look like another one."""


def fold(text: str) -> str:
    """What two texts have in common that only differ in case, Unicode form or white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def near(text: str) -> str:
    """What two texts have in common that only differ in a plural, in punctuation or as `fold` says."""
    return re.sub(r"[\W_]+", "", fold(text)).removesuffix("s") or fold(text)


def printable(text: str) -> str:
    """The text with a � for each sign that would steer the terminal."""
    return "".join("�" if unicodedata.category(sign) in ("Cc", "Cs") else sign for sign in text)


def offered(wanted: str, known: Sequence[str]) -> str:
    """Names that there are, for a message about one that there is not: the nearest first, twenty at the most."""
    near = get_close_matches(wanted, known, n=3, cutoff=0.5)
    return ", ".join([*near, *(name for name in known if name not in near)][:20]) or "none"


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
