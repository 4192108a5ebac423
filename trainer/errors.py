"""The errors that the command line prints as lines."""

from __future__ import annotations

from collections.abc import Sequence

from fedmpt.common.errors import FedmptError
from fedmpt.common.words import suggestions


class TrainerError(FedmptError):
    """Something a user can mend: says what is wrong, where, and what to do. Exit code 2."""


class RunFailed(TrainerError):
    """Something that went wrong during the work itself. Exit code 1."""

    exit_code = 1


def unknown_name(what: str, name: str, known: Sequence[str]) -> TrainerError:
    """The error for a name that is not there: lists the valid ones, the nearest first."""
    return TrainerError(f"{what} '{name}' is not known; there are: {suggestions(name, known)}")
