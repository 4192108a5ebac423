"""What a run tells an experiment tracker, and the registry of trackers by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from fedmpt.common.errors import FedmptError
from trainer.errors import TrainerError, unknown_name
from trainer.run.folder import Run
from trainer.run.records import TrackingRecord, read_record

TRACKERS = {"mlflow": "trainer.tracking.mlflow", "wandb": "trainer.tracking.wandb"}
"""The module of each tracker, with a function `open_tracker`. Its package and its extra have the tracker's name."""
RECORD = "tracking.json"
"""The file in a run's folder with the id that each tracker gave the run, so that a resumed run goes on there."""
PROJECT = "fedmpt"
"""Name of the experiment or project, unless the tracker's own environment variables name another."""

Scalars = dict[str, Any]
"""Flat values: numbers, text, truth values."""


class Tracker(Protocol):
    """An open run of a tracker."""

    id: str
    """The tracker's id of the run."""

    def log_round(self, rounds: int, values: Scalars) -> None:
        """Metrics after a number of rounds."""

    def log_figures(self, values: Scalars) -> None:
        """The test metrics."""

    def log_file(self, path: Path) -> None:
        """A file, the report for instance."""

    def close(self, failed: bool) -> None:
        """End the run."""


class Tracking:
    """All trackers of a run. One that fails after training began is reported and left out; training goes on.

    Args:
        trackers: by name.
        say: receives the notes.
    """

    def __init__(self, trackers: dict[str, Tracker], say: Callable[[str], None]) -> None:
        self.trackers, self._say = trackers, say

    def __bool__(self) -> bool:
        return bool(self.trackers)

    def each(self, action: Callable[[Tracker], None]) -> None:
        """Do something with each tracker."""
        for name, tracker in list(self.trackers.items()):
            try:
                action(tracker)
            except Exception as error:  # the trackers' errors have no common type
                del self.trackers[name]
                said = " ".join(str(error).split())[:300] or type(error).__name__
                self._say(f"warning: {name} failed ({said}) and is left out; the run's folder has everything")


@contextmanager
def tracking(run: Run, names: Iterable[str], say: Callable[[str], None]) -> Iterator[Tracking]:
    """Open trackers for a run; those that tracked it before go on.

    They get the run's settings at once, and are told at the end whether the run failed.

    Raises:
        TrainerError: an unknown tracker, one whose package is missing, or one that cannot be opened.
    """
    known = recorded(run)
    opened: dict[str, Tracker] = {}
    together = Tracking(opened, say)
    failed = True
    try:
        for name in dict.fromkeys([*known, *names]):
            opened[name] = _open(name, run, known.get(name))
            run.write_json(RECORD, {**known, **{one: tracker.id for one, tracker in opened.items()}})
        yield together
        failed = False
    finally:
        together.each(lambda tracker: tracker.close(failed))


def recorded(run: Run) -> dict[str, str]:
    """The ids of the run by tracker; empty if it was not tracked.

    Raises:
        TrainerError: the file is damaged.
    """
    path = run.folder / RECORD
    if not path.is_file():
        return {}
    try:
        return read_record(path, TrackingRecord)[1].root
    except FedmptError as error:
        raise TrainerError(f"{error}; delete it, and the run goes on untracked") from error


def check_names(names: Iterable[str]) -> None:
    """Check that trackers exist and are installed, before a run is made.

    Raises:
        TrainerError: an unknown tracker, or one whose package is missing.
    """
    for name in names:
        if name not in TRACKERS:
            raise unknown_name("tracker", name, list(TRACKERS))
        if find_spec(name) is None:
            raise TrainerError(f"--track {name} needs its package: pip install 'fedmpt[{name}]'")


def _open(name: str, run: Run, known: str | None) -> Tracker:
    check_names([name])
    settings = flat(run.config().model_dump(mode="json"))
    try:
        tracker: Tracker = importlib.import_module(TRACKERS[name]).open_tracker(run, known, settings)
    except Exception as error:  # the trackers' errors have no common type
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise TrainerError(f"--track {name}: cannot be opened ({said})") from error
    return tracker


def flat(tree: dict[str, Any], above: str = "") -> Scalars:
    """A tree of settings or metrics by dotted key."""
    found: Scalars = {}
    for key, value in tree.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


def numbers(values: Scalars) -> dict[str, float]:
    """Only what can be drawn as a curve."""
    kept = {key: value for key, value in values.items() if isinstance(value, int | float)}
    return {key: float(value) for key, value in kept.items()}
