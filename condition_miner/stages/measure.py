"""Stage measure: support, evidence, values and dependencies of the conditions, counted from the explanations.

No request is sent. C labels, N conditions; time and memory linear in the number of captions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations as pairs_of

from condition_miner.stages.vocabulary import Vocabulary
from fedmpt.common.words import fold
from prompt_bank.editing.measures import greedy_cover, overlaps, support
from prompt_bank.schema import Caption, Condition, Dependency

MAX_EVIDENCE = 8
"""The most captions listed as evidence."""
MAX_VALUES = 6
"""The most typical values of a condition."""
MAX_VALUE_CHARACTERS = 40
"""The longest typical value."""

Explains = dict[str, tuple[str, ...]]
"""Caption id → ids of the conditions that explain it."""


def smallest_explaining(conditions: Sequence[Condition], explains: Explains, coverage: float) -> list[Condition]:
    """A small set of conditions that explains this share of the captions: greedy, largest gain first, never empty."""
    chosen = greedy_cover([c.id for c in conditions], explains, coverage) or [conditions[0].id]
    of_id = {c.id: c for c in conditions}
    return [of_id[i] for i in chosen]


def with_measures(
    conditions: Sequence[Condition], captions: Sequence[Caption], explains: Explains, vocabulary: Vocabulary
) -> list[Condition]:
    """The conditions with their support, evidence (caption ids) and typical values (most frequent quoted words)."""
    shares = support(conditions, explains)
    evidence: dict[str, list[str]] = {c.id: [] for c in conditions}
    for caption, ids in explains.items():
        for i in ids:
            if len(evidence[i]) < MAX_EVIDENCE:
                evidence[i].append(caption)
    found = []
    for condition in conditions:
        values = _values(condition, captions, vocabulary)
        update = {
            "support": round(shares[condition.id], 4),
            "evidence": tuple(evidence[condition.id]),
            "values": values,
        }
        found.append(condition.model_copy(update=update))
    return found


def dependencies(captions: Sequence[Caption], conditions: Sequence[Condition], explains: Explains) -> list[Dependency]:
    """For each pair of labels that share captions, the conditions that explain more than half of these captions."""
    pair_counts: dict[tuple[str, str], list[str]] = {}
    for caption in captions:
        for pair in pairs_of(caption.labels, 2):
            pair_counts.setdefault(pair, []).append(caption.id)
    found = []
    for pair, about in pair_counts.items():
        counted = Counter(i for caption in about for i in explains[caption])
        governing = [c.id for c in conditions if 2 * counted[c.id] > len(about)]
        if not governing:
            continue
        evidence = [caption for caption in about if set(governing) & set(explains[caption])]
        counts = ", ".join(f"{i} in {counted[i]} of {len(about)} captions" for i in governing)
        found.append(
            Dependency(
                labels=pair,
                conditions=tuple(governing),
                because=f"explained by {counts}",
                evidence=tuple(evidence[:MAX_EVIDENCE]),
            )
        )
    return found


def condition_warnings(conditions: Sequence[Condition], explains: Explains, highest: float) -> list[str]:
    """Warnings for the reviewer: conditions that explain no caption, or nearly the same captions as another one."""
    texts = {c.id: c.text for c in conditions}
    shares = support(conditions, explains)
    said = [f"'{c.text}' explains none of the captions" for c in conditions if not shares[c.id]]
    for (a, b), share in overlaps(conditions, explains).items():
        if share >= highest:
            said.append(
                f"'{texts[a]}' and '{texts[b]}' explain nearly the same captions ({share:.0%} in common); are they one?"
            )
    return said


def _values(condition: Condition, captions: Sequence[Caption], vocabulary: Vocabulary) -> tuple[str, ...]:
    """The most frequent words of the condition's factors, without those that name an object."""
    kinds = set(condition.kinds)
    counted = Counter(
        fold(factor.words).strip(" .,;:") for caption in captions for factor in caption.factors if factor.kind in kinds
    )
    kept = [words for words, _ in counted.most_common() if words and len(words) <= MAX_VALUE_CHARACTERS]
    return tuple([words for words in kept if not vocabulary.names_object(words)][:MAX_VALUES])
