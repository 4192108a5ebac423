"""Errors that the command line prints as one line each."""


class MinerError(Exception):
    """Something a user can mend: says what is wrong, where, and what to do. Exit code 2."""


class MiningFailed(MinerError):
    """The work itself failed; the answers so far are kept. Exit code 1."""
