"""From what the user wants to a computed table: the plan, the processes, the files."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.table import Table as RichTable

from fedmpt.common.files import write_atomically
from fedmpt.common.terminal import cell, echo, print_table
from fedmpt.common.words import format_duration
from prompt_bank.recording.store import load as load_bank
from trainer.errors import RunFailed, TrainerError, unknown_name
from trainer.preparing import pick_device
from trainer.progress import Progress
from trainer.reproducing.costs import cost_conditions, cost_sheet, costs_csv, in_words
from trainer.reproducing.estimate import estimates
from trainer.reproducing.grid import TABLES, Cell, Plan, points_of, rows_of, shipped_bank
from trainer.reproducing.lease import holder_of
from trainer.reproducing.lineup import Settings, method_rows
from trainer.reproducing.overhead import Cost, measure_all
from trainer.reproducing.page import TableRecord, record_of, write_page
from trainer.reproducing.sharing import SharedOptions
from trainer.reproducing.sheet import Sheet, sheet
from trainer.reproducing.status import ended, place
from trainer.reproducing.table import read_results, table_of
from trainer.reproducing.tuned import with_tuned_rows
from trainer.reproducing.worker import Worker
from trainer.reproducing.writing import cells_csv, latex, markdown, means_csv
from trainer.resolving import absolute
from trainer.tuning.tuning import best_settings

BACKBONE, WEIGHTS = "ViT-B-16-quickgelu", "openai"
"""On published data sets, as in the paper."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What the user asks for; see the options of `fedmpt reproduce`."""

    table: str
    dataset: str = "scenes"
    data_root: Path | None = None
    methods: tuple[str, ...] = ()
    seeds: int = 1
    points: tuple[str, ...] = ()
    variant: str = "clean"
    preset: str | None = None
    backbone: str | None = None
    pretrained: str | None = None
    bank: Path | None = None
    given: Settings = field(default_factory=dict)
    out: Path | None = None

    def plan(self) -> Plan:
        """The plan of the table.

        Raises:
            TrainerError: an unknown name, or options that do not fit the table or the data set.
        """
        if self.table not in TABLES:
            raise unknown_name("table", self.table, list(TABLES))
        table, bank = TABLES[self.table], self.bank or shipped_bank(self.dataset)
        if self.dataset not in table.datasets:
            raise TrainerError(
                f"{self.table} is not defined for {self.dataset}; --dataset {' or '.join(table.datasets)}"
            )
        if not all(point.isdigit() for point in self.points):
            raise TrainerError(f"--points {','.join(self.points)}: write per cent, for example 10,50,100")
        methods = () if table.ablation else self.methods
        rows = rows_of(table, method_rows(methods, self.variant), self.methods)
        left_out = [] if methods else [row for row in rows if row.needs_attributes and not has_attributes(bank)]
        return Plan(
            table=self.table,
            dataset=self.dataset,
            out=self.out or Path("runs") / f"reproduce-{self.dataset}",
            bank=bank,
            rows=tuple(row for row in rows if row not in left_out),
            points=points_of(table, self.dataset, [int(point) for point in self.points]),
            seeds=tuple(range(self.seeds)),
            preset=self.preset or (None if self.dataset == "scenes" else "paper-sgd"),
            given={**self._places(), **self.given},
            left_out=tuple(row.title for row in left_out),
        )

    def _places(self) -> Settings:
        found: Settings = {}
        if self.dataset != "scenes":
            weights = None if self.table == "table5" else WEIGHTS  # whose figures depend on no weights
            found = {"backbone.name": self.backbone or BACKBONE, "backbone.pretrained": self.pretrained or weights}
        else:
            named = {"backbone.name": self.backbone, "backbone.pretrained": self.pretrained}
            found = {key: value for key, value in named.items() if value is not None}
        if self.data_root is not None:
            found["data.data_root"] = absolute(self.data_root)
        return found


@dataclass(frozen=True)
class Work:
    """How to work on a table.

    Attributes:
        cache_dir: of features.
        device: of all processes; None: a GPU for each, or the CPU.
        workers: processes of this command.
        tries: of tuning, for each row; 0: no tuning.
    """

    cache_dir: Path | None = None
    device: str | None = None
    workers: int = 1
    tries: int = 0

    def options(self, number: int) -> SharedOptions:
        """Of the process of this number, from 0."""
        return SharedOptions(self.cache_dir, _device(self.device, number), progress=Progress())

    def limit_threads(self) -> None:
        """Share the cores among the processes."""
        if self.workers > 1:
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // self.workers))

    def tuned(self, plan: Plan, options: SharedOptions, say: Say) -> Plan:
        """The plan with tuned rows; processes share the tries."""
        return with_tuned_rows(plan, self.tries, best_settings, options, say) if self.tries else plan


def has_attributes(bank: Path) -> bool:
    """Whether each label of a bank has attributes (`fedmpt mine-attributes`)."""
    return all(label.attributes for label in load_bank(bank).bank.labels)


def run_grid(plan: Plan, how: Work, retry: bool, say: Say) -> Plan:
    """Compute the cells of a plan that have not ended; with tuning, tune its rows first.

    Args:
        plan: the table.
        how: to work on it.
        retry: compute failed cells once more.
        say: receives a line per cell.

    Returns:
        The plan with its tuned rows.

    Raises:
        FedmptError: wrong settings, data or cells, before anything is computed.
        RunFailed: a process ended before its work.
    """
    cells = plan.cells()
    say(f"{plan.table} on {plan.dataset}: {len(cells)} cells ({len(plan.rows)} rows) in {plan.out}")
    how.limit_threads()
    options = how.options(0)
    first = Worker(plan, options, say)
    if retry:
        first.forget_failures(cells)
    if not how.tries:  # else the settings of the cells are not known yet
        first.prepare(cells)
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_work, args=(plan, how, number)) for number in range(1, how.workers)]
    for process in others:
        process.start()
    try:
        plan = how.tuned(plan, options, say)
        _compute(plan, options, say)
    finally:
        for process in others:
            process.join()
    if any(process.exitcode for process in others):
        raise RunFailed("a worker ended with an error (see above); run the command again to go on")
    return plan


def _work(plan: Plan, how: Work, number: int) -> None:
    """A further process."""

    def say(text: str) -> None:
        echo(text, err=True)

    how.limit_threads()
    options = how.options(number)
    _compute(how.tuned(plan, options, lambda text: None), options, say)


def _compute(plan: Plan, options: SharedOptions, say: Say) -> None:
    worker, cells = Worker(plan, options, say), plan.cells()
    worker.prepare(cells)
    worker.work(cells)


def _device(name: str | None, number: int) -> str | None:
    """The device of the process of this number, from 0."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cuda:{number % gpus}" if name in (None, "auto", "cuda") and gpus > 1 else name


def listing(plan: Plan, how: Work) -> Iterator[str]:
    """Each cell and what became of it, then the expected time of those that are open.

    Raises:
        FedmptError: wrong settings or data.
    """
    cells = plan.cells()
    states = {one.name: _state(plan, one) for one in cells}
    yield from (f"{name}  {state}" for name, state in states.items())
    waiting = [one for one in cells if states[one.name] in (OPEN, BEGUN)]
    yield f"{len(cells)} cells, {len(waiting)} of them open"
    how.limit_threads()
    total, encoding, worlds = 0.0, 0.0, len(plan.seeds) if plan.dataset == "scenes" else 1
    for found in estimates(plan, how.options(0), waiting):
        seconds = found.seconds * (1 + how.tries / found.cells)
        total, encoding = total + seconds, max(encoding, worlds * found.encoding)
        yield f"{found.row.key}: {found.cells} cells, {found.problem or format_duration(seconds)}"
    if waiting:
        processes = "1 process" if how.workers == 1 else f"{how.workers} processes"
        yield (
            f"expected: {format_duration((total + encoding) / how.workers)} with {processes}, from a few steps of each "
            f"row on this machine{', tuning included' if how.tries else ''}"
        )


OPEN, BEGUN = "open", "begun"


def _state(plan: Plan, one: Cell) -> str:
    where = place(plan.folder, one)
    record = ended(where)
    if record is not None:
        return record.status + (f": {record.reason}" if record.reason else "")
    if (holder := holder_of(where.lease)) is not None:
        return f"running: process {holder.pid} on {holder.host.split()[0]}"
    return BEGUN if where.run.exists() else OPEN


def write_results(plan: Plan, say: Say) -> int:
    """Write all files of a table from the cells that have ended, and print it; returns the number of failed cells."""
    result = table_of(plan, read_results(plan, plan.cells()))
    shown = sheet(result, TABLES[plan.table].title)
    tables = {"": means_csv(result), "-cells": cells_csv(result)}
    _show(shown, _write(plan, shown, tables, record_of(shown, plan.table, plan.dataset, result)), say)
    return result.failed


def measure_costs(plan: Plan, device: str | None, say: Say) -> int:
    """Measure, write and print table 5; returns the number of rows that could not be measured.

    Its files are written anew after each row, so that an interruption loses none that is measured.

    Raises:
        FedmptError: wrong settings or device, before anything is measured.
    """
    settings = [plan.settings(row, None, 0) for row in plan.rows]
    chosen = pick_device(device or settings[0].device)
    where = cost_conditions(settings[0], chosen, plan)
    rows = [(row, one.model_copy(update={"device": str(chosen)})) for row, one in zip(plan.rows, settings, strict=True)]
    costs: list[Cost] = []
    for cost in measure_all(rows, plan.bank):
        costs.append(cost)
        say(f"{cost.row.key}  {in_words(cost)}")
        shown = cost_sheet(costs, TABLES[plan.table].title, where)
        paths = _write(plan, shown, {"": costs_csv(costs)}, record_of(shown, plan.table, plan.dataset))
    _show(shown, paths, echo)
    return sum(bool(cost.failure) for cost in costs)


def _write(plan: Plan, shown: Sheet, tables: dict[str, str], record: TableRecord) -> list[Path]:
    """The files of a table, which are returned."""
    plan.out.mkdir(parents=True, exist_ok=True)
    stem = f"{plan.table}-{plan.dataset}"
    contents = {f"{stem}{name}.csv": text for name, text in tables.items()}
    contents |= {f"{stem}.md": markdown(shown), f"{stem}.tex": latex(shown)}
    for name, text in contents.items():
        write_atomically(plan.out / name, text)
    return [*(plan.out / name for name in contents), *write_page(record, plan.out)]


def _show(shown: Sheet, paths: Iterable[Path], say: Say) -> None:
    print_table(_terminal(shown))
    for line in (*shown.notes, *map(str, paths)):
        say(line)


def _terminal(shown: Sheet) -> RichTable:
    table = RichTable(title=shown.title)
    table.add_column("")
    for heading in shown.headings:
        table.add_column(heading, justify="right")
    for line in shown.lines:
        marked = [cell(v, "bold" if best else "") for v, best in zip(line.values, line.best, strict=True)]
        table.add_row(cell(line.title), *marked)
    return table
