"""The grid of a table: rows × points × seeds. Each cell is a run with settings of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prompt_bank.shipped import FOLDER
from trainer.errors import TrainerError, unknown_name
from trainer.reproducing.lineup import Row, Settings, ablation_rows
from trainer.resolving import NAMED, resolve
from trainer.run_config import PRESETS, RunConfig

BANKS = {
    "scenes": "scenes24",
    "voc2007": "voc20",
    "coco2014": "coco80",
    "nuswide": "nus81",
    "multiscene": "multiscene36",
    "mlrsnet": "mlrsnet60",
}
"""The data sets of the tables, and the shipped bank of each."""

PHOTOGRAPHS = ("voc2007", "coco2014", "nuswide")
AERIAL = ("multiscene", "mlrsnet")

ROUNDS = 50
"""Rounds on published data sets, as in the paper."""

SMALL: Settings = {"federation.rounds": 12, "optimiser.batch_size": 50}
"""On the drawn world: rounds and batch size of its own defaults at its six sites, for every number of clients."""

RECORDED: Settings = {"evaluation.bootstrap": 0, "evaluation.clients": False, "checkpoint_every": 5}
"""Of every cell: the spread is over seeds, so there are no resamples; clients' own figures are not in the tables."""

KMEANS: Settings = {"data.partition.kind": "kmeans", "data.partition.share": 1.0}


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Attributes:
        title: what it shows.
        axis: what changes along it; "" if nothing does.
        key: the setting that its points change; "" for a single point.
        points: in per cent, on published data sets.
        small: the points on the drawn world.
        datasets: those that it is defined for.
        fixed: settings of all cells, on published data sets.
        small_fixed: those on the drawn world.
        ablation: its rows are settings of FedMPT, not methods.
    """

    title: str
    axis: str = ""
    key: str = ""
    points: tuple[int, ...] = ()
    small: tuple[int, ...] = ()
    datasets: tuple[str, ...] = ("scenes", *PHOTOGRAPHS, *AERIAL)
    fixed: Settings = field(default_factory=lambda: dict(KMEANS))
    small_fixed: Settings = field(default_factory=dict)
    ablation: bool = False


TEN = tuple(range(10, 101, 10))

TABLES: dict[str, Table] = {
    "table1": Table(
        "Table 1: heterogeneous clients, mean over t",
        "t, per cent of the labels that is the number of clients",
        "data.partition.share",
        TEN,
        (25, 50, 100),
        fixed={"data.partition.kind": "kmeans"},
        small_fixed={"data.partition.kind": "kmeans"},
    ),
    "table2": Table(
        "Table 2: partial annotation, mean over mask rates",
        "positive labels hidden, per cent",
        "data.mask.rate",
        TEN[:-1],
        (10, 50, 90),
    ),
    "table3": Table(
        "Table 3: real-world data",
        datasets=("scenes", *AERIAL),
        small_fixed={"data.scenes.variant": "natural"},
    ),
    "table4": Table("Table 4: ablation", ablation=True),
    "table5": Table("Table 5: what a training step costs"),
    "sites": Table("All methods at the six sites of the drawn world", datasets=("scenes",)),
    "participation": Table(
        "Participation, mean over rates",
        "clients that train in a round, per cent",
        "federation.participation",
        TEN,
        (10, 50, 100),
        small_fixed=dict(KMEANS),
    ),
}
"""The tables. table5 is no grid of runs: its costs are measured by overhead.py."""


@dataclass(frozen=True)
class Cell:
    """A run of the grid.

    Attributes:
        row, point, seed: its place; the point is None where nothing changes along the table.
        name: of its folder.
        settings: its resolved settings.
    """

    row: Row
    point: int | None
    seed: int
    name: str
    settings: RunConfig


@dataclass(frozen=True)
class Plan:
    """A table to compute.

    Attributes:
        table: its name in TABLES.
        dataset: its name in BANKS.
        out: folder of the results; may be shared between machines.
        bank: file of the bank.
        rows: of the table.
        points: in per cent; (None,) for a single point.
        seeds: each sets all seeds of a run.
        preset: optimiser and federation of a preset; None for the defaults.
        given: settings of the user for all cells.
        tuned: settings found by tuning, by row.
        left_out: titles of rows that the bank cannot serve, since it has no attributes of labels.
    """

    table: str
    dataset: str
    out: Path
    bank: Path
    rows: tuple[Row, ...]
    points: tuple[int | None, ...]
    seeds: tuple[int, ...]
    preset: str | None = None
    given: Settings = field(default_factory=dict)
    tuned: dict[str, Settings] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Of the cells."""
        return self.out / "cells"

    def cells(self) -> list[Cell]:
        """All cells, those of a seed together, so that what they share is loaded once.

        Raises:
            TrainerError: settings that are wrong.
        """
        own = {"method.name", "data.dataset", *NAMED["seed"], TABLES[self.table].key}
        if taken := sorted(own & self.given.keys()):
            raise TrainerError(f"--set {taken[0]}: the table sets it; see --methods, --dataset, --seeds and --points")
        return [
            self.cell(row, point, seed)
            for seed in self.seeds
            for point in self.points
            for row in self.rows
            if not row.fixed or point == self.points[0]
        ]

    def cell(self, row: Row, point: int | None, seed: int) -> Cell:
        """One cell."""
        at = "" if point is None else f"-{point:03d}"
        name = f"{self.table}-{self.dataset}{at}-{row.key}-{seed}"
        return Cell(row, point, seed, name, self.settings(row, point, seed))

    def settings(self, row: Row, point: int | None, seed: int) -> RunConfig:
        """The settings of a cell: later ones override earlier ones."""
        table, small = TABLES[self.table], self.dataset == "scenes"
        chosen: Settings = {
            **(SMALL if small else {"federation.rounds": ROUNDS}),
            **_preset(self.preset),
            **RECORDED,
            "evaluation.yardsticks": row.fixed,
            **(table.small_fixed if small else table.fixed),
            **row.settings,
            **self.tuned.get(row.key, {}),
            **self.given,
            "data.dataset": self.dataset,
            **dict.fromkeys(NAMED["seed"], seed),
        }
        if point is not None:
            chosen[table.key] = point / 100
        try:
            return resolve(overrides=chosen)
        except TrainerError as error:
            raise TrainerError(f"row {row.key}: {error}") from error


def points_of(table: Table, dataset: str, wanted: Sequence[int] = ()) -> tuple[int | None, ...]:
    """The points of a table on a data set.

    Args:
        table: the table.
        dataset: the name of the data set.
        wanted: the user's, in per cent; empty for the table's own.

    Raises:
        TrainerError: points of a table that has none, or out of range.
    """
    if not table.key:
        if wanted:
            raise TrainerError(f"--points: nothing changes along {table.title}; leave it out")
        return (None,)
    if any(not 0 < point <= 100 for point in wanted):
        raise TrainerError("--points are per cent: whole numbers from 1 to 100, for example 10,50,100")
    return tuple(sorted(set(wanted))) or (table.small if dataset == "scenes" else table.points)


def rows_of(table: Table, rows: list[Row], methods: Sequence[str] = ()) -> list[Row]:
    """The rows of a table: the methods' rows, or those of the ablation that are named."""
    if not table.ablation:
        return rows
    found = ablation_rows()
    for name in methods:
        if name not in {row.key for row in found}:
            raise unknown_name("row of the ablation", name, [row.key for row in found])
    return [row for row in found if not methods or row.key in methods]


def shipped_bank(dataset: str) -> Path:
    """The bank that comes with the package for a data set.

    Raises:
        TrainerError: an unknown data set.
    """
    if dataset not in BANKS:
        raise unknown_name("data set of the tables", dataset, list(BANKS))
    return FOLDER / f"{BANKS[dataset]}.json"


def settings_hash(settings: RunConfig) -> str:
    """The hash "sha256:…" of everything but where things are."""
    kept = {key: value for key, value in _flat(settings.model_dump(mode="json")).items() if key not in PLACES}
    return "sha256:" + hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def differences(wanted: RunConfig, recorded: RunConfig) -> list[str]:
    """What of a recorded run's settings is not as wanted. A number that may be chosen from the data is as wanted.

    Where files are, and the device, may differ from machine to machine.
    """
    own, other = (_flat(config.model_dump(mode="json")) for config in (wanted, recorded))
    return [
        f"{key} is {other.get(key)}, not {value}"
        for key, value in own.items()
        if key not in PLACES and value != "auto" and other.get(key) != value
    ]


PLACES = ("data.data_root", "data.partition.file", "backbone.pretrained", "device")
"""Settings that say where something is."""


def _preset(name: str | None) -> Settings:
    """A preset without its method, which is a row's own."""
    if name is None:
        return {}
    if name not in PRESETS:
        raise unknown_name("preset", name, list(PRESETS))
    kept = {key: value for key, value in _flat(PRESETS[name]).items() if not key.startswith("method.")}
    return {**kept, "federation.rounds": ROUNDS}


def _flat(tree: dict[str, Any], above: str = "") -> Settings:
    found: Settings = {}
    for key, value in tree.items():
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found
