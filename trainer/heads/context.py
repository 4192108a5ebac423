"""What is known of conditions, as a term of the logits that no site's images decide.

A condition (place) has values (kitchen, street); each label is more or less usual under each. CLIP sees by the values'
own words which value an image has, and the term says what that makes likely: the front-door sum, written out.

Shape letters: B images, N conditions, V values of all of them, C labels, K compounds of a label, D joint width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.config.settings import Settings
from trainer.data.batches import Batch

BASE_RATE = 0.1
"""How likely a label is where nothing is known; a bank tells ratios alone."""
LARGEST_CHANCE = 0.95
"""Of a label under a value: no value makes a label certain."""

Knowledge = Mapping[str, Tensor]
"""What a term rests on, by the name of its buffer; which there are depends on the form. `values` (V, D) and `lifts`
(V, C) with `members` (N, V), 1 where a value is the condition's; or `pairs` (C, C); or `compounds` (C, K, D) and
`plain` (C, D). Text features are normalised."""


class ContextConfig(Settings):
    """Whether and how what is known of conditions enters the logits."""

    context: Literal["none", "bank", "shuffled", "sites", "oracle"] = "none"
    """Whose knowledge: the bank's affinities; or, as controls, the same with the labels permuted ("shuffled"), counted
    in the sites' own annotations ("sites"), or the natural world's own ("oracle")."""
    context_form: Literal["front-door", "posterior", "label-graph", "compound"] = "front-door"
    """"front-door": from the values that CLIP sees to labels. "posterior": the same, the values weighed by the evidence
    for the other labels too. "label-graph": from the other labels' probabilities, by how pairs are tied. "compound":
    prompts that name a label with a value that goes with it, set off against the plain prompt."""
    context_conditions: tuple[str, ...] = ()
    """Texts or ids of those conditions that are used; empty takes all that have affinities."""
    context_template: str = "a photo of a {}."
    """The sentence by which CLIP sees a value."""
    context_temperature: float = Field(1.5, gt=0)
    """Cosines with the values are multiplied by κ = CLIP's exp(logit_scale) divided by this."""
    context_strength: float = 0.3
    """η, the same for every condition; at 0 the context changes nothing. Where it is learned, its start."""
    context_learned: bool = False
    """False: training goes as it does without context, and the term is added to predictions. True: the term is in the
    loss too, and η, one for each condition, is trained and exchanged."""
    context_rate: float = Field(10.0, gt=0)
    """Factor of the learning rate for a learned η."""
    context_evidence: float = Field(0.25, ge=0)
    """"posterior": how much the other labels count beside what CLIP sees of the values."""
    context_steps: int = Field(1, ge=1)
    """"label-graph": mean-field steps."""
    context_compounds: int = Field(3, ge=1)
    """"compound": how many values are named with each label, the most usual ones."""
    context_seed: int = Field(0, ge=0)
    """"shuffled": which permutation of the labels."""


class ContextTerm(nn.Module):
    """What is added to a method's logits.

    Trained where the settings say so: `strength` η, (N,), one a condition; of the forms without conditions (1,). The
    knowledge stands in buffers, so that it goes with the state to clients, into checkpoints and exports.

    Args:
        settings: form, temperature and so on.
        scale: κ, CLIP's exp(logit_scale).
        knowledge: as `Knowledge` says.
    """

    def __init__(self, settings: ContextConfig, scale: float, knowledge: Knowledge) -> None:
        super().__init__()
        self.settings = settings
        self.scale = scale / settings.context_temperature
        for name, tensor in knowledge.items():
            self.register_buffer(name, tensor.detach().clone())
        count = len(knowledge["members"]) if "members" in knowledge else 1
        start = torch.full((count,), settings.context_strength)
        self.strength = nn.Parameter(start, requires_grad=settings.context_learned)

    values: Tensor
    members: Tensor
    lifts: Tensor
    pairs: Tensor
    compounds: Tensor
    plain: Tensor

    def forward(self, batch: Batch, logits: Tensor, labels: Tensor | None = None) -> Tensor:
        """What is added to the logits, (B, C).

        Args:
            batch: with the image feature.
            logits: (B, C) of the method without context.
            labels: (C,) indices of these labels among those that the knowledge is of; None where they are all of them.
        """
        form = self.settings.context_form
        if form == "label-graph":
            return self._along_pairs(logits, _chosen(_chosen(self.pairs, labels, 0), labels, 1))
        image = F.normalize(batch.image, dim=-1)
        if form == "compound":
            return self.strength * self._compounds(image, labels)
        seen, lifts = self.scale * image @ self.values.T, _chosen(self.lifts, labels, 1)
        if form == "posterior":
            told = torch.einsum("bnvc,vc->bnc", self._posteriors(seen, lifts, logits), lifts.exp())
        else:
            told = self._among(seen[:, None]) @ lifts.exp()
        return torch.einsum("n,bnc->bc", self.strength, told.log())

    def _among(self, scores: Tensor) -> Tensor:
        """P(v | image): softmax over each condition's own values, from (B, 1, V) to (B, N, V)."""
        return (scores + self.members.log()).softmax(dim=-1)

    def _posteriors(self, seen: Tensor, lifts: Tensor, logits: Tensor) -> Tensor:
        """P(v | image, all labels but c): (B, N, V, C).

        The labels are taken for independent given the value (naive Bayes); a label's own evidence is left out, since it
        is in its logit already. The evidence is taken as it stands: no gradient passes to the logits here.
        """
        chance = (BASE_RATE * lifts.exp()).clamp(max=LARGEST_CHANCE)
        odds = (logits.detach() - torch.logit(torch.full_like(logits, BASE_RATE))).exp()
        fits = (chance * odds[:, None] + 1 - chance).log()
        others = self.settings.context_evidence * (fits.sum(dim=-1, keepdim=True) - fits)
        scores = (seen[..., None] + others)[:, None] + self.members.log()[None, :, :, None]
        return scores.softmax(dim=2)

    def _along_pairs(self, logits: Tensor, pairs: Tensor) -> Tensor:
        """η Σ_b (σ(ℓ_b) - p) W_bc, with ℓ corrected by the step before."""
        added = torch.zeros_like(logits)
        for _ in range(self.settings.context_steps):
            added = self.strength * (((logits + added).sigmoid() - BASE_RATE) @ pairs)
        return added

    def _compounds(self, image: Tensor, labels: Tensor | None) -> Tensor:
        """How much better the best compound fits than the label alone, in units of CLIP's logits."""
        together = torch.einsum("bd,ckd->bck", image, _chosen(self.compounds, labels, 0)).amax(dim=-1)
        return self.scale * (together - image @ _chosen(self.plain, labels, 0).T)


def _chosen(tensor: Tensor, labels: Tensor | None, axis: int) -> Tensor:
    return tensor if labels is None else tensor.index_select(axis, labels)
