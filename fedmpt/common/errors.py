"""The errors that the command line prints as lines. Each package has its own below these."""

from __future__ import annotations

from typing import ClassVar


class FedmptError(Exception):
    """Something a user can mend: says what is wrong, where, and what to do."""

    exit_code: ClassVar[int] = 2
    """Of the command: 2, the input or the settings are wrong; 1, the work itself failed."""


class InputFileError(FedmptError):
    """A file that is missing, cannot be read, or is not of its format."""
