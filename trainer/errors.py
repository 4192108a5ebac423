"""Errors that the command line prints without a traceback."""

from __future__ import annotations

from collections.abc import Sequence

from fedmpt.common.errors import FedmptError
from fedmpt.common.words import suggestions


class TrainerError(FedmptError):
    """An error that the user can fix; the message says what is wrong, where, and what to do. Exit code 2."""


class RunFailed(TrainerError):
    """A failure during execution. Exit code 1."""

    exit_code = 1


def unknown_name(what: str, name: str, known: Sequence[str]) -> TrainerError:
    """The error for an unknown name; lists the valid names, the most similar first."""
    return TrainerError(f"{what} '{name}' is not known; there are: {suggestions(name, known)}")
