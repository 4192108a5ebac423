"""Names and texts: normalisation for comparison, safe printing, suggestions for unknown names."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Bidirectional control characters, which can make a word look like another one."""


def fold(text: str) -> str:
    """The text normalised (NFKC, case-folded, white space collapsed) for comparison."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def fold_loosely(text: str) -> str:
    """The text as `fold`, also without punctuation, white space and a final s, to find near duplicates."""
    return re.sub(r"[\W_]+", "", fold(text)).removesuffix("s") or fold(text)


def printable(text: str) -> str:
    """The text with a � for each control character (bidirectional ones too), safe for a terminal."""
    unsafe = ("Cc", "Cs")
    return "".join("�" if sign in BIDI_CONTROLS or unicodedata.category(sign) in unsafe else sign for sign in text)


def path_text(path: Path) -> str:
    """A path as text that can be encoded: bytes of a name that are not UTF-8 become "\\xe4" and the like."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def suggestions(wanted: str, known: Sequence[str]) -> str:
    """Known names for an error about an unknown one: at most twenty, the most similar first."""
    near = get_close_matches(wanted, known, n=3, cutoff=0.5)
    return ", ".join([*near, *(name for name in known if name not in near)][:20]) or "none"


def format_bytes(size: int) -> str:
    """A number of bytes for people: 16.7 GB, 2.3 MB, 64.0 kB."""
    if size >= 1e8:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def format_duration(seconds: float) -> str:
    """A time for people: under a second, 12 seconds, 4 minutes, 2.5 hours."""
    if seconds < 1:
        return "under a second"
    if seconds < 90:
        return f"about {seconds:.0f} seconds"
    return f"about {seconds / 60:.0f} minutes" if seconds < 5400 else f"about {seconds / 3600:.1f} hours"
