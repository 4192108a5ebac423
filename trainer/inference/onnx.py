"""Export a model to ONNX: preprocessed images in, probabilities out, for runtimes without Python or torch.

Shape letters: B images, C labels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trainer.data.encoding import Encoding, batch_of_pixels
from trainer.errors import RunFailed, TrainerError
from trainer.inference.model import Model

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""The packages of the extra `onnx`."""
TOLERANCE = 1e-4
"""Largest accepted difference of a probability from torch's."""
CHECKED_SIZES = (1, 3)
"""Numbers of images with which a written file is checked; it was traced with another."""


class _Probabilities(nn.Module):
    """The model as one function of its images, with constant text features."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.method, self.text, self.count = model.method, model.text, len(model.labels)
        self.encoding = Encoding.of(model.method.clip, model.method.reads, model.patch_source)
        self.clip = model.method.clip  # the method does not register it, so its weights would be left out

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C)."""
        unknown = pixels.new_zeros(pixels.shape[0], self.count)
        batch = batch_of_pixels(self.method.reads, self.encoding, pixels, unknown)
        probabilities: Tensor = self.method.logits(batch, self.text).sigmoid()
        return probabilities


def check_packages() -> None:
    """Check that the extra is installed.

    Raises:
        TrainerError: a package is missing.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise TrainerError(f"--onnx needs {', '.join(missing)}: pip install 'fedmpt[onnx]'")


def write_onnx(model: Model, path: Path) -> None:
    """Write a model with its image tower, and check the file's probabilities against the model's.

    Input `pixels` (B, 3, H, W) float32, preprocessed; output `probabilities` (B, C), in the order of the labels.

    Raises:
        TrainerError: the extra is not installed, or the method uses operations that ONNX lacks.
        RunFailed: the file's probabilities differ.
    """
    check_packages()
    size, name = model.method.clip.preprocess.size, model.source["method"]
    example = torch.zeros(2, 3, size, size, device=model.method.clip.device)
    module = _Probabilities(model).eval()
    with model.method.evaluating(model.text), _quietly():
        module(example)  # constants that are computed on first use
        try:
            traced = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
            program = torch.onnx.export(
                traced, (example,), input_names=["pixels"], output_names=["probabilities"], dynamo=True, verbose=False
            )
        except Exception as error:  # the exporter's errors have no common type
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise TrainerError(f"{name} cannot be written as ONNX ({said}); leave out --onnx") from error
        if program is None:
            raise TrainerError(f"{name} cannot be written as ONNX; leave out --onnx")
        program.save(str(path), external_data=False)
        _check(module, path, size)


def _check(module: _Probabilities, path: Path, size: int) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    for count in CHECKED_SIZES:
        pixels = torch.randn(count, 3, size, size, generator=generator)
        (found,) = session.run(None, {"pixels": pixels.numpy()})
        difference = float(np.abs(found - module(pixels.to(module.text.device)).cpu().numpy()).max())
        if not difference <= TOLERANCE:
            raise RunFailed(f"{path.name}: probabilities differ from torch's by {difference:.1e}; it is not used")


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's many warnings."""
    import warnings

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
