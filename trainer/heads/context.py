"""The context term: knowledge of conditions, added to the logits.

A condition (place) has values (kitchen, street), and each label is more or less frequent under each value. CLIP
estimates zero-shot which value an image has; the term adds what that implies for the labels, as a front-door sum over
values. None of it is learned from the sites' images, unless the term's strength is.

Shape letters: B images, N conditions, V values of all conditions, C labels, K compounds per label, D joint width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.config.settings import NameTemplate, Settings
from trainer.data.batches import Batch

BASE_RATE = 0.1
"""The assumed P(c); a bank has ratios only."""
MAX_PROBABILITY = 0.95
"""Upper bound of P(c | v), since ratios times `BASE_RATE` may exceed 1."""

Knowledge = Mapping[str, Tensor]
"""The tensors of a context term by name, depending on the form: `values` (V, D), `lifts` (V, C) and `members` (N, V),
which is 1 if a value is the condition's; or `pairs` (C, C); or `compounds` (C, K, D) and `plain` (C, D). Text features
are normalised."""


UNCHOSEN = 0.2
"""The strength until one is chosen, and if validation images cannot tell (without positives)."""


class ContextConfig(Settings):
    """Whether and how knowledge of conditions enters the logits."""

    context: Literal["auto", "none", "bank", "shuffled", "sites", "oracle"] = "none"
    """The source of knowledge: the bank's affinities, which "auto" uses if there are any; or, as controls, the same
    with permuted labels ("shuffled"), the bank's values counted in the sites' own annotations ("sites"), or the rules
    of the natural world ("oracle")."""
    context_form: Literal["front-door", "posterior", "label-graph", "compound"] = "front-door"
    """"front-door": from the values in the image to labels. "posterior": the same, with the values' probabilities
    updated by the other labels' logits. "label-graph": from the other labels' probabilities, by dependencies of pairs.
    "compound": prompts of a label with a likely value, compared with the label's plain prompt."""
    context_conditions: tuple[str, ...] = ()
    """Texts or ids of the conditions to use; empty for all that have affinities."""
    context_template: NameTemplate = "a photo of a {}."
    """The prompt template of values."""
    context_temperature: float = Field(1.5, gt=0)
    """Cosines with the values are multiplied by κ = CLIP's exp(logit_scale) divided by this."""
    context_strength: float | Literal["auto"] = "auto"
    """η, the same for every condition; 0 adds nothing. "auto": the best of a few on the validation images, after every
    round; 0 at first if it is learned. The forms with conditions average over them: conditions of one bank tell much
    the same, and their sum would count it several times."""
    context_learned: bool = False
    """False: the term is added to predictions only, and training is that without context. True: the term is part of the
    training loss too, and η, one for each condition, is trained and exchanged."""
    context_rate: float = Field(10.0, gt=0)
    """Factor of the learning rate for a learned η."""
    context_evidence: float = Field(0.25, ge=0)
    """"posterior": the weight of the other labels' evidence."""
    context_steps: int = Field(1, ge=1)
    """"label-graph": the number of mean-field steps."""
    context_compounds: int = Field(3, ge=1)
    """"compound": the number of values combined with each label, the most likely ones."""
    context_seed: int = Field(0, ge=0)
    """"shuffled": the seed of the permutation."""


class ContextTerm(nn.Module):
    """The term that is added to a method's logits.

    `strength` η is (N,), one for each condition, or (1,) for the forms without conditions; it is trained if the
    settings say so, and a buffer if it is to be chosen on validation images. The knowledge is held in buffers, so that
    it is part of the state of clients, checkpoints and exports.

    Args:
        settings: form, temperature and so on.
        scale: κ, CLIP's exp(logit_scale).
        knowledge: see `Knowledge`.
    """

    def __init__(self, settings: ContextConfig, scale: float, knowledge: Knowledge) -> None:
        super().__init__()
        self.settings = settings
        self.scale = scale / settings.context_temperature
        for name, tensor in knowledge.items():
            self.register_buffer(name, tensor.detach().clone())
        count = len(knowledge["members"]) if "members" in knowledge else 1
        if self.chosen:
            self.register_buffer("strength", torch.full((count,), UNCHOSEN))
        else:
            start = 0.0 if settings.context_strength == "auto" else settings.context_strength
            self.strength = nn.Parameter(torch.full((count,), start), requires_grad=settings.context_learned)

    strength: Tensor
    values: Tensor
    members: Tensor
    lifts: Tensor
    pairs: Tensor
    compounds: Tensor
    plain: Tensor

    @property
    def chosen(self) -> bool:
        """Whether the strength is chosen on validation images."""
        return self.settings.context_strength == "auto" and not self.settings.context_learned

    def forward(self, batch: Batch, logits: Tensor, labels: Tensor | None = None) -> Tensor:
        """The term (B, C).

        Args:
            batch: with the image feature.
            logits: (B, C) of the method without context.
            labels: (C,) indices of these labels among the labels of the knowledge; None if they are all of them.
        """
        form = self.settings.context_form
        if form == "label-graph":
            return self._label_graph(logits, _subset(_subset(self.pairs, labels, 0), labels, 1))
        image = F.normalize(batch.image, dim=-1)
        if form == "compound":
            return self.strength * self._compounds(image, labels)
        scores, lifts = self.scale * image @ self.values.T, _subset(self.lifts, labels, 1)
        if form == "posterior":
            ratios = torch.einsum("bnvc,vc->bnc", self._posteriors(scores, lifts, logits), lifts.exp())
        else:
            ratios = self._value_probabilities(scores) @ lifts.exp()
        return torch.einsum("n,bnc->bc", self.strength / len(self.strength), ratios.log())

    def _value_probabilities(self, scores: Tensor) -> Tensor:
        """P(v | image), (B, N, V): the softmax of scores (B, V) over each condition's own values."""
        return (scores[:, None] + self.members.log()).softmax(dim=-1)

    def _posteriors(self, scores: Tensor, lifts: Tensor, logits: Tensor) -> Tensor:
        """P(v | image, all labels but c), (B, N, V, C), by naive Bayes.

        A label's own evidence is excluded because it is in its logit already. No gradient passes to the logits here.
        """
        probability = (BASE_RATE * lifts.exp()).clamp(max=MAX_PROBABILITY)
        odds = (logits.detach() - torch.logit(torch.full_like(logits, BASE_RATE))).exp()
        likelihood = (probability * odds[:, None] + 1 - probability).log()
        others = self.settings.context_evidence * (likelihood.sum(dim=-1, keepdim=True) - likelihood)
        return ((scores[..., None] + others)[:, None] + self.members.log()[None, :, :, None]).softmax(dim=2)

    def _label_graph(self, logits: Tensor, pairs: Tensor) -> Tensor:
        """η Σ_b (σ(ℓ_b) - p) W_bc, where ℓ includes the correction of the previous step."""
        correction = torch.zeros_like(logits)
        for _ in range(self.settings.context_steps):
            correction = self.strength * (((logits + correction).sigmoid() - BASE_RATE) @ pairs)
        return correction

    def _compounds(self, image: Tensor, labels: Tensor | None) -> Tensor:
        """The scaled difference of cosines between the best compound prompt and the plain prompt."""
        together = torch.einsum("bd,ckd->bck", image, _subset(self.compounds, labels, 0)).amax(dim=-1)
        return self.scale * (together - image @ _subset(self.plain, labels, 0).T)


def _subset(tensor: Tensor, labels: Tensor | None, axis: int) -> Tensor:
    return tensor if labels is None else tensor.index_select(axis, labels)
