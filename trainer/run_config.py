"""The settings of a run: a frozen tree of sections, including the method's, and its presets.

Each default is defined once, in its section's class in trainer/config/ or in the method's file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self, Union

from pydantic import Field, model_validator

from trainer.config.data import DataConfig
from trainer.config.sections import (
    BackboneConfig,
    ComputeConfig,
    EvaluationConfig,
    FederationConfig,
    LossConfig,
    OptimiserConfig,
    SeedConfig,
)
from trainer.config.settings import MethodSettings, Settings
from trainer.methods.fedmpt import FedMptConfig
from trainer.methods.registry import settings_classes

if TYPE_CHECKING:
    MethodConfig = MethodSettings
else:
    MethodConfig = Annotated[Union[tuple(settings_classes().values())], Field(discriminator="name")]  # noqa: UP007


class RunConfig(Settings):
    """All settings of a run."""

    method: MethodConfig = FedMptConfig()
    """The method, and its own settings."""
    backbone: BackboneConfig = BackboneConfig()
    """The frozen CLIP."""
    data: DataConfig = DataConfig()
    """The data set, and who owns which of its images."""
    federation: FederationConfig = FederationConfig()
    """The rounds and the server."""
    optimiser: OptimiserConfig = OptimiserConfig()
    """A client's local training."""
    loss: LossConfig = LossConfig()
    """The training loss."""
    compute: ComputeConfig = ComputeConfig()
    """Precision, compilation, the feature cache."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """What is measured besides the test metrics."""
    seeds: SeedConfig = SeedConfig()
    """Random seeds by purpose."""
    unseen_labels: tuple[str, ...] = ()
    """Labels excluded from training; test metrics are then given for all, for seen and for unseen labels."""
    device: str = "auto"
    """"auto": CUDA if available, otherwise the CPU."""
    checkpoint_every: int = Field(1, ge=1)
    """Rounds between checkpoints; the best and the last round always have one."""

    @model_validator(mode="after")
    def _graphs_do_not_accumulate(self) -> Self:
        if self.compute.compile == "cuda-graphs" and self.optimiser.accumulation > 1:
            raise ValueError("compute.compile=cuda-graphs writes gradients over: use optimiser.accumulation=1")
        return self


_PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "method": {
            "name": "fedmpt",
            "marginals": "balanced",
            "matching": "transport",
            "entropy": 0.2,
            "context": "none",
        },
        "optimiser": {"name": "adamw", "learning_rate": 0.003, "batch_size": 32},
        "federation": {"weights": "uniform", "rounds": 50},
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

PAPERS_OPTIMISER = {"name": "sgd", "learning_rate": 0.001, "batch_size": 32}
"""As the paper states it."""

PRESETS = {**_PRESETS, "paper-sgd": {**_PRESETS["paper"], "optimiser": PAPERS_OPTIMISER}}
"""Named sets of settings. `paper`: the paper's method, rounds and batches (Wang et al., CVPR 2026) with AdamW, since on
the drawn world SGD at the paper's rate ends below zero-shot CLIP (docs/training.md); `paper-sgd`: with the paper's SGD.
`released`: the values of its published program, which is another method."""
