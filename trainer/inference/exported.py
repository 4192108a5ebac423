"""The folder of an exported model: configuration, checksums and tensors.

FOLDER/
  config.json            labels, threshold, conditions, method, backbone with preprocessing
  model.safetensors      the trained parameters and the labels' text features
  backbone.safetensors   the image tower, if included
  model.onnx             the model for other runtimes, if asked for; `trainer.load` does not read it
  SHA256SUMS             checksums of these files, in the format of sha256sum
  README.md              the model card
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError
from torch import Tensor

from prompt_bank.schema import Bank
from trainer.backbone.clip import PatchSource, Preprocess
from trainer.backbone.load import SHIPPED, read_weights
from trainer.config.settings import Settings
from trainer.errors import TrainerError
from trainer.run_config import MethodConfig

CONFIG, WEIGHTS, BACKBONE, SUMS = "config.json", "model.safetensors", "backbone.safetensors", "SHA256SUMS"
ONNX = "model.onnx"

Sha256 = Field(pattern=r"^[0-9a-f]{64}$")


class ExportedPreprocess(Settings):
    """See `trainer.backbone.clip.Preprocess`."""

    size: int = Field(gt=0)
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str

    def to_preprocess(self) -> Preprocess:
        """For the backbone."""
        return Preprocess(self.size, self.mean, self.std, self.interpolation)


class ExportedBackbone(Settings):
    """The CLIP of an exported model."""

    name: str
    pretrained: str | None
    architecture: dict[str, Any]
    """open_clip's model configuration."""
    patch_source: PatchSource
    preprocess: ExportedPreprocess
    vision_sha256: str = Sha256
    """See `FrozenClip.vision_hash`."""
    included: bool
    """Whether the folder contains the image tower's weights."""


class ExportedConfig(Settings):
    """The configuration of an exported model."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = 1
    tool: str
    run: str
    rounds: int = Field(ge=0)
    labels: tuple[str, ...] = Field(min_length=1)
    threshold: float = Field(ge=0, le=1)
    """Labels above it count as present; chosen on validation images."""
    conditions: tuple[str, ...] | None
    """Condition texts for display; None if the method has no conditions."""
    figures: dict[str, float]
    """mAP, CF1 and OF1 on the run's test images, in per cent."""
    dataset: str
    method: MethodConfig
    backbone: ExportedBackbone
    bank: Bank | None
    """The bank's labels, conditions and prompt; without captions, evidence and history."""

    def how_to_get_backbone(self) -> str:
        """Instructions for a user who lacks the backbone."""
        wanted = self.backbone
        if wanted.name == SHIPPED:
            return f"{SHIPPED} comes with the fedmpt that trained the model ({self.tool})"
        if wanted.pretrained is not None and not wanted.pretrained.endswith(".safetensors"):
            return f"open_clip fetches {wanted.name}/{wanted.pretrained}, or pass its .safetensors file as backbone"
        return f"pass the .safetensors file of {wanted.name} that the run was trained with as backbone"


def read_config(folder: Path) -> ExportedConfig:
    """The configuration, after verifying the checksums of all files.

    Raises:
        TrainerError: a missing or changed file, or a configuration of another format.
    """
    verify(folder)
    try:
        return ExportedConfig.model_validate_json((folder / CONFIG).read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise TrainerError(f"{folder / CONFIG}: {where}: {first['msg']}") from error


def read_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """The tensors of a file in the folder.

    Raises:
        TrainerError: the file is missing or is not safetensors.
    """
    return read_weights(folder / name)


def verify(folder: Path) -> None:
    """Verify the files against SHA256SUMS.

    Raises:
        TrainerError: a missing, unlisted or changed file; the first is named.
    """
    listed = _listed(folder)
    present = {name for name in (CONFIG, WEIGHTS, BACKBONE, ONNX) if (folder / name).is_file()}
    for name in (CONFIG, WEIGHTS, *(listed.keys() - {CONFIG, WEIGHTS}), *sorted(present - listed.keys())):
        if name not in present:
            raise TrainerError(f"{folder / name}: missing; export the run again")
        if name not in listed:
            raise TrainerError(f"{folder / SUMS}: has no line for {name}; export the run again")
        if listed[name] != sha256(folder / name):
            raise TrainerError(f"{folder / name}: changed or damaged since the export (its sha256 is not in {SUMS})")


def sha256(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _listed(folder: Path) -> dict[str, str]:
    path = folder / SUMS
    if not path.is_file():
        raise TrainerError(f"{path}: missing; export the run again")
    try:
        lines = [line.split("  ", 1) for line in path.read_text(encoding="utf-8").splitlines()]
        return {name: digest for digest, name in lines}
    except ValueError as error:
        raise TrainerError(f"{path}: not a list of sha256 sums; export the run again") from error
