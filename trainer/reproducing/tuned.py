"""Settings of each row tuned before its cells are computed, with the same number of tries for all rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from trainer.options import Options
from trainer.reproducing.grid import Plan
from trainer.reproducing.lineup import Settings
from trainer.run_config import RunConfig

SEED = 100
"""The seed of the images that are tuned on: on scenes another world, elsewhere another split into training and
validation images. No table has it."""


class Tuner(Protocol):
    """Finds the best settings of a run on its validation images; several processes may share the folder."""

    def __call__(
        self, config: RunConfig, bank: Path | None, tries: int, folder: Path, options: Options | None = None
    ) -> dict[str, Any]:
        """What to change in `config`, by dotted key."""


def with_tuned_rows(
    plan: Plan, tries: int, tuner: Tuner, options: Options, say: Callable[[str], None] = lambda text: None
) -> Plan:
    """The plan with the best settings of each row, found at its middle point, with a seed that it does not have.

    Args:
        plan: the table.
        tries: for each row.
        tuner: finds them, `trainer.tuning.tuning.best_settings` for instance.
        options: how to work on runs.
        say: receives a line per row.

    Raises:
        FedmptError: wrong settings or data, or a row all of whose tries failed.
    """
    middle = plan.points[len(plan.points) // 2]
    found: dict[str, Settings] = {}
    for row in plan.rows:
        if row.fixed:
            continue
        folder = plan.out / "tuning" / f"{plan.table}-{plan.dataset}-{row.key}-{tries}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        config = plan.settings(row, middle, SEED)
        found[row.key] = tuner(config, plan.bank, tries, folder, options)
        chosen = ", ".join(f"{key}={value}" for key, value in found[row.key].items()) or "as given"
        say(f"{row.key}: best of {tries} tries: {chosen}")
    return replace(plan, tuned=found)
