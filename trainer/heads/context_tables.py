"""Sources of knowledge of conditions: a bank, the natural world's rules, or the sites' annotations.

Shape letters: C labels, N conditions, V values, D joint width.
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

from prompt_bank.dependencies.predicting import conditions_with_affinity, derive_dependencies, lift_matrix
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

MAX_LIFT = 5.0
"""Bound of the absolute value of a log-lift; e⁵ = 148."""
PSEUDO_IMAGES = 1.0
"""Images with average label frequencies that are added to the counts, so that no frequency is 0."""


@dataclass(frozen=True)
class ContextTable:
    """The frequencies of labels under the values of conditions.

    Attributes:
        conditions: their texts.
        values: of each condition.
        lifts: for each condition (V, C), log P(c | v) - log P(c).
        pairs: (C, C) strength of the dependency of two labels, standardised over the pairs; 0 on the diagonal.
    """

    conditions: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    lifts: tuple[Matrix, ...]
    pairs: Matrix

    def permuted(self, order: NDArray[np.int64]) -> ContextTable:
        """The table in which label c has what label order[c] had."""
        return replace(self, lifts=tuple(one[:, order] for one in self.lifts), pairs=self.pairs[order][:, order])


def bank_table(bank: Bank, labels: Sequence[str], only: tuple[str, ...]) -> ContextTable:
    """The table of a bank's affinities.

    A cell of an affinity is log P(v | c) - log P(v); by Bayes' rule that is the log-lift of the label under the value.

    Args:
        bank: with affinities.
        labels: C names, in the order of the data.
        only: see `ContextConfig.context_conditions`.

    Raises:
        TrainerError: no active condition has an affinity, or one of `only` has none.
    """
    available = conditions_with_affinity(bank)
    conditions = _select_conditions([c for c in available if c.values], only, "an affinity")
    used = {c.id for c in conditions}
    dependencies = derive_dependencies(bank, {c.id: float(c.id in used) for c in available})
    order = [dependencies.labels.index(name) for name in labels]
    return ContextTable(
        tuple(c.text for c in conditions),
        tuple(c.values for c in conditions),
        tuple(lift_matrix(c, labels).T for c in conditions),
        standardised(dependencies.total[order][:, order]),
    )


def oracle_table(world: object, only: tuple[str, ...]) -> ContextTable:
    """The exact table of the natural world's validation and test images.

    Raises:
        TrainerError: not a natural world, or one of `only` is not a condition of it.
    """
    if not isinstance(world, NaturalWorld):
        raise TrainerError("method.context=oracle needs data.dataset=scenes with data.scenes.variant=natural")
    if unknown := [name for name in only if name not in CONDITIONS]:
        raise TrainerError(
            f"method.context_conditions: the natural world has no '{unknown[0]}'; it has {', '.join(CONDITIONS)}"
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


def site_table(bank: Bank, only: tuple[str, ...], observed: ObservedLifts) -> ContextTable:
    """The table of the bank's values with frequencies observed in the sites' annotations.

    Args:
        bank: its values are used; its affinities are not.
        only: see `ContextConfig.context_conditions`.
        observed: by `observe_lifts`, of the same conditions.
    """
    conditions = conditions_with_values(bank, only)
    ends = np.cumsum([0, *(len(c.values) for c in conditions)])
    return ContextTable(
        tuple(c.text for c in conditions),
        tuple(c.values for c in conditions),
        tuple(observed.lifts[start:end] for start, end in pairwise(ends)),
        standardised(observed.pairs),
    )


def conditions_with_values(bank: Bank, only: tuple[str, ...]) -> list[Condition]:
    """The active conditions that have values.

    Raises:
        TrainerError: none has values, or one of `only` has none.
    """
    return _select_conditions([c for c in active_conditions(bank)[0] if c.values], only, "values")


@dataclass(frozen=True)
class ObservedLifts:
    """Log-lifts in annotated images: of labels under values (V, C), and of pairs of labels (C, C)."""

    lifts: Matrix
    pairs: Matrix


def observe_lifts(batches: Iterable[Batch], features: Tensor, membership: Tensor, scale: float) -> ObservedLifts:
    """Estimate log-lifts from annotated images; each image counts for the values by their CLIP probabilities.

    Unknown labels are excluded.

    Args:
        batches: of annotated images.
        features: (V, D) of the values, normalised.
        membership: (N, V); see `Knowledge`.
        scale: factor of the cosines.
    """
    present, known, both, both_known = [], [], [], []
    for batch in batches:
        positive, annotated = (batch.labels == 1).double(), (batch.labels >= 0).double()
        cosines = F.normalize(batch.image.float(), dim=-1) @ features.T.to(batch.image.device)
        weights = ((scale * cosines[:, None] + membership.to(cosines).log()).softmax(-1)).sum(1).double()
        present.append(weights.T @ positive)
        known.append(weights.T @ annotated)
        both.append(positive.T @ positive)
        both_known.append(annotated.T @ annotated)
    pair_counts, pair_totals = torch.stack(both).sum(0), torch.stack(both_known).sum(0)
    counts, totals = pair_counts.diagonal(), pair_totals.diagonal()
    rate = ((counts + PSEUDO_IMAGES / len(counts)) / (totals + PSEUDO_IMAGES)).clamp_min(1e-6)
    under = (torch.stack(present).sum(0) + PSEUDO_IMAGES * rate) / (torch.stack(known).sum(0) + PSEUDO_IMAGES)
    expected = rate[:, None] * rate
    together = (pair_counts + PSEUDO_IMAGES * expected) / (pair_totals + PSEUDO_IMAGES)
    return ObservedLifts((under / rate).log().numpy(force=True), (together / expected).log().numpy(force=True))


def standardised(pairs: Matrix) -> Matrix:
    """Scaled to mean 0 and standard deviation 1 over the pairs of different labels; 0 on the diagonal."""
    different = ~np.eye(len(pairs), dtype=bool)
    limited = np.nan_to_num(pairs, nan=0.0, posinf=MAX_LIFT, neginf=-MAX_LIFT)
    spread = limited[different].std() if different.any() else 0.0
    scores = (limited - limited[different].mean()) / spread if spread > 1e-12 else np.zeros_like(limited)
    return np.where(different, scores, 0.0)


def to_knowledge(settings: ContextConfig, table: ContextTable, clip: FrozenClip, labels: Sequence[str]) -> Knowledge:
    """The tensors of the context term, with text features of the frozen CLIP; on the CPU."""
    if settings.context_form == "label-graph":
        return {"pairs": _tensor(table.pairs)}
    if settings.context_form == "compound":
        return _compounds(settings, table, clip, labels)
    return {
        "values": encode_values(clip, settings.context_template, [v for one in table.values for v in one]),
        "members": membership(table.values),
        "lifts": _tensor(np.clip(np.concatenate(table.lifts), -MAX_LIFT, MAX_LIFT)),
    }


def membership(values: Sequence[Sequence[str]]) -> Tensor:
    """(N, V): 1 if the value is one of the condition's, otherwise 0."""
    counts = torch.tensor([len(one) for one in values])
    return F.one_hot(torch.arange(len(values)).repeat_interleave(counts), len(values)).T.float().contiguous()


@torch.no_grad()
def encode_values(clip: FrozenClip, template: str, values: list[str]) -> Tensor:
    """(V, D) normalised text features of values in a prompt template, on the CPU."""
    return F.normalize(clip.encode_texts([template.replace("{}", value) for value in values]), dim=-1).cpu()


def _compounds(settings: ContextConfig, table: ContextTable, clip: FrozenClip, labels: Sequence[str]) -> Knowledge:
    """Prompts of each label together with its most likely values over all conditions, and alone."""
    values = [value for one in table.values for value in one]
    best = np.argsort(-np.concatenate(table.lifts), axis=0, kind="stable")[: settings.context_compounds]
    texts = [f"{label} and a {values[v]}" for c, label in enumerate(labels) for v in best[:, c]]
    together = encode_values(clip, settings.context_template, texts)
    return {
        "compounds": together.unflatten(0, (len(labels), len(best))),
        "plain": encode_values(clip, settings.context_template, list(labels)),
    }


def _select_conditions(conditions: list[Condition], only: tuple[str, ...], needed: str) -> list[Condition]:
    chosen = [c for c in conditions if not only or c.text in only or c.id in only]
    names = {name for c in chosen for name in (c.text, c.id)}
    missing = [name for name in only if name not in names]
    if missing or not chosen:
        which = f"active condition '{missing[0]}'" if missing else "active condition"
        raise TrainerError(
            f"method.context: the bank has no {which} with {needed}; "
            "mine the bank anew, edit it (fedmpt bank edit), or use method.context=none"
        )
    return chosen


def _tensor(matrix: Matrix) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(matrix)).float()
