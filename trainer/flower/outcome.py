"""How a server's run ended: written by the server app, read by the process that started it."""

from __future__ import annotations

from pathlib import Path

from fedmpt.common.files import write_atomically
from trainer.run.record_types import Record, Text
from trainer.run.records import read_record

FOLDER = "FEDMPT_SERVER"
"""The environment variable that names the server's folder; the SuperLink passes it on to the server app."""

_FILE = "outcome.json"


class Outcome(Record):
    """How the run ended; without an error it is done.

    Attributes:
        error: why it failed.
    """

    error: Text | None = None


def outcome(folder: Path) -> Outcome | None:
    """How the run ended; None if it has not, or was killed.

    Raises:
        FedmptError: the file is damaged.
    """
    path = folder / _FILE
    return read_record(path, Outcome)[1] if path.exists() else None


def write_outcome(folder: Path, found: Outcome | None) -> None:
    """Write how the run ended; None: it has not."""
    path = folder / _FILE
    if found is None:
        path.unlink(missing_ok=True)
    else:
        write_atomically(path, found.model_dump_json())
