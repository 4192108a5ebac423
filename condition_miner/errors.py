"""The miner's errors; the command line prints them without a traceback."""

from __future__ import annotations

from fedmpt.common.errors import FedmptError


class MinerError(FedmptError):
    """An error in the input or the settings, which the user can fix. Exit code 2."""


class MiningFailed(MinerError):
    """Mining failed although the input was valid; the answers received so far stay in the cache. Exit code 1."""

    exit_code = 1
