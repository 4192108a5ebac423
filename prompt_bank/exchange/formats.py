"""The other programs' files that a bank goes out to and comes back from."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """Whose file it is."""

    CSV = "csv"
    LABEL_STUDIO = "label-studio"
