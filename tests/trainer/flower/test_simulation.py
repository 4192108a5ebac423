"""fedmpt train --engine flower, as a user runs it; without the extra, what it says."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.trainer.commands.test_datasets import fedmpt
from trainer.run.folder import Run

SMALL = ("--set", "data.sites=2", "--set", "data.images_per_site=12", "--set", "data.validation_images=20")
QUICK = (
    *SMALL,
    *("--set", "data.test_images=20", "--set", "evaluation.bootstrap=0", "--set", "evaluation.yardsticks=false"),
    *("--rounds", "2", "--cache-dir", "cache"),
)
with_flower = pytest.mark.skipif(find_spec("flwr") is None, reason="needs Flower: pip install -e '.[flower]'")


@pytest.mark.skipif(find_spec("flwr") is not None, reason="Flower is installed")
def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path) -> None:
    done = fedmpt("train", *QUICK, "--method", "coop", "--engine", "flower", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: Flower is not installed; run: pip install 'fedmpt[flower]'\n")
    assert not (tmp_path / "runs").exists()


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*"))}


def test_flower_is_imported_only_when_it_is_used() -> None:
    """Not by the files of the server's part, either, so that they are tested without it."""
    modules = "trainer.commands.training, trainer.flower.simulation, trainer.flower.engine"
    code = f"import sys, {modules}; print([n for n in sys.modules if n.split('.')[0] in ('flwr', 'ray')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@with_flower
@pytest.mark.parametrize("method", [("coop",), ("fedpgp", "--set", "federation.memory=optimiser")])
def test_the_simulation_trains_the_same_parameters(tmp_path: Path, method: tuple[str, ...]) -> None:
    """Also of clients that keep something between rounds."""
    for name, engine in (("local", ()), ("flower", ("--engine", "flower"))):
        done = fedmpt("train", *QUICK, "--method", *method, "--out", name, *engine, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    local, flower = Run.open(tmp_path / "local"), Run.open(tmp_path / "flower")
    assert [path.read_bytes() for path in local.checkpoints().values()] == [
        path.read_bytes() for path in flower.checkpoints().values()
    ]
    assert files(local.clients) == files(flower.clients)
    for line, other in zip(local.metrics(), flower.metrics(), strict=True):
        assert {key: other[key] for key in line} == line
        assert other["bytes_sent"] > 2 * 1000
        assert 0 < other["training_seconds"] <= other["round_seconds"]
