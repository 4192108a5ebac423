"""measure: what the explanations say of the conditions. Nothing is asked; everything is counted.

C labels, N conditions; time and memory linear in the captions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations as pairs_of

from condition_miner.stages.vocabulary import Vocabulary
from fedmpt.common.words import fold
from prompt_bank.editing.measures import overlaps, smallest_cover, support
from prompt_bank.schema import Caption, Condition, Dependency

EVIDENCE = 8
"""Captions that are named as evidence at the most."""
VALUES = 6
"""Typical values of a condition at the most."""
LONGEST_VALUE = 40
"""Characters of a typical value."""

Explains = dict[str, tuple[str, ...]]
"""For each caption's id the ids of the conditions that explain it."""


def smallest(conditions: Sequence[Condition], explains: Explains, coverage: float) -> list[Condition]:
    """The smallest set that explains a share of the captions, those that add most first; one at the least."""
    chosen = smallest_cover([c.id for c in conditions], explains, coverage) or [conditions[0].id]
    of_id = {c.id: c for c in conditions}
    return [of_id[i] for i in chosen]


def measured(
    conditions: Sequence[Condition], captions: Sequence[Caption], explains: Explains, vocabulary: Vocabulary
) -> list[Condition]:
    """The conditions with their support, captions as evidence, and what the captions say most as typical values."""
    shares = support(conditions, explains)
    evidence: dict[str, list[str]] = {c.id: [] for c in conditions}
    for caption, ids in explains.items():
        for i in ids:
            if len(evidence[i]) < EVIDENCE:
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
    """For each pair of labels that captions show together the conditions that explain most of those captions."""
    of_pair: dict[tuple[str, str], list[str]] = {}
    for caption in captions:
        for pair in pairs_of(caption.labels, 2):
            of_pair.setdefault(pair, []).append(caption.id)
    found = []
    for pair, about in of_pair.items():
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
                evidence=tuple(evidence[:EVIDENCE]),
            )
        )
    return found


def doubts(conditions: Sequence[Condition], explains: Explains, highest: float) -> list[str]:
    """What a person should look at: conditions that explain nothing, or nearly the same as another one."""
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
    """The words that show it most often, without those that name an object."""
    kinds = set(condition.kinds)
    counted = Counter(
        fold(factor.words).strip(" .,;:") for caption in captions for factor in caption.factors if factor.kind in kinds
    )
    kept = [words for words, _ in counted.most_common() if words and len(words) <= LONGEST_VALUE]
    return tuple([words for words in kept if not vocabulary.names_object(words)][:VALUES])
