"""The settings of a run: one frozen tree of sections, the method's own among them, and its presets.

A default value stands in one place, its section's class: trainer/config/, and each method's file.
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

    @model_validator(mode="after")
    def _graphs_do_not_accumulate(self) -> Self:
        if self.compute.compile == "cuda-graphs" and self.optimiser.accumulation > 1:
            raise ValueError("compute.compile=cuda-graphs writes gradients over: use optimiser.accumulation=1")
        return self


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
