"""What a run's figures say of its training: still learning, one answer for all images, refused replies, yardsticks."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from trainer.evaluation.comparison import yardstick_rows

if TYPE_CHECKING:
    from trainer.run.folder import Run

RISE = 1.0
"""Percentage points by which the validation mAP must rise in the last quarter of the rounds to count as rising."""
LEAST_ROUNDS = 4
"""With fewer rounds there is no quarter."""
CLOSE = 0.95
"""Fraction of the pooled linear probe's mAP that a method is expected to reach."""


def findings(run: Run) -> list[str]:
    """What an evaluated run's figures say, and what to do; empty if there is nothing to say.

    Raises:
        TrainerError: the run is not evaluated.
    """
    evaluation = run.evaluation()
    found = []
    if still_rising(run.metrics()):
        rounds = max(line["rounds"] for line in run.metrics())
        found.append(
            f"it was still learning: the validation mAP rose until the end. Go on with: "
            f"fedmpt train --resume {shlex.quote(str(run.folder))} --rounds {2 * rounds}"
        )
    if evaluation.get("distinct_predictions") == 1 and evaluation["images"] > 1:
        found.append(
            "it predicts the same labels for every test image, so it has learned nothing about images yet: train "
            "longer (more --rounds, a smaller optimiser.batch_size), or use a backbone that knows your images"
        )
    return [*found, *refusals(run.metrics()), *_against_yardsticks(run, evaluation)]


def refusals(metrics: list[dict[str, Any]]) -> list[str]:
    """For each client with replies that did not count: in how many rounds, and why the first time."""
    refused: dict[int, list[tuple[int, str]]] = {}
    for line in metrics:
        for refusal in line.get("refused", ()):
            refused.setdefault(refusal["client"], []).append((line["rounds"], refusal["reason"]))
    return [
        f"client {client} did not count in {len(times)} of {len(metrics)} rounds; in round {first} it {reason}"
        for client, times in sorted(refused.items())
        for first, reason in times[:1]
    ]


def still_rising(metrics: list[dict[str, Any]]) -> bool:
    """Whether the best validation mAP of the last quarter of rounds is clearly above that of all rounds before."""
    scored = [line["validation"]["mAP"] for line in metrics if line["validation"]["mAP"] is not None]
    if len(scored) < LEAST_ROUNDS:
        return False
    before = len(scored) - max(1, len(scored) // 4)
    return bool(max(scored[before:]) - max(scored[:before]) > RISE)


def _against_yardsticks(run: Run, evaluation: dict[str, Any]) -> list[str]:
    own = evaluation["test"]["mAP"]
    figures = {row["name"]: row for row in yardstick_rows(run) if row["mAP"] is not None}
    if own is None or not figures:
        return []
    pooled = figures.pop("probe-pooled", None)
    if evaluation["method"] == "zero-shot":
        figures.pop("zero-shot", None)
    above = [f"{row['title']} ({row['mAP']:.1f})" for row in figures.values() if row["mAP"] > own + 0.05]
    found = []
    if above:
        found.append(f"its mAP of {own:.1f} is below {', '.join(above)}")
    if pooled is not None and evaluation["description"]["trainable"] and own < CLOSE * pooled["mAP"]:
        found.append(
            f"its mAP of {own:.1f} is {100 - 100 * own / pooled['mAP']:.0f} % below that of a linear probe on the "
            f"pooled images ({pooled['mAP']:.1f}): the features hold more than it has learned; more rounds may help"
        )
    return found
