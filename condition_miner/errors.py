"""Errors that the command line prints as one line each."""

from __future__ import annotations

from fedmpt.common.errors import FedmptError


class MinerError(FedmptError):
    """Something a user can mend: says what is wrong, where, and what to do. Exit code 2."""


class MiningFailed(MinerError):
    """The work itself failed; the answers so far are kept. Exit code 1."""

    exit_code = 1
