"""FedMVP (Singha et al., ICCV 2025) as its authors describe it: visual prompts from patches that attend to attributes.

A language model names visual attributes of each label (`fedmpt mine-attributes`). BASELINES.md §8 describes the model;
`fedmvp` is the published multi-label program's reduction of it.

Shape letters: B images, M patches, K visual prompts, A attributes a label, C labels, D joint width, Dv vision width.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from prompt_bank.schema import Bank
from trainer.backbone.vision import ExtraTokens, encode_dense
from trainer.config.settings import MethodSettings
from trainer.config.space import LEARNING_RATE, Dimension, logarithmic
from trainer.data.batches import Batch
from trainer.errors import TrainerError
from trainer.heads.logit import Logit, LogitConfig
from trainer.heads.losses import asymmetric_loss
from trainer.heads.prompt_former import PromptFormer
from trainer.methods.base import Method, MethodContext
from trainer.methods.condition_prompts import same_labels
from trainer.methods.registry import register


class FedMvpAttributesConfig(MethodSettings):
    """FedMVP (Singha et al., ICCV 2025) with attributes from the prompt bank."""

    name: Literal["fedmvp-attributes"] = "fedmvp-attributes"
    attributes: int = Field(5, ge=1)
    """A, attributes of each label; a label that has fewer repeats its own, one that has more keeps the first."""
    visual_prompts: int = Field(4, ge=1)
    """K, tokens added to the image; patches are averaged to them."""
    heads: int = Field(4, ge=1)
    """Heads of the cross-attention from patches to attributes; divides the vision width."""
    expansion: int = Field(4, ge=1)
    """Hidden width of the feed-forward network, in vision widths."""
    consistency: float = Field(1.0, ge=0)
    """Weight of the distance from CLIP's own feature of the mirrored image, relative to the asymmetric loss."""
    logit: LogitConfig = LogitConfig()
    """The learned affine map from mean cosines to logits."""


@register(FedMvpAttributesConfig)
class FedMVPAttributes(Method):
    """Scores are mean cosines of the prompted image feature to "a photo of a ⟨label⟩, ⟨attribute⟩."

    The text is frozen. Exchanged: the network that makes the visual prompts, and the logit's scale and bias.

    Raises:
        TrainerError: no bank, other labels than the data's, or a label without attributes.
    """

    reads_attributes = True
    reads = "pixels"
    """Prompts join the image's tokens in front of the tower, which runs in each step, and once more for the mirrored
    image."""

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        s: FedMvpAttributesConfig = context.settings
        self.settings = s
        attributes = label_attributes(context.bank, context.label_names, s.attributes)
        self.prompts = [
            [f"a photo of a {name.replace('_', ' ')}, {own[i]}." for name, own in attributes.items()]
            for i in range(s.attributes)
        ]
        clip = self.clip
        self.text = torch.stack([F.normalize(clip.encode_texts(row), dim=-1) for row in self.prompts])
        self.former = PromptFormer(
            clip.vision_width, clip.dim, s.visual_prompts, s.heads, s.expansion, context.generator
        )
        self.logit = Logit(s.logit)

    @classmethod
    def search_space(cls, settings: Any) -> dict[str, Dimension]:
        """As for `fedmvp`: a lower learning rate than others, and how near the features are kept to CLIP's."""
        return {
            **super().search_space(settings),
            LEARNING_RATE: logarithmic(1e-4, 1e-2),
            "method.consistency": logarithmic(0.1, 100.0),
        }

    def text_features(self) -> Tensor:
        """(A, C, D), normalised; frozen, so encoded once."""
        return self.text

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, C)"""
        return self._score(self.image_feature(batch, text), text)

    def image_feature(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, D), normalised: the class token's of the image with its visual prompts.

        Raises:
            ValueError: a batch without pixels.
        """
        pixels, visual = _pixels(batch), self.clip.model.visual
        patches = visual.conv1(pixels).flatten(2).mT + visual.positional_embedding[1:]
        prompts = ExtraTokens(self.former(patches, text.flatten(0, 1)), "end", before_norm=True)
        return F.normalize(encode_dense(self.clip, pixels, prompts)[:, 0], dim=-1)

    def objective(self, batch: Batch, text: Tensor) -> Tensor:
        """The weighted asymmetric loss, and the distance of the feature from CLIP's of the mirrored image."""
        s, feature = self.loss_settings, self.image_feature(batch, text)
        scored = self._score(feature, text)
        gammas = {"gamma_negative": s.gamma_negative, "gamma_positive": s.gamma_positive}
        value = asymmetric_loss(scored, batch.labels, **gammas, clip=s.clip)
        mirrored = F.normalize(self.clip.encode_image(_pixels(batch).flip(-1)).image, dim=-1)
        return s.weight * (value + self.settings.consistency * (1 - (feature * mirrored).sum(-1).mean()))

    def describe(self) -> dict[str, Any]:
        """Title, prompts and the number of trained parameters."""
        prompts = [prompt for label in zip(*self.prompts, strict=True) for prompt in label]
        return {"title": "fedmvp, attributes", "trainable": self.trainable(), "prompts": prompts}

    def _score(self, feature: Tensor, text: Tensor) -> Tensor:
        logits: Tensor = self.logit(feature @ F.normalize(text, dim=-1).mean(0).mT)
        return logits


def _pixels(batch: Batch) -> Tensor:
    if batch.pixels is None:
        raise ValueError("visual prompts are made from patches in front of the image tower: the batch has no pixels")
    return batch.pixels


def label_attributes(bank: Bank | None, names: tuple[str, ...], count: int) -> dict[str, tuple[str, ...]]:
    """For each label so many attributes of the bank; a label that has fewer repeats its own.

    Raises:
        TrainerError: no bank, other labels than the data's, or a label without attributes.
    """
    if bank is None:
        raise TrainerError(
            "fedmvp-attributes needs a prompt bank: --bank bank.json (fedmpt mine-attributes writes one)"
        )
    same_labels(bank, names)
    known = {label.name: label.attributes for label in bank.labels}
    if missing := [name for name in names if not known[name]]:
        shown = f"{', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}"
        raise TrainerError(
            f"bank '{bank.name}' has no attributes of {len(missing)} labels ({shown}): "
            "fedmpt mine-attributes --bank FILE asks a language model for them, or write them with fedmpt bank edit"
        )
    return {name: tuple(known[name][i % len(known[name])] for i in range(count)) for name in names}
