"""Rules for conditions that every kind of edit shares: ids, origins, the support of a merge."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from fedmpt.common.words import fold
from prompt_bank.editing.affinities import mark_corrections
from prompt_bank.editing.labels import mark_labels
from prompt_bank.schema import Bank, Caption, Condition

SUPPORT_DIGITS = 4
"""Decimals of a recomputed support."""

CONTENT_FIELDS = ("text", "definition", "values")
"""The fields whose change turns a mined condition into an edited one."""


def update_origins(before: Bank, after: Bank) -> Bank:
    """Set origins and corrections in a bank that a person edited as a file.

    A mined condition with changed words becomes an edited one; a new condition becomes an added one; changed numbers
    of an affinity become corrections; a label's changed attributes become edited ones.

    Args:
        before: the bank before the edit.
        after: the bank as the person wrote it.
    """
    known = {c.id: c for c in before.conditions}
    old, new = ({label.name for label in bank.labels} for bank in (before, after))
    conditions = (
        mark_corrections(known[c.id], mark_edited(known[c.id], c), old)
        if c.id in known
        else mark_corrections(None, mark_added(c), new)
        for c in after.conditions
    )
    labels = mark_labels(before.labels, after.labels)
    return after.model_copy(update={"conditions": tuple(conditions), "labels": labels})


def make_id(text: str, taken: Collection[str]) -> str:
    """An unused id derived from a condition's text: "time of day" → "time-of-day", or "time-of-day-2" if taken."""
    stem = re.sub(r"[^a-z0-9]+", "-", fold(text)).strip("-")[:48] or "condition"
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    return name


def mark_edited(before: Condition, after: Condition) -> Condition:
    """The changed condition, with origin "edited" if it was mined and its words differ."""
    same = all(getattr(before, field) == getattr(after, field) for field in CONTENT_FIELDS)
    return after if same or after.origin != "mined" else after.model_copy(update={"origin": "edited"})


def mark_added(condition: Condition) -> Condition:
    """The condition with origin "added", unless it is already "edited"."""
    return condition if condition.origin != "mined" else condition.model_copy(update={"origin": "added"})


def merged_support(merged: Sequence[Condition], captions: Sequence[Caption]) -> float | None:
    """The support of a merged condition: the share of the captions that at least one of the conditions explains.

    It is counted from the captions' factors, or, if a condition has no kinds, from the evidence. None if there are no
    captions, or if the evidence of a condition is incomplete.
    """
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


def deduplicate(texts: Iterable[str], folded: bool = False) -> tuple[str, ...]:
    """The distinct texts in order of first occurrence; `folded` ignores case and Unicode form."""
    found: dict[str, str] = {}
    for text in texts:
        found.setdefault(fold(text) if folded else text, text)
    return tuple(found.values())
