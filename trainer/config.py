"""The settings of a run: one frozen tree, and, with data_config.py, the only place where a default value stands.

"paper" in a description marks the value of Wang et al., CVPR 2026; defaults that differ were chosen on validation
data of the drawn world (README, "Figures"). The resolved tree is written into each run.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from trainer.data_config import DataConfig
from trainer.settings import Settings


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
    local_epochs: int = Field(1, ge=1)
    patience: int | None = Field(None, ge=1)
    """Stop early after so many rounds without a better validation mAP; None runs all rounds."""


class OptimiserConfig(Settings):
    """A client's local training. The optimiser starts anew in every round, so that clients keep no state."""

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


class LogitConfig(Settings):
    """Where the learnable scalars of ℓ = α (z - β0) start (METHOD.md §4)."""

    scale: float = Field(20.0, gt=0)
    """α at the start."""
    bias: float = 0.25
    """β0 at the start, a cosine."""


class FedMptConfig(Settings):
    """FedMPT. Numbers of learnable tokens stand in the bank, beside the prompt's template."""

    name: Literal["fedmpt"] = "fedmpt"
    conditions: Literal["bank", "empty", "irrelevant", "single"] = "bank"
    """Whose words stand in the prompts: the bank's; or, as controls, none, words of another world (as many conditions
    as the bank has), or one prompt without condition words."""
    prompts: bool = True
    """Off: no learnable tokens; a prompt is the condition's words and the label, encoded once."""
    adapters: bool = True
    """Off: patches are CLIP's own, the same for every condition."""
    rank: int = Field(32, ge=1)
    """D_s of the adapters and of the gate."""
    gate: bool = True
    """Off: every condition weighs 1/N."""
    matching: Literal["transport", "shares", "softmax", "image"] = "shares"
    """"transport" in the paper. "shares": transport whose columns are free, on the cosines; each patch shares itself
    among the labels, and share times cosine is pooled. "softmax" pools each label over the patches on its own:
    transport whose rows are free. "image" matches nothing: the image feature stands for all patches, as in the
    ablation's rows without transport. "shares" was the best on the drawn world's validation images; what each is worth
    there stands in docs/findings.md."""
    softmax_scale: float = Field(20.0, gt=0)
    """Of pooling: weights are softmax over patches of this times what is pooled."""
    share_temperature: float = Field(3.0, gt=0)
    """Of the shares: softmax over labels of κ s divided by this, with κ = CLIP's exp(logit_scale)."""
    background: Literal["none", "values", "learned"] = "none"
    """Further columns of the shares that take what belongs to no label: learned vectors that start at the text features
    of the values of the bank's conditions, or anywhere."""
    background_columns: int = Field(20, ge=1)
    """How many with background = "learned"."""
    marginals: Literal["balanced", "relaxed-rows", "relaxed-columns", "background", "prior"] = "balanced"
    """"balanced" in the paper."""
    entropy: float = Field(0.2, gt=0)
    """λ; 0.2 in the paper."""
    temperature: float = Field(0.1, gt=0)
    """τ of the row marginal."""
    iterations: int = Field(20, ge=1)
    """Of the transport, at the most."""
    stop: Literal["never", "marginal", "published"] = "never"
    """"never" runs all iterations; "marginal" stops each image and condition at its own marginal error; "published"
    stops the batch as the published programs do."""
    tolerance: float = Field(1e-3, gt=0)
    """L1 marginal error (of a total mass of 1) at which a plan counts as converged, and at which `stop` stops."""
    solver: Literal["own", "pot"] = "own"
    """"pot" runs the batch solver of Python Optimal Transport (exact marginals only); slower, the same plan."""
    differentiate_plan: bool = True
    """True: the gradient runs through the iterations; False: it stops at the plan."""
    relaxation: float = Field(0.03, ge=0)
    """ρ of the relaxed marginals; towards 0 the marginal is free."""
    background_mass: float = Field(0.5, gt=0, lt=1)
    """Share of the patches' mass that the background column takes (`marginals = "background"`). It costs the same for
    every patch, and how much changes nothing: where its mass is fixed, so is what it must take."""
    prior_scale: float = Field(10.0, ge=0)
    """Columns are softmax of this times the best patch's cosine (`marginals = "prior"`); 0 is uniform."""
    logit: LogitConfig = LogitConfig()

    @model_validator(mode="after")
    def _pot_can_do_it(self) -> Self:
        if self.solver == "pot" and (self.marginals.startswith("relaxed") or self.stop == "published"):
            raise ValueError("solver pot holds marginals exactly and has its own stop: use solver=own")
        return self

    @model_validator(mode="after")
    def _background_is_used(self) -> Self:
        if self.background != "none" and self.matching != "shares":
            raise ValueError(f"background={self.background} is for matching=shares; transport has marginals=background")
        return self


class FedMptReleasedConfig(Settings):
    """FedMPT as its published program computes it, which is another method than the paper's (BASELINES.md §1)."""

    name: Literal["fedmpt-released"] = "fedmpt-released"
    conditions: tuple[str, ...] = ("color", "background", "scene type", "spatial layout", "pose")
    """Fixed words; no bank."""
    condition_tokens: int = Field(4, ge=1)
    """Learnable tokens before the condition's words, shared by all conditions."""
    class_tokens: int = Field(4, ge=1)
    """Learnable tokens before the label, shared by all."""
    latent: int = Field(64, ge=1)
    """Width between the attention and the visual prompt."""
    heads: int = Field(8, ge=1)
    """Of the attention from an image to all prompts."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Of the attention's weights, in training."""
    temperature: float = Field(1.0, gt=0)
    condition_words: Literal["first", "all"] = "first"
    """"first" as published: of a condition's tokens the first is kept, and the learnable ones overwrite the others;
    "all" keeps them."""
    norm: Literal["tokens", "channels"] = "tokens"
    """"tokens" as published: image features are divided by their norm over the tokens, so that a similarity is no
    cosine; "channels" makes it one."""


class CoOpConfig(Settings):
    """CoOp (Zhou et al., IJCV 2022): one context shared by all labels, against the image feature."""

    name: Literal["coop"] = "coop"
    context_tokens: int = Field(16, ge=1)
    pooling: Literal["image", "max"] = "image"
    """Score of the image feature (CoOp), or of the best patch."""
    logit: LogitConfig = LogitConfig()


class ZeroShotConfig(Settings):
    """CLIP as it comes."""

    name: Literal["zero-shot"] = "zero-shot"
    template: str = "a photo of a {}."
    pooling: Literal["image", "max"] = "max"
    """Score of the image feature, or of the best patch."""
    logit: LogitConfig = LogitConfig()


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


MethodConfig = Annotated[FedMptConfig | FedMptReleasedConfig | CoOpConfig | ZeroShotConfig, Field(discriminator="name")]


class RunConfig(Settings):
    """All settings of a run."""

    method: MethodConfig = FedMptConfig()
    backbone: BackboneConfig = BackboneConfig()
    data: DataConfig = DataConfig()
    federation: FederationConfig = FederationConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    loss: LossConfig = LossConfig()
    compute: ComputeConfig = ComputeConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    seeds: SeedConfig = SeedConfig()
    unseen_labels: tuple[str, ...] = ()
    """Labels that training never sees; the test split is then measured over all, over seen and over unseen ones."""
    device: str = "auto"
    """"auto" takes CUDA where there is a GPU, else the CPU."""
    checkpoint_every: int = Field(1, ge=1)
    """Rounds between checkpoints; the last round is always kept."""


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "method": {"name": "fedmpt", "marginals": "balanced", "matching": "transport", "entropy": 0.2},
        "optimiser": {"name": "sgd", "learning_rate": 0.001, "batch_size": 32},
        "federation": {"weights": "uniform"},
    },
    "released": {
        "method": {"name": "fedmpt-released"},
        "optimiser": {
            "name": "sgd",
            "learning_rate": 0.001,
            "schedule": "cosine-released",
            "batch_size": 32,
            "weight_decay": 1e-5,
        },
        "federation": {"weights": "uniform", "rounds": 50},
    },
}
"""Named sets of settings. `paper`: Wang et al., CVPR 2026, where the paper says a value. `released`: its published
program, which is another method."""
