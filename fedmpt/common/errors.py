"""Base classes of the errors that commands print without a traceback. Each package derives its own."""

from __future__ import annotations

from typing import ClassVar


class FedmptError(Exception):
    """An expected error. Its message says what is wrong, where, and what to do; one problem per line."""

    exit_code: ClassVar[int] = 2
    """Exit code of the command: 2 if the input or the settings are wrong, 1 if the work itself failed."""


class InputFileError(FedmptError):
    """A file is missing, unreadable, or not in its format."""
