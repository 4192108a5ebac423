"""The formats of export and import."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """A file format of another program."""

    CSV = "csv"
    LABEL_STUDIO = "label-studio"
