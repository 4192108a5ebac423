"""What commands import, each in a process of its own: nothing large beyond what their work needs."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from fedmpt.cli import ENTRIES
from fedmpt.common.startup import collector_paused
from tests.trainer.runs import pictures, trained_run

LARGE = {
    *("torch", "torchvision", "open_clip", "timm", "transformers", "huggingface_hub", "torchmetrics", "tensorboard"),
    *("numpy", "scipy", "sklearn", "ot", "matplotlib", "PIL", "openai", "starlette", "uvicorn", "jinja2"),
}
"""Packages that take long to import."""

RUN_MAIN = """
import json, runpy, sys
from pathlib import Path

out, *sys.argv[1:] = sys.argv[1:]
code = 0
try:
    runpy.run_module("fedmpt", run_name="__main__", alter_sys=True)
except SystemExit as stopped:
    code = stopped.code
Path(out).write_text(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
sys.exit(code)
"""


def imported(folder: Path, *words: str) -> set[str]:
    """The large packages that `fedmpt WORDS` imports, which has to succeed."""
    out = folder / "modules.json"
    done = subprocess.run(
        [sys.executable, "-c", RUN_MAIN, str(out), *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return LARGE & set(json.loads(out.read_text()))


@cache
def imported_by_open_clip() -> set[str]:
    """What open_clip imports by itself, torch among it; transformers for instance, where it is installed."""
    program = "import json, sys, open_clip; print(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return LARGE & set(json.loads(done.stdout))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained and evaluated run, its cached features, and a picture."""
    folder = tmp_path_factory.mktemp("startup")
    trained_run(folder / "run", folder / "cache", method__rank=4)
    pictures(folder, 1)
    return folder


@pytest.mark.parametrize("words", [(), *((name,) for name in ENTRIES)], ids=lambda words: " ".join(words) or "fedmpt")
def test_help_imports_nothing_large(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert imported(tmp_path, *words, "--help") == set()


@pytest.mark.parametrize("words", [("settings",), ("settings", "--template")])
def test_settings_are_shown_without_importing_their_classes(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert imported(tmp_path, *words) == set()


def test_compare_needs_no_tensors(folder: Path) -> None:
    assert imported(folder, "compare", "run") == set()


def test_predict_imports_open_clip_and_nothing_large_beside_it(folder: Path) -> None:
    found = imported(folder, "predict", "run", "photo-0.png")
    assert found >= {"torch", "open_clip"}
    assert found <= imported_by_open_clip()


def test_evaluate_computes_its_figures_without_other_packages(folder: Path) -> None:
    """Its features are cached: no image is drawn, and nothing that draws images is imported."""
    assert imported(folder, "evaluate", "run", "--cache-dir", "cache") <= imported_by_open_clip()


def test_train_imports_neither_torchmetrics_nor_scikit_learn(folder: Path) -> None:
    """The drawn world has its own sites, so nothing is clustered; scipy blurs its rain."""
    settings = ("data.sites=2", "data.images_per_site=12", "data.validation_images=30", "data.test_images=30")
    words = [word for setting in settings for word in ("--set", setting)]
    words += ["--method", "coop", "--rounds", "1", "--out", "coop", "--cache-dir", "cache"]
    found = imported(folder, "train", *words)
    assert found <= imported_by_open_clip() | {"scipy", "tensorboard"}


def test_the_collector_rests_for_a_while_and_passes_over_what_was_made() -> None:
    frozen = gc.get_freeze_count()
    try:
        with pytest.raises(KeyError), collector_paused():
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.unfreeze()
        gc.enable()
