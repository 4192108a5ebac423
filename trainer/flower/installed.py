"""Whether Flower is installed, and its settings that must be made before it is imported."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version

from trainer.errors import TrainerError

QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
"""Nothing is told to anybody about what runs here."""


def require_flower() -> str:
    """Flower's version; to be called before flwr is imported.

    Raises:
        TrainerError: it is not installed.
    """
    os.environ.update(QUIET)
    try:
        return version("flwr")
    except PackageNotFoundError as error:
        raise TrainerError("Flower is not installed; run: pip install 'fedmpt[flower]'") from error
