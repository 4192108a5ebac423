"""Statistics of captions and conditions. A condition explains a caption if it has the kind of one of its factors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations

from prompt_bank.schema import Caption, Condition


def explained(captions: Sequence[Caption], conditions: Sequence[Condition]) -> dict[str, tuple[str, ...]]:
    """For each caption id the ids of the conditions that explain it, in the order of the conditions."""
    homes: dict[str, set[str]] = {}
    for condition in conditions:
        for kind in condition.kinds:
            homes.setdefault(kind, set()).add(condition.id)
    found = {}
    for caption in captions:
        there = set[str]().union(*(homes.get(factor.kind, ()) for factor in caption.factors))
        found[caption.id] = tuple(c.id for c in conditions if c.id in there)
    return found


def support(conditions: Sequence[Condition], explains: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """For each condition id the share of the captions that it explains; 0 if there are no captions."""
    counted = Counter(i for ids in explains.values() for i in ids)
    return {c.id: counted[c.id] / len(explains) if explains else 0.0 for c in conditions}


def overlaps(conditions: Sequence[Condition], explains: dict[str, tuple[str, ...]]) -> dict[tuple[str, str], float]:
    """For each pair of condition ids the Jaccard index of the captions that they explain; 0 if they explain none."""
    alone = Counter(i for ids in explains.values() for i in ids)
    both = Counter(pair for ids in explains.values() for pair in combinations(ids, 2))
    found = {}
    for a, b in combinations((c.id for c in conditions), 2):
        either = alone[a] + alone[b] - both[a, b]
        found[a, b] = both[a, b] / either if either else 0.0
    return found


def greedy_cover(candidates: Iterable[str], explains: dict[str, tuple[str, ...]], share: float) -> list[str]:
    """Greedy set cover: a small set of conditions that together explain a share of the captions, in order of choice.

    The result is at most ln(captions) + 1 times as large as the smallest set; no polynomial algorithm has a
    substantially better bound (Feige 1998). If all conditions together explain less than the share, every condition
    that adds a caption is chosen.

    Args:
        candidates: condition ids; ties go to the first.
        explains: for each caption id the ids of the conditions that explain it.
        share: the share of all captions, from 0 to 1.
    """
    open_captions = {caption: set(ids) for caption, ids in explains.items()}
    left, chosen = list(candidates), []
    most_open = len(explains) - share * len(explains)
    while left and len(open_captions) > most_open + 1e-9:
        gain = Counter(i for ids in open_captions.values() for i in ids)
        best = max(left, key=lambda i: gain[i])
        if not gain[best]:
            break
        chosen.append(best)
        left.remove(best)
        open_captions = {caption: ids for caption, ids in open_captions.items() if best not in ids}
    return chosen
