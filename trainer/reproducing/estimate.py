"""The expected time of a grid, from a few steps of each row on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trainer.errors import TrainerError
from trainer.estimate import expected_time
from trainer.planning import plan as steps_of
from trainer.plans import plan_of
from trainer.reproducing.grid import Cell, Plan
from trainer.reproducing.lineup import Row
from trainer.reproducing.sharing import SharedOptions


@dataclass(frozen=True)
class RowEstimate:
    """The expected time of a row's open cells.

    Attributes:
        row: the row.
        cells: how many are open.
        seconds: of training and validation, one cell after another.
        encoding: seconds for the features of one world, where they are not cached yet; other rows may share them.
        problem: why its first open cell will fail, if it will.
    """

    row: Row
    cells: int
    seconds: float
    encoding: float
    problem: str = ""


def estimates(plan: Plan, options: SharedOptions, cells: Sequence[Cell]) -> Iterator[RowEstimate]:
    """An estimate for each row with open cells.

    The steps of one cell are timed; the row's other cells are expected to take as long per step.

    Args:
        plan: the table.
        options: how to work on its runs.
        cells: those that are open.

    Raises:
        FedmptError: wrong data, weights or bank.
    """
    if cells:
        options.load(cells[0].settings, plan.bank)
    for row in plan.rows:
        own = [cell for cell in cells if cell.row == row]
        if own:
            yield _estimate(plan, options, row, own)


def _estimate(plan: Plan, options: SharedOptions, row: Row, cells: Sequence[Cell]) -> RowEstimate:
    try:
        prepared = options.prepare(cells[0].settings, plan.bank)
    except TrainerError as error:
        return RowEstimate(row, len(cells), 0.0, 0.0, str(error))
    timed = plan_of(prepared)
    found = expected_time(prepared, timed)
    a_step = found.training / timed.steps if timed.steps else 0.0
    steps = {point: _steps(options, cells, point, prepared.method.trainable()) for point in {c.point for c in cells}}
    seconds = sum(a_step * steps[cell.point] for cell in cells)
    return RowEstimate(row, len(cells), seconds, found.encoding)


def _steps(options: SharedOptions, cells: Sequence[Cell], point: int | None, trainable: int) -> int:
    """The steps of a row's cell at a point, with the images of its first seed; none if it cannot have its clients."""
    cell = next(cell for cell in cells if cell.point == point)
    try:
        config, train = options.training_images(cell.settings)
    except TrainerError:
        return 0
    return steps_of(config, train, trainable).steps
