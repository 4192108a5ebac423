"""Where knowledge of conditions comes from: a bank, the natural world itself, the sites' annotations, or a permutation.

Shape letters: n images, C labels, V values of a condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from prompt_bank.dependencies.predicting import derived, lifts
from prompt_bank.prompts.layout import active_conditions
from prompt_bank.schema import Bank, Condition
from trainer.backbone.clip import FrozenClip
from trainer.data.batches import Batch
from trainer.data.scenes import NaturalWorld
from trainer.data.scenes.natural import CONDITIONS
from trainer.data.scenes.occurrence import by_value, occurrence
from trainer.errors import TrainerError
from trainer.heads.context import ContextConfig, Knowledge

Matrix = NDArray[np.float64]

LARGEST_LIFT = 5.0
"""Of a log-lift, either way: e⁵ is 148, more than any value tells."""
PSEUDO_IMAGES = 1.0
"""That are counted beside the sites' images, with labels as frequent as everywhere."""


@dataclass(frozen=True)
class ContextTable:
    """How usual labels are under the values of conditions.

    Attributes:
        conditions: their texts.
        values: of each condition.
        lifts: for each condition (V, C), log P(c | v) - log P(c).
        pairs: (C, C) how strongly labels are tied, standardised over the pairs; 0 on the diagonal.
    """

    conditions: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    lifts: tuple[Matrix, ...]
    pairs: Matrix

    def permuted(self, order: NDArray[np.int64]) -> ContextTable:
        """The same knowledge of other labels: label c has what label order[c] had."""
        return replace(self, lifts=tuple(one[:, order] for one in self.lifts), pairs=self.pairs[order][:, order])


def of_bank(bank: Bank, labels: Sequence[str], only: tuple[str, ...]) -> ContextTable:
    """What a bank's affinities say.

    A row of an affinity is log P(v | c) - log P(v), by Bayes the log-lift of the label under the value.

    Args:
        bank: with affinities.
        labels: C names, in the order of the data.
        only: as `ContextConfig.context_conditions`.

    Raises:
        TrainerError: no condition in use has an affinity, or one of `only` hasn't.
    """
    conditions = _named([c for c in active_conditions(bank)[0] if c.affinity and c.values], only, "an affinity")
    ties = derived(bank, {c.id: float(c.id in {one.id for one in conditions}) for c in _with_affinity(bank)})
    order = [ties.labels.index(name) for name in labels]
    return ContextTable(
        tuple(c.text for c in conditions),
        tuple(c.values for c in conditions),
        tuple(lifts(c, labels).T for c in conditions),
        standardised(ties.total[order][:, order]),
    )


def of_world(world: object, only: tuple[str, ...]) -> ContextTable:
    """What is true in the natural world's validation and test images.

    Raises:
        TrainerError: another world, or one of `only` is no condition of it.
    """
    if not isinstance(world, NaturalWorld):
        raise TrainerError("method.context=oracle is for data.dataset=scenes with data.scenes.variant=natural")
    if unknown := [name for name in only if name not in CONDITIONS]:
        raise TrainerError(
            f"method.context_conditions: the natural world has no '{unknown[0]}', it has {', '.join(CONDITIONS)}"
        )
    circumstances = world.circumstances(None)
    truth = occurrence(circumstances)
    names = only or tuple(CONDITIONS)
    found = [by_value(circumstances, name) for name in names]
    return ContextTable(
        names,
        tuple(tuple(rows) for rows in found),
        tuple(np.log(np.stack([row for _, row in rows.values()]) / truth.single) for rows in found),
        standardised(np.log(truth.lift())),
    )


def of_sites(bank: Bank, only: tuple[str, ...], counted: Counted) -> ContextTable:
    """What the sites' own annotations say of the bank's values.

    Args:
        bank: whose values are looked for; its affinities aren't read.
        only: as `ContextConfig.context_conditions`.
        counted: by `count`, of the same conditions.
    """
    conditions = valued(bank, only)
    ends = np.cumsum([0, *(len(c.values) for c in conditions)])
    return ContextTable(
        tuple(c.text for c in conditions),
        tuple(c.values for c in conditions),
        tuple(counted.lifts[start:end] for start, end in pairwise(ends)),
        standardised(counted.pairs),
    )


def valued(bank: Bank, only: tuple[str, ...]) -> list[Condition]:
    """The conditions in use that have values.

    Raises:
        TrainerError: none has, or one of `only` hasn't.
    """
    return _named([c for c in active_conditions(bank)[0] if c.values], only, "values")


@dataclass(frozen=True)
class Counted:
    """Log-lifts counted in annotated images: of labels under values (V, C), and of pairs (C, C)."""

    lifts: Matrix
    pairs: Matrix


def count(batches: Iterable[Batch], features: Tensor, members: Tensor, scale: float) -> Counted:
    """Count labels under the values that CLIP sees in images, each image shared among them, and labels together.

    Unknown labels are left out.

    Args:
        batches: of annotated images.
        features: (V, D) of the values, normalised.
        members: (N, V), as in `Knowledge`.
        scale: by which cosines become logits.
    """
    present, known, both, both_known = [], [], [], []
    for batch in batches:
        there, annotated = (batch.labels == 1).double(), (batch.labels >= 0).double()
        cosines = F.normalize(batch.image.float(), dim=-1) @ features.T.to(batch.image.device)
        shares = ((scale * cosines[:, None] + members.to(cosines).log()).softmax(-1)).sum(1).double()
        present.append(shares.T @ there)
        known.append(shares.T @ annotated)
        both.append(there.T @ there)
        both_known.append(annotated.T @ annotated)
    alone, of = torch.stack(both).sum(0).diagonal(), torch.stack(both_known).sum(0).diagonal()
    rate = ((alone + PSEUDO_IMAGES / len(alone)) / (of + PSEUDO_IMAGES)).clamp_min(1e-6)
    by_values = torch.stack(present).sum(0) + PSEUDO_IMAGES * rate
    under = by_values / (torch.stack(known).sum(0) + PSEUDO_IMAGES)
    expected = rate[:, None] * rate
    together = (torch.stack(both).sum(0) + PSEUDO_IMAGES * expected) / (torch.stack(both_known).sum(0) + PSEUDO_IMAGES)
    return Counted((under / rate).log().numpy(force=True), (together / expected).log().numpy(force=True))


def standardised(pairs: Matrix) -> Matrix:
    """Mean 0 and standard deviation 1 over the pairs of different labels, 0 on the diagonal."""
    apart = ~np.eye(len(pairs), dtype=bool)
    limited = np.nan_to_num(pairs, nan=0.0, posinf=LARGEST_LIFT, neginf=-LARGEST_LIFT)
    spread = limited[apart].std() if apart.any() else 0.0
    scores = (limited - limited[apart].mean()) / spread if spread > 1e-12 else np.zeros_like(limited)
    return np.where(apart, scores, 0.0)


def knowledge(settings: ContextConfig, table: ContextTable, clip: FrozenClip, labels: Sequence[str]) -> Knowledge:
    """What the term needs of a table, with text features of the frozen CLIP, encoded once; on the CPU."""
    if settings.context_form == "label-graph":
        return {"pairs": _tensor(table.pairs)}
    if settings.context_form == "compound":
        return _compounds(settings, table, clip, labels)
    lifted = np.concatenate(table.lifts)
    return {
        "values": encoded(clip, settings.context_template, [v for one in table.values for v in one]),
        "members": members(table.values),
        "lifts": _tensor(np.clip(lifted, -LARGEST_LIFT, LARGEST_LIFT)),
    }


def members(values: Sequence[Sequence[str]]) -> Tensor:
    """(N, V) 1 where a value is the condition's."""
    counts = torch.tensor([len(one) for one in values])
    return F.one_hot(torch.arange(len(values)).repeat_interleave(counts), len(values)).T.float().contiguous()


@torch.no_grad()
def encoded(clip: FrozenClip, template: str, words: list[str]) -> Tensor:
    """(V, D) normalised text features of words in a sentence, on the CPU."""
    return F.normalize(clip.encode_texts([template.replace("{}", word) for word in words]), dim=-1).cpu()


def _compounds(settings: ContextConfig, table: ContextTable, clip: FrozenClip, labels: Sequence[str]) -> Knowledge:
    """Prompts that name a label with its most usual values, of all conditions, and alone."""
    words = [value for one in table.values for value in one]
    best = np.argsort(-np.concatenate(table.lifts), axis=0, kind="stable")[: settings.context_compounds]
    named = [f"{label} and a {words[v]}" for c, label in enumerate(labels) for v in best[:, c]]
    together = encoded(clip, settings.context_template, named)
    return {
        "compounds": together.unflatten(0, (len(labels), len(best))),
        "plain": encoded(clip, settings.context_template, list(labels)),
    }


def _named(conditions: list[Condition], only: tuple[str, ...], what: str) -> list[Condition]:
    chosen = [c for c in conditions if not only or c.text in only or c.id in only]
    there = {name for c in chosen for name in (c.text, c.id)}
    missing = [name for name in only if name not in there]
    if missing or not chosen:
        which = f"condition '{missing[0]}' in use" if missing else "condition in use"
        raise TrainerError(
            f"method.context: the bank has no {which} with {what}; "
            "mine the bank anew, write some (fedmpt bank edit), or take method.context=none"
        )
    return chosen


def _with_affinity(bank: Bank) -> list[Condition]:
    return [c for c in active_conditions(bank)[0] if c.affinity]


def _tensor(matrix: Matrix) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(matrix)).float()
