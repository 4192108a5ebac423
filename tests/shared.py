"""Finds the reference data beside the checkout; a test without it is skipped, but fails in CI."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared(path: str) -> Path:
    """The path of a reference file.

    Skips the calling test where the reference data is absent; fails it where CI=true.
    """
    found = SHARED / path
    if found.exists():
        return found
    reason = f"the reference data ../shared/{path} is not beside this checkout"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
