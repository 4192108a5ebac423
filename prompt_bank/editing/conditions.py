"""What is true of conditions, however they are edited: ids, origins, and what several of them have together."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from fedmpt.common.words import fold
from prompt_bank.editing.affinities import marked
from prompt_bank.schema import Bank, Caption, Condition

SUPPORT_DIGITS = 4
"""Decimals of a recomputed support."""

WORDS = ("text", "definition", "values")
"""The fields of a condition that a person rewrites; a mined condition with another one is an edited one."""


def with_origins(before: Bank, after: Bank) -> Bank:
    """The changed bank with honest origins, for one that a person wrote in an editor.

    A mined condition whose words a person changed is an edited one; one that was not there before is an added one.
    Cells of an affinity whose numbers are others are corrections.
    """
    known = {c.id: c for c in before.conditions}
    old, new = ({label.name for label in bank.labels} for bank in (before, after))
    conditions = (
        marked(known[c.id], as_edited(known[c.id], c), old) if c.id in known else marked(None, as_added(c), new)
        for c in after.conditions
    )
    return after.model_copy(update={"conditions": tuple(conditions)})


def identifier(text: str, taken: Collection[str]) -> str:
    """An id for a condition's text that is not taken yet: "time of day" → "time-of-day", then "time-of-day-2"."""
    stem = re.sub(r"[^a-z0-9]+", "-", fold(text)).strip("-")[:48] or "condition"
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    return name


def as_edited(before: Condition, after: Condition) -> Condition:
    """The condition after a person changed it: no longer a mined one if its words are others."""
    same = all(getattr(before, field) == getattr(after, field) for field in WORDS)
    return after if same or after.origin != "mined" else after.model_copy(update={"origin": "edited"})


def as_added(condition: Condition) -> Condition:
    """A condition that a person wrote: no model proposed it."""
    return condition if condition.origin != "mined" else condition.model_copy(update={"origin": "added"})


def united_support(merged: Sequence[Condition], captions: Sequence[Caption]) -> float | None:
    """The share of the captions that one of the conditions explains; None where some evidence was left out."""
    if not captions:
        return None
    if all(condition.kinds for condition in merged):
        kinds = {kind for condition in merged for kind in condition.kinds}
        together = sum(any(factor.kind in kinds for factor in caption.factors) for caption in captions)
        return round(together / len(captions), SUPPORT_DIGITS)
    for condition in merged:
        counted = len(set(condition.evidence)) / len(captions)
        if condition.support is None or abs(counted - condition.support) > 0.5 * 10**-SUPPORT_DIGITS + 1e-12:
            return None
    return round(len({i for c in merged for i in c.evidence}) / len(captions), SUPPORT_DIGITS)


def once(texts: Iterable[str], folded: bool = False) -> tuple[str, ...]:
    """Each text the first time that it comes; `folded` takes those for one that differ in case or form alone."""
    found: dict[str, str] = {}
    for text in texts:
        found.setdefault(fold(text) if folded else text, text)
    return tuple(found.values())
