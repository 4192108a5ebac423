"""A third-party package adds a method by its entry point, without changes to this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

METHOD = '''
"""Linear probe of the class token, by somebody else. It reads pixels, and runs the image tower in each step."""
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.backbone.vision import encode_dense
from trainer.config.settings import MethodSettings
from trainer.data.batches import Batch
from trainer.methods.base import Method, MethodContext
from trainer.methods.registry import register


class ProbeConfig(MethodSettings):
    name: Literal["probe"] = "probe"
    spread: float = Field(0.01, gt=0)


@register(ProbeConfig)
class Probe(Method):
    reads = "pixels"

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        labels, width = len(context.label_names), self.clip.dim
        start = torch.randn(labels, width, generator=context.generator)
        self.rows = nn.Parameter(context.settings.spread * start)

    def text_features(self) -> Tensor:
        return self.rows

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        return F.normalize(encode_dense(self.clip, batch.pixels)[:, 0], dim=-1) @ text.T

    def describe(self) -> dict[str, Any]:
        return {"title": "linear probe", "trainable": self.trainable(), "prompts": []}
'''

BROKEN = "import a_package_that_is_not_there\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages with one distribution that has an entry point."""
    folder = tmp_path / "site"
    info = folder / "fedmpt_probe-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "probe_method.py").write_text(METHOD)
    (folder / "broken_method.py").write_text(BROKEN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fedmpt-probe\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fedmpt.methods]\nprobe = probe_method\nshaky = broken_method\n")
    return folder


def fedmpt(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(site), str(Path(__file__).resolve().parents[3])])
    return subprocess.run(
        [sys.executable, "-m", "fedmpt", *words],
        cwd=site.parent,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_trains_resumes_and_predicts_like_any_other(site: Path) -> None:
    small = [
        f"--set=data.{key}={value}"
        for key, value in (("sites", 2), ("images_per_site", 8), ("validation_images", 12), ("test_images", 12))
    ]
    trained = fedmpt(site, "train", "--method", "probe", "--rounds", "1", "--set=method.spread=0.1", *small)
    assert trained.returncode == 0, trained.stderr
    assert "probe: 3,072 trained and exchanged parameters" in trained.stdout
    run = site.parent / "runs" / "probe-scenes-1"
    assert '"spread": 0.1' in (run / "config.json").read_text()
    assert fedmpt(site, "train", "--resume", str(run)).returncode == 0
    exported = fedmpt(site, "export", str(run), "--out", "model")
    assert exported.returncode == 0, exported.stderr
    again = fedmpt(site, "train", "--method", "probe", "--set=method.sprad=1")
    assert again.returncode == 2 and "'method.sprad' is not a setting" in again.stderr


def test_a_package_that_fails_to_import_affects_its_own_method_only(site: Path) -> None:
    done = fedmpt(site, "train", "--method", "shaky", "--rounds", "0")
    assert done.returncode == 2
    assert "the method 'shaky' is left out: ModuleNotFoundError" in done.stderr


def test_its_settings_are_listed(site: Path) -> None:
    done = fedmpt(site, "settings", "spread", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row == {"key": "method.spread", "method": "probe", "type": "number > 0", "default": 0.01, "meaning": ""}
