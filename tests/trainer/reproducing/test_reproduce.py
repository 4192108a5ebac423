"""fedmpt reproduce as users run it: several processes, failures, killed workers, other settings."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trainer.commands.test_datasets import fedmpt
from trainer.run.folder import Run

TINY = ("data.sites=2", "data.images_per_site=10", "data.validation_images=20", "data.test_images=20")
WORDS = [word for setting in TINY for word in ("--set", setting)]
GRID = ["reproduce", "table1", "--methods", "zero-shot,coop,fedawa", "--points", "10,20,100", *WORDS]


def start(words: list[str], cwd: Path) -> subprocess.Popen[str]:
    """The command in the background."""
    words = [sys.executable, "-m", "fedmpt", *words]
    return subprocess.Popen(words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """With more, the number that is used depends on the load of the machine, and the last bits with it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            patch.setenv(name, "1")
        yield


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], list[int], str]:
    """A grid that two processes computed; 20 images cannot belong to 24 clients, so two cells fail."""
    folder = tmp_path_factory.mktemp("grid")
    both = [start([*GRID, "--set", "federation.rounds=1"], folder) for _ in range(2)]
    said = [process.communicate(timeout=300) for process in both]
    lines = [line for _, errors in said for line in errors.splitlines()]
    return folder / "runs" / "reproduce-scenes", lines, [process.returncode for process in both], said[0][0]


def test_processes_share_a_grid_and_no_cell_is_computed_twice(
    computed: tuple[Path, list[str], list[int], str],
) -> None:
    folder, lines, codes, _ = computed
    names = Counter(line.split()[0] for line in lines if line.startswith("table1-scenes-"))
    assert sorted(names) == sorted(
        ["table1-scenes-010-zero-shot-0"]
        + [f"table1-scenes-{point}-{method}-0" for method in ("coop", "fedawa") for point in ("010", "020", "100")]
    )
    assert set(names.values()) == {1}
    assert codes == [1, 1]  # cells failed
    assert not list((folder / "cells").glob("*.lease"))


def test_a_failed_cell_is_shown_with_its_reason_and_the_others_go_on(
    computed: tuple[Path, list[str], list[int], str],
) -> None:
    folder, _, _, output = computed
    assert "kmeans: 24 clients, but only" in output
    rows = {row["point"] + row["method"]: row for row in csv.DictReader((folder / "table1-scenes-cells.csv").open())}
    assert rows["100coop"]["status"] == "failed"
    assert "kmeans: 24 clients" in rows["100coop"]["reason"]
    assert rows["20coop"]["status"] == "done"


def test_figures_are_those_of_the_runs(computed: tuple[Path, list[str], list[int], str]) -> None:
    folder = computed[0]
    rows = [row for row in csv.DictReader((folder / "table1-scenes-cells.csv").open()) if row["status"] == "done"]
    assert len(rows) == 5
    for row in rows:
        cell = folder / "cells" / f"table1-scenes-{int(row['point']):03d}-{row['method']}-0"
        evaluation = json.loads((cell / "evaluation.json").read_text())
        for name in ("mAP", "CF1", "OF1"):
            assert float(row[name]) == evaluation["test"][name]
            assert float(row[f"{name} as published"]) == evaluation["test_oracle_thresholds"][name]
    page = (folder / "index.html").read_text()
    assert "<svg" in page
    assert "kmeans: 24 clients" in page


def test_tables_are_written_again_without_running_and_other_settings_are_refused(
    computed: tuple[Path, list[str], list[int], str],
) -> None:
    folder = computed[0]
    stamps = {path: path.stat().st_mtime_ns for path in (folder / "cells").glob("*/checkpoints/*")}
    (folder / "table1-scenes.md").unlink()
    again = fedmpt(*GRID, "--set", "federation.rounds=1", cwd=folder.parents[1])
    assert again.returncode == 1
    assert "CoOp" in (folder / "table1-scenes.md").read_text()
    assert stamps == {path: path.stat().st_mtime_ns for path in (folder / "cells").glob("*/checkpoints/*")}
    other = fedmpt(*GRID, "--set", "federation.rounds=2", cwd=folder.parents[1])
    assert other.returncode == 2
    assert "federation.rounds is 1, not 2" in other.stderr
    failed = fedmpt(
        *GRID, "--methods", "coop", "--points", "100", "--set", "optimiser.momentum=0.7", cwd=folder.parents[1]
    )
    assert failed.returncode == 2
    assert "this cell failed with other settings" in failed.stderr


def test_a_killed_workers_cell_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    words = [
        "reproduce",
        "table1",
        "--methods",
        "coop",
        "--points",
        "10",
        *WORDS,
        "--cache-dir",
        str(tmp_path / "cache"),
    ]
    words += ["--set", "federation.rounds=24", "--set", "checkpoint_every=4", "--cache-dir", str(tmp_path / "cache")]
    process = start([*words, "--out", "cut"], tmp_path)
    run = tmp_path / "cut" / "cells" / "table1-scenes-010-coop-0"
    deadline = time.monotonic() + 120
    while not (run / "checkpoints" / "round-0004.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    lease = run.with_name(f"{run.name}.lease")
    assert lease.exists()
    assert not (run / "evaluation.json").exists()
    went_on = fedmpt(*words, "--out", "cut", cwd=tmp_path)
    assert went_on.returncode == 0, went_on.stderr
    assert not lease.exists()
    whole = fedmpt(*words, "--out", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    one, other = (Run.open(tmp_path / name / "cells" / run.name) for name in ("cut", "whole"))
    assert one.metrics() == other.metrics()
    assert one.checkpoints()[24].read_bytes() == other.checkpoints()[24].read_bytes()
    assert one.evaluation() == other.evaluation()
