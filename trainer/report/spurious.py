"""Spurious activation by label pair, of this run and of those that it is compared with."""

from __future__ import annotations

from typing import Any

SHOWN = 25
"""Maximum number of pairs on the page; those with the highest activation are shown."""


def spurious_summary(
    evaluation: dict[str, Any], others: list[dict[str, Any]], names: list[str]
) -> dict[str, Any] | None:
    """The pairs with the highest activation, with that of other runs; None if no site ties labels together.

    Args:
        evaluation: the content of evaluation.json.
        others: that of other runs.
        names: of the other runs.
    """
    found: dict[str, Any] | None = evaluation["spurious_activation"]
    if not found:
        return None
    beside = [other["spurious_activation"] or {"mean": None, "each": []} for other in others]
    by_pair = [{(row["present"], row["claimed"]): row["activation"] for row in other["each"]} for other in beside]
    each = [
        {**row, "others": [known.get((row["present"], row["claimed"])) for known in by_pair]}
        for row in found["each"][:SHOWN]
    ]
    means = [{"name": name, "mean": other["mean"]} for name, other in zip(names, beside, strict=True)]
    return {**found, "each": each, "others": means}
