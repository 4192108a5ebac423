"""The settings that all runs share, one class a part, each with its defaults; data.py has those of the data.

"paper" in a description marks the value of Wang et al., CVPR 2026; defaults that differ were chosen on validation
data of the drawn world (README, "Figures"). The resolved tree is written into each run.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trainer.config.settings import Settings


class BackboneConfig(Settings):
    """Which frozen CLIP."""

    name: str = "scenes-tiny"
    """"scenes-tiny" (shipped) or a model of open_clip, e.g. "ViT-B-16-quickgelu"."""
    pretrained: str | None = None
    """A tag of open_clip ("openai") or the path of a .safetensors file; None for scenes-tiny."""
    patch_source: Literal["last", "value"] = "last"
    """Patch features from the ordinary last block, or from its value path alone (more local)."""


class FederationConfig(Settings):
    """The rounds."""

    rounds: int = Field(12, ge=0)
    participation: float = Field(1.0, gt=0, le=1)
    """Share of the clients drawn in each round."""
    weights: Literal["uniform", "examples"] = "uniform"
    """How the server weighs its clients; "uniform" in the paper."""
    aggregation: str = "auto"
    """The server's rule: mean, median, trimmed-mean or norm-bounded-mean; "auto" takes the one that the method asks
    for."""
    trimmed_share: float = Field(0.2, ge=0, lt=0.5)
    """Of trimmed-mean: share of the clients that is left out at either end, rounded up."""
    norm_bound: float | None = Field(None, gt=0)
    """Of norm-bounded-mean: longest update; None takes the median length of the round's updates."""
    memory: Literal["none", "optimiser"] = "none"
    """What a client keeps from one of its rounds to the next, beside the personal parts that some methods have:
    "optimiser" keeps momentum, moments and step count."""
    local_epochs: int = Field(1, ge=1)
    patience: int | None = Field(None, ge=1)
    """Stop early after so many rounds without a better validation mAP; None runs all rounds."""


class OptimiserConfig(Settings):
    """A client's local training. The optimiser starts anew in every round, unless `federation.memory` keeps it."""

    name: Literal["adamw", "sgd"] = "adamw"
    """"sgd" in the paper."""
    learning_rate: float = Field(0.01, gt=0)
    """0.001 in the paper, with sgd."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Of sgd; the first moment's decay of adamw."""
    weight_decay: float = Field(1e-5, ge=0)
    schedule: Literal["cosine", "cosine-released", "constant"] = "cosine"
    """Over the rounds; cosine goes from the learning rate towards `minimum`. "cosine-released" is one round late, as in
    the published programs: rounds 0 and 1 both have the first value."""
    minimum: float = Field(0.0, ge=0)
    """Where cosine ends."""
    warmup_rounds: int = Field(0, ge=0)
    """Rounds in which the rate goes in a line from `warmup_from` to the learning rate."""
    warmup_from: float = Field(1e-5, ge=0)
    batch_size: int = Field(50, ge=1)
    """32 in the paper."""
    accumulation: int = Field(1, ge=1)
    """Batches whose gradients are added up before an update; the loss is a sum over images, so this is the update of
    one batch of all of them."""
    clip_norm: float | None = Field(None, gt=0)
    """Largest norm of a gradient over all parameters; longer ones are shortened to it."""


class LossConfig(Settings):
    """Asymmetric loss (Ridnik et al., ICCV 2021) with the field's constants for prompt tuning."""

    gamma_negative: float = Field(2.0, ge=0)
    gamma_positive: float = Field(1.0, ge=0)
    clip: float = Field(0.05, ge=0, lt=1)
    """Added to the probability of "absent" before it is cut at 1: very easy negatives then cost nothing."""
    weight: float = Field(0.02, gt=0)
    """Factor of the sum over images and labels."""


class SeedConfig(Settings):
    """Every source of chance, by name."""

    initial: int = Field(0, ge=0)
    """Learnable parameters at the start."""
    clients: int = Field(0, ge=0)
    """Which clients take part in a round."""
    batches: int = Field(0, ge=0)
    """The order of a client's images."""
    bootstrap: int = Field(0, ge=0)
    """Which test images a resample draws."""


class ComputeConfig(Settings):
    """How it is computed. Only `precision` and `feature_type` change figures beyond rounding."""

    feature_cache: bool = True
    """Features of a frozen image path are computed once and kept on the disk. Off (`--no-feature-cache`): images are
    read and encoded each time they are used, to the same numbers."""
    feature_type: Literal["float16", "bfloat16"] = "float16"
    """Of the features, kept or not. bfloat16 has float32's range and an eighth of float16's precision."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the frozen towers' matrix products while prompts are trained. Parameters, matching, transport, loss and
    optimiser are always fp32; fp16 scales its gradients."""
    compile: Literal["off", "inductor", "aot_eager"] = "off"
    """Backend of torch.compile for the loss; it is compared with the uncompiled loss and gradients before round 0."""
    deterministic: bool = False
    """Refuse operations that give other bits on a GPU each time."""
    text_chunk: int = Field(512, ge=1)
    """Prompts (conditions times labels) encoded at once. With more, each chunk is encoded again for its gradient, so
    that memory does not grow with the number of labels."""


class EvaluationConfig(Settings):
    """What is measured beside the figures on the test split."""

    bootstrap: int = Field(1000, ge=0)
    """Resamples of the test images for the confidence intervals; 0 leaves the intervals out."""
    confidence: float = Field(0.95, gt=0, lt=1)
    clients: bool = True
    """Figures of each client's own images; costs a pass over the training images where nobody owns test images."""
