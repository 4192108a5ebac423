"""The settings common to all runs, one class per section; those of the data are in data.py.

"In the paper" refers to Wang et al., CVPR 2026; defaults that differ from it were chosen on validation data of the
drawn world (README, "Figures"). The resolved tree is written into each run.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from trainer.config.settings import AUTO, AutoCount, AutoLimit, AutoSize, Settings


class BackboneConfig(Settings):
    """The frozen CLIP."""

    name: str = "scenes-tiny"
    """"scenes-tiny" (shipped) or an open_clip model, e.g. "ViT-B-16-quickgelu"."""
    pretrained: str | None = None
    """An open_clip tag ("openai") or the path of a .safetensors file; None for scenes-tiny."""
    resize: Literal["shortest", "longest", "squash"] | None = None
    """How an image becomes the square that CLIP reads: "shortest": shorter side to its size, middle cropped; "longest":
    the whole image, padded; "squash": the whole image, distorted. None: as the weights were trained, mostly
    "shortest"."""
    patch_source: Literal["last", "value"] = "last"
    """Patch features from the last block, or from its value path only (more local)."""


class PrivacyConfig(Settings):
    """Differential privacy of each client's update (docs/privacy.md). Off unless all three are given."""

    clip: float | None = Field(None, gt=0)
    """Maximum norm of an update, over all parameters that are sent; a longer one is scaled down."""
    noise_multiplier: float | None = Field(None, gt=0)
    """Standard deviation of the noise on each number, in units of `clip`."""
    delta: float | None = Field(None, gt=0, lt=1)
    """δ: probability with which the guarantee may fail; far less than one divided by the number of clients."""

    @property
    def on(self) -> bool:
        """Whether updates are protected."""
        return self.clip is not None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        given = [name for name, value in self if value is not None]
        if 0 < len(given) < 3:
            raise ValueError(f"{' and '.join(given)} alone promise nothing: give clip, noise_multiplier and delta")
        return self


class FederationConfig(Settings):
    """Federated rounds."""

    rounds: AutoCount = AUTO
    """Federated rounds; 0 measures the untrained method. "auto": from the data, see `trainer.planning`; 12 for data of
    the drawn world's size or larger."""
    participation: float = Field(1.0, gt=0, le=1)
    """Fraction of clients sampled in each round."""
    min_replies: float = Field(0.5, gt=0, le=1)
    """Fraction of the sampled clients whose replies must count, rounded up. With fewer nothing is aggregated and
    training stops, to be resumed. Clients that are missing or refused are named."""
    weights: Literal["uniform", "examples"] = "uniform"
    """The clients' weights in aggregation: equal ("uniform", as in the paper), or by their number of images."""
    aggregation: str = "auto"
    """The aggregation rule: mean, median, trimmed-mean, multi-krum, norm-bounded-mean, fedawa or fedawa-released;
    "auto": the method's own."""
    trimmed_share: float = Field(0.2, ge=0, lt=0.5)
    """Of trimmed-mean: fraction of clients that is removed at either end; of multi-krum: fraction that is left out.
    Rounded up."""
    norm_bound: float | None = Field(None, gt=0)
    """Of norm-bounded-mean: maximum norm of an update; None: the median norm of the round's updates."""
    awa_steps: int = Field(10, ge=0)
    """Of fedawa: the server's optimisation steps on the weights in each round; 0 leaves them as they are."""
    awa_rate: float = Field(0.1, gt=0)
    """Of fedawa: the step size on the logits of the weights."""
    largest_update: float | None = Field(None, gt=0)
    """A client's reply is refused if the norm of its update exceeds this; None: 1000 times the median of the round's
    updates (with at least three of them)."""
    wire: Literal["float32", "float16", "bfloat16"] = "float32"
    """Data type in which parameters travel between server and clients, also as simulated in one process. With the
    shorter two, half the bytes: a client gets the rounded state and replies with its rounded update."""
    privacy: PrivacyConfig = PrivacyConfig()
    """Differential privacy of each client's update."""
    memory: Literal["none", "optimiser"] = "none"
    """The state that a client keeps between its rounds, in addition to personal parts if the method has any:
    "optimiser" keeps momentum, moments and step count."""
    local_epochs: int = Field(1, ge=1)
    """Passes of a client over its own images in each round."""
    patience: AutoLimit = AUTO
    """Early stopping after this many rounds without a better validation mAP; None: run all rounds. "auto": None if
    `rounds` is given, otherwise a third of the rounds, but at least 12."""


class OptimiserConfig(Settings):
    """A client's local training. The optimiser is reset in every round unless `federation.memory` keeps its state."""

    name: Literal["adamw", "sgd"] = "adamw"
    """The optimiser; "sgd" in the paper."""
    learning_rate: float = Field(0.01, gt=0)
    """Learning rate before the schedule; 0.001 in the paper, with sgd. Some methods have another default
    (docs/methods)."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of sgd; β1 of adamw."""
    weight_decay: float = Field(1e-5, ge=0)
    """Decoupled from the gradient with adamw, part of it with sgd."""
    schedule: Literal["cosine", "cosine-released", "constant"] = "cosine"
    """Learning-rate schedule over the rounds; cosine anneals towards `minimum`. "cosine-released" lags by one round, as
    in the published programs: rounds 0 and 1 both have the initial value."""
    minimum: float = Field(0.0, ge=0)
    """Final learning rate of the cosine schedules."""
    warmup_rounds: int = Field(0, ge=0)
    """Rounds of linear warm-up from `warmup_from` to the learning rate."""
    warmup_from: float = Field(1e-5, ge=0)
    """Learning rate of the first warm-up round."""
    batch_size: AutoSize = AUTO
    """Images per batch; 32 in the paper. "auto": from the data, see `trainer.planning`; 50 for data of the drawn
    world's size or larger."""
    accumulation: int = Field(1, ge=1)
    """Gradient accumulation: batches per update. Since the loss is a sum over images, this equals one update with all
    of their images."""
    clip_norm: float | None = Field(None, gt=0)
    """Gradient clipping: maximum norm over all parameters."""


class LossConfig(Settings):
    """Asymmetric loss (Ridnik et al., ICCV 2021) with the constants common in prompt tuning."""

    gamma_negative: float = Field(2.0, ge=0)
    """γ−, the focusing exponent of absent labels."""
    gamma_positive: float = Field(1.0, ge=0)
    """γ+, the focusing exponent of present labels."""
    clip: float = Field(0.05, ge=0, lt=1)
    """Probability margin, added to the probability of "absent" before clamping to 1: very easy negatives contribute no
    loss."""
    weight: float = Field(0.02, gt=0)
    """Factor on the sum over images and labels."""


class SeedConfig(Settings):
    """Random seeds by purpose."""

    initial: int = Field(0, ge=0)
    """Initialisation of learnable parameters."""
    clients: int = Field(0, ge=0)
    """Sampling of clients in each round."""
    batches: int = Field(0, ge=0)
    """Order of a client's images."""
    bootstrap: int = Field(0, ge=0)
    """Bootstrap resamples of the test images."""


class ComputeConfig(Settings):
    """Computation. Only `precision` and `feature_type` change results by more than rounding error."""

    feature_cache: bool = True
    """Compute the features of a frozen image path once and cache them on disk. Off (`--no-feature-cache`): images are
    read and encoded each time they are used, with the same results."""
    feature_type: Literal["float16", "bfloat16"] = "float16"
    """Data type of the features, cached or not. bfloat16 has the range of float32 and an eighth of float16's
    precision."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the frozen towers' matrix products in prompt tuning. Parameters, matching, transport, loss and optimiser are
    always fp32; fp16 uses gradient scaling."""
    compile: Literal["off", "inductor", "cuda-graphs", "aot_eager"] = "off"
    """torch.compile of the loss as a full graph, checked against the uncompiled loss and gradients before round 0.
    "cuda-graphs" is inductor with CUDA graphs, the fastest on a GPU (docs/gpu); "aot_eager" works without inductor."""
    deterministic: bool = False
    """PyTorch's deterministic mode: refuse operations that are not reproducible on a GPU."""
    text_chunk: int = Field(512, ge=1)
    """Prompts (conditions times labels) encoded at once. If there are more, activations are recomputed chunk by chunk
    in the backward pass, so that memory does not grow with the number of labels."""


class EvaluationConfig(Settings):
    """What is measured in addition to the test metrics."""

    bootstrap: int = Field(1000, ge=0)
    """Bootstrap resamples of the test images for confidence intervals; 0: no intervals."""
    confidence: float = Field(0.95, gt=0, lt=1)
    """Level of the confidence intervals."""
    clients: bool = True
    """Metrics on each client's own images; needs a pass over the training images if clients own no test images."""
    yardsticks: bool = True
    """Also measure trivial predictions, zero-shot CLIP and a linear probe, once per run (yardsticks.json)."""
