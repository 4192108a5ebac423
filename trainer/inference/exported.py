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
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from fedmpt.common.foreign_json import read_json
from prompt_bank.schema import Bank
from trainer.backbone import tensor_files
from trainer.backbone.architectures import SHIPPED, architecture
from trainer.backbone.clip import PatchSource, Preprocess, Resize
from trainer.config.settings import Settings
from trainer.errors import TrainerError
from trainer.run.record_types import MemoryName
from trainer.run_config import MethodConfig

CONFIG, WEIGHTS, BACKBONE, SUMS = "config.json", "model.safetensors", "backbone.safetensors", "SHA256SUMS"
ONNX = "model.onnx"

Sha256 = Field(pattern=r"^[0-9a-f]{64}$")
Mean = Annotated[float, Field(ge=-10, le=10)]
Deviation = Annotated[float, Field(gt=0, le=10)]


class ExportedPreprocess(Settings):
    """See `trainer.backbone.clip.Preprocess`."""

    size: int = Field(gt=0, le=4096)
    mean: tuple[Mean, Mean, Mean]
    std: tuple[Deviation, Deviation, Deviation]
    interpolation: Literal["bicubic", "bilinear", "nearest"]
    resize: Resize = "shortest"

    def to_preprocess(self) -> Preprocess:
        """For the backbone."""
        return Preprocess(self.size, self.mean, self.std, self.interpolation, self.resize)


class ExportedBackbone(Settings):
    """The CLIP of an exported model."""

    name: str
    pretrained: str | None
    architecture: dict[str, Any]
    """open_clip's configuration of the name, for other programs. The tower is built from the name alone."""
    patch_source: PatchSource
    preprocess: ExportedPreprocess
    vision_sha256: str = Sha256
    """See `FrozenClip.vision_hash`."""
    included: bool
    """Whether the folder contains the image tower's weights."""

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        try:
            known = architecture(self.name)
        except TrainerError as error:
            raise ValueError(str(error)) from error
        if self.architecture != known:
            raise ValueError(f"the architecture is not that of {self.name}")
        if self.preprocess.size != known["vision_cfg"]["image_size"]:
            raise ValueError(f"{self.name} reads images of {known['vision_cfg']['image_size']} pixels")
        return self


class PartsAtSites(Settings):
    """Which parts belong to the model, of a method whose clients have parts of their own, at their sites."""

    memory: MemoryName
    rounds: dict[int, int]
    """For each client that has trained, the rounds after which its parts were kept."""


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
    at_sites: PartsAtSites | None = None
    """For `fedmpt federation own-model`; None if there is nothing at sites."""
    bank: Bank | None
    """The bank's labels, conditions and prompt; without captions, evidence and history."""

    def how_to_get_backbone(self) -> str:
        """Instructions for a user who lacks the backbone."""
        wanted = self.backbone
        if wanted.name == SHIPPED:
            return f"{SHIPPED} comes with the fedmpt that trained the model ({self.tool})"
        if wanted.pretrained is not None and not wanted.pretrained.endswith(".safetensors"):
            return f"--backbone {wanted.pretrained} fetches it; or pass {wanted.name}'s .safetensors file as backbone"
        return f"pass the .safetensors file of {wanted.name} that the run was trained with as backbone"


def read_config(folder: Path) -> ExportedConfig:
    """The configuration, after verifying the checksums of all files.

    Raises:
        TrainerError: a missing or changed file, or a configuration of another format.
    """
    verify(folder)
    content = read_json(folder / CONFIG)
    try:
        return ExportedConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise TrainerError(f"{folder / CONFIG}: {where}: {first['msg']}") from error


def read_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """The tensors of a file in the folder; see `trainer.backbone.tensor_files.read_tensors`.

    Raises:
        TrainerError: the file is missing, not safetensors, or has numbers that are not finite.
    """
    return tensor_files.read_tensors(folder / name)


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
