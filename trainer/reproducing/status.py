"""What became of a cell: NAME.json beside its run folder, and the figures of a finished one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from fedmpt.common.files import write_atomically
from trainer.errors import TrainerError
from trainer.reproducing.grid import Cell, differences, settings_hash
from trainer.run.folder import Run
from trainer.run.record_types import Hash, Name, Record, Text
from trainer.run.records import read_record


class CellRecord(Record):
    """NAME.json."""

    status: Literal["done", "failed"]
    reason: Text = ""
    """Why it failed."""
    seconds: float = Field(0.0, ge=0)
    """Wall-clock time of the process that ended it, without what cells share."""
    cpu_seconds: float = Field(0.0, ge=0)
    """Processor time of it."""
    device: Name
    settings: Hash | None = None
    """Of the settings that were wanted; see `settings_hash`. Not in older records."""


@dataclass(frozen=True)
class Place:
    """Where a cell's files are."""

    folder: Path
    name: str

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / self.name

    @property
    def lease(self) -> Path:
        """See `trainer.reproducing.lease`."""
        return self.folder / f"{self.name}.lease"

    @property
    def record(self) -> Path:
        """See `CellRecord`."""
        return self.folder / f"{self.name}.json"


def place(folder: Path, cell: Cell) -> Place:
    """Where a cell's files are."""
    return Place(folder, cell.name)


def ended(where: Place) -> CellRecord | None:
    """The record of a cell that is done or has failed; None otherwise.

    Raises:
        FedmptError: the file is damaged.
    """
    return read_record(where.record, CellRecord)[1] if where.record.exists() else None


def record_end(where: Place, record: CellRecord) -> None:
    """Write a cell's record."""
    write_atomically(where.record, json.dumps(record.model_dump(), indent=1) + "\n")


def check_cell(where: Place, cell: Cell, bank: bytes) -> None:
    """Check that what is in a cell's folder was made with the cell's settings and bank.

    Raises:
        TrainerError: it was not.
    """
    record = ended(where)
    known = None if record is None or record.status == "done" else record.settings
    if known is not None and known != settings_hash(cell.settings):
        raise TrainerError(f"{where.record}: this cell failed with other settings; compute it once more with --retry")
    if not (where.run / "config.json").exists():
        return
    run = Run.open(where.run)
    wrong = differences(cell.settings, run.config())
    if run.bank is not None and run.bank.read_bytes() != bank:
        wrong.append("its bank is another one")
    if wrong:
        raise TrainerError(
            f"{where.run}: this cell was computed with other settings: {'; '.join(wrong[:5])}. Use the former "
            "settings, or another --out, or delete the cell"
        )


def evaluation_of(where: Place) -> dict[str, Any]:
    """The evaluation of a cell that is done.

    Raises:
        FedmptError: it is missing or damaged.
    """
    return Run.open(where.run).evaluation()
