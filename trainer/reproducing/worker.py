"""One process at work on a grid, beside others in the same folder: it takes cell after cell until all have ended."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fedmpt.common.errors import FedmptError
from fedmpt.common.words import format_duration
from trainer.errors import RunFailed
from trainer.evaluation.metrics import Metrics
from trainer.federation.rounds import RoundRecord
from trainer.progress import Progress
from trainer.reproducing.grid import Cell, Plan, settings_hash
from trainer.reproducing.lease import Lease, claim
from trainer.reproducing.sharing import SharedOptions
from trainer.reproducing.status import CellRecord, Place, check_cell, ended, place, record_end
from trainer.session import Run, create

WAIT = 2.0
"""Seconds between two looks at cells that others are computing."""


class LeaseLost(RunFailed):
    """Another process has taken over the cell that this one was computing."""


@dataclass(frozen=True)
class Worker:
    """A process that computes cells.

    Attributes:
        plan: the table.
        options: how to work on its runs.
        say: receives a line per cell.
        retry: cells that failed are computed once more.
    """

    plan: Plan
    options: SharedOptions
    say: Callable[[str], None] = lambda text: None
    retry: bool = False

    def prepare(self, cells: Sequence[Cell]) -> None:
        """Check all cells that were begun, and load data, backbone and bank of the first one that is open.

        Raises:
            FedmptError: wrong data, weights or bank, or a cell with other settings. Nothing was computed.
        """
        self.plan.folder.mkdir(parents=True, exist_ok=True)
        bank = self.plan.bank.read_bytes()
        for cell in cells:
            where = place(self.plan.folder, cell)
            record = ended(where)
            if self.retry and record is not None and record.status == "failed":
                where.record.unlink(missing_ok=True)
            check_cell(where, cell, bank)
        for cell in cells:
            if ended(place(self.plan.folder, cell)) is None:
                self.options.load(cell.settings, self.plan.bank)
                return

    def work(self, cells: Sequence[Cell]) -> None:
        """Compute cells until none is left, and wait for those that others compute.

        Raises:
            OSError: a file cannot be written.
        """
        pending = list(cells)
        while pending:
            left = [cell for cell in pending if not self._ended_or_computed(cell)]
            if len(left) == len(pending):
                time.sleep(WAIT)
            pending = left

    def _ended_or_computed(self, cell: Cell) -> bool:
        """Compute a cell unless it has ended. False if another process is computing it."""
        where = place(self.plan.folder, cell)
        if ended(where) is not None:
            return True
        lease = claim(where.lease)
        if lease is None:
            return False
        with lease.kept():
            if ended(where) is not None:  # by the former holder, before the lease was taken
                return True
            try:
                record = self._outcome(cell, where, lease)
            except LeaseLost:
                return False
            record_end(where, record)
        found = f"failed: {record.reason}" if record.status == "failed" else format_duration(record.seconds)
        self.say(f"{cell.name}  {found}")
        return True

    def _outcome(self, cell: Cell, where: Place, lease: Lease) -> CellRecord:
        began, cpu = time.perf_counter(), time.process_time()
        status, reason, device = "done", "", cell.settings.device
        try:
            device = self._compute(cell, where, lease)
        except LeaseLost:
            raise
        except (FedmptError, RuntimeError, MemoryError) as error:  # RuntimeError: torch, out of memory for instance
            status, reason = "failed", str(error)[:2000] or type(error).__name__
        return CellRecord(
            status="failed" if status == "failed" else "done",
            reason=reason,
            seconds=time.perf_counter() - began,
            cpu_seconds=time.process_time() - cpu,
            device=device,
            settings=settings_hash(cell.settings),
        )

    def _compute(self, cell: Cell, where: Place, lease: Lease) -> str:
        """Begin or resume the cell's run; returns the name of its device."""

        def hold(record: RoundRecord, validation: Metrics, rounds: int) -> None:
            if lease.lost.is_set():
                raise LeaseLost(f"{where.run}: another process has taken this cell over")

        options = replace(self.options, progress=Progress(self.options.progress.reporter, after_round=hold))
        if (where.run / "config.json").is_file():
            run = Run.open(where.run, options)
        else:
            shutil.rmtree(where.run, ignore_errors=True)  # cut off while it was created
            run = create(options.prepare(cell.settings, self.plan.bank), self.plan.bank, where.run, options)
        run.resume()
        return str(run.prepared.method.clip.device)
