"""An exported model gives the run's probabilities without text tower or data; a modified folder is refused."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import trainer
from tests.trainer.runs import pictures, trained_run
from trainer.backbone.architectures import architecture
from trainer.backbone.load import load_backbone
from trainer.backbone.vision_only import VisionClip
from trainer.errors import TrainerError
from trainer.inference.card import model_card
from trainer.inference.export import export
from trainer.inference.exported import BACKBONE, CONFIG, ONNX, SUMS, WEIGHTS, read_config, sha256
from trainer.run.folder import Run

METHODS = {
    "fedmpt": {"method__rank": 4, "backbone__patch_source": "value"},
    "transport": {"method__rank": 4, "method__matching": "transport"},
    "shares": {"method__rank": 4, "method__matching": "shares", "method__background": "values"},
    "released": {"method__name": "fedmpt-released"},
    "coop": {"method__name": "coop"},
    "zero-shot": {"method__name": "zero-shot"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, Run]:
    made = {name: trained_run(folder / name, folder / "cache", **settings) for name, settings in METHODS.items()}
    for name, run in made.items():
        export(run, folder / f"{name}-model")
    return made


@pytest.fixture
def model(runs: dict[str, Run], folder: Path, tmp_path: Path) -> Path:
    """A copy of an exported model that a test may spoil."""
    return Path(shutil.copytree(folder / "fedmpt-model", tmp_path / "model"))


def signed(folder: Path) -> Path:
    """The folder with checksums of what is in it now."""
    names = sorted(p.name for p in folder.iterdir() if p.name in (CONFIG, WEIGHTS, BACKBONE))
    (folder / SUMS).write_text("".join(f"{sha256(folder / name)}  {name}\n" for name in names))
    return folder


@pytest.mark.parametrize("name", METHODS)
def test_probabilities_are_the_runs(runs: dict[str, Run], folder: Path, name: str) -> None:
    """Same image tower, same text features: equal to 1e-6, in probabilities and in explanations."""
    paths = pictures(folder / "photos")
    ours, theirs = trainer.load(runs[name].folder), trainer.load(folder / f"{name}-model")
    assert isinstance(theirs.method.clip, VisionClip)
    assert (theirs.labels, theirs.threshold, theirs.conditions) == (ours.labels, ours.threshold, ours.conditions)
    for mine, other in zip(ours.predict(paths), theirs.predict(paths), strict=True):
        np.testing.assert_allclose(list(other.values()), list(mine.values()), atol=1e-6)
    mine, other = (m.explain(paths[0], ["cat", "sofa"]) for m in (ours, theirs))
    assert mine.places_are == other.places_are
    for a, b in zip(mine.labels, other.labels, strict=True):
        assert a.logit == pytest.approx(b.logit, abs=1e-5)
        if a.places is not None:
            np.testing.assert_allclose(a.places, b.places, atol=1e-6)


def test_nothing_of_the_text_tower_is_there(runs: dict[str, Run], folder: Path) -> None:
    names = {*load_file(folder / "fedmpt-model" / BACKBONE)}
    assert all(name.startswith("visual.") or name == "logit_scale" for name in names)
    loaded = trainer.load(folder / "fedmpt-model")
    assert bool(loaded.method.clip.embed([1, 2]).isnan().all())
    assert bool(loaded.method.clip.encode_texts(["a cat"]).isnan().all())
    with pytest.raises(TrainerError, match="without its text tower"):
        loaded.method.clip.encode_tokens(torch.zeros(1, 3, 4), torch.tensor([2]))


def test_what_the_bank_said_beyond_its_prompts_stays_behind(runs: dict[str, Run], folder: Path) -> None:
    written = json.loads((folder / "fedmpt-model" / CONFIG).read_text())
    assert written["conditions"] == ["background", "spatial layout"]
    assert (written["bank"]["captions"], written["bank"]["history"]) == ([], [])
    assert json.loads((folder / "coop-model" / CONFIG).read_text())["bank"] is None


def test_the_readme_runs(runs: dict[str, Run], folder: Path) -> None:
    readme = (folder / "fedmpt-model" / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert code is not None
    photo = pictures(folder / "photos")[0]
    ran = [sys.executable, "-c", code[1], str(photo)]
    done = subprocess.run(ran, cwd=folder / "fedmpt-model", capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(photo))


def test_the_card_is_in_the_hubs_format(runs: dict[str, Run], folder: Path) -> None:
    """Front matter without a license, which is the author's to choose; figures, data, conditions and limits."""
    text = (folder / "fedmpt-model" / "README.md").read_text()
    _, head, body = text.split("---\n", 2)
    meta = yaml.safe_load(head)
    assert (meta["library_name"], meta["pipeline_tag"]) == ("fedmpt", "image-classification")
    assert "license" not in meta and "# license:" in head
    (result,) = meta["model-index"][0]["results"]
    test = runs["fedmpt"].evaluation()["test"]
    assert {m["type"]: m["value"] for m in result["metrics"]} == {
        name: round(test[name], 2) for name in ("mAP", "CF1", "OF1")
    }
    for part in ("## Use", "## Figures", "## Data and labels", "## Conditions", "## Limits", "30 test images"):
        assert part in body
    config = read_config(folder / "fedmpt-model")
    assert config.conditions
    for name in (*config.labels, *config.conditions):
        assert f"`{name}`" in body
    assert "2 clients" in " ".join(body.split())
    assert str(folder) not in text
    assert "The method has no conditions" in (folder / "coop-model" / "README.md").read_text()


@pytest.mark.parametrize(("resize", "said"), [("shortest", "central square crop"), ("longest", "padded to a square")])
def test_the_card_says_what_the_model_sees(
    runs: dict[str, Run], folder: Path, resize: Literal["shortest", "longest"], said: str
) -> None:
    config = read_config(folder / "coop-model")
    preprocess = config.backbone.preprocess.model_copy(update={"resize": resize})
    other = config.model_copy(update={"backbone": config.backbone.model_copy(update={"preprocess": preprocess})})
    assert said in model_card(other, runs["coop"].evaluation(), None, True)


def test_names_are_no_markup_in_the_card(runs: dict[str, Run], folder: Path) -> None:
    config = read_config(folder / "coop-model")
    hostile = "`<script>alert(1)</script>\n---\nlicense: mit\n# x"
    spoilt = config.model_copy(update={"labels": (hostile, "cat"), "run": hostile, "dataset": hostile})
    text = model_card(spoilt, runs["coop"].evaluation(), None, False)
    _, head, body = text.split("---\n", 2)
    assert set(yaml.safe_load(head)) == {"library_name", "pipeline_tag", "tags", "model-index"}
    assert "<script" not in body
    assert not [line for line in body.splitlines() if line.startswith(("---", "license:", "# x"))]


@pytest.mark.parametrize("name", ["shares", "coop"])
def test_onnx_gives_the_same_probabilities(runs: dict[str, Run], folder: Path, name: str) -> None:
    """For any number of images, by another runtime."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    import onnxruntime

    out = export(runs[name], folder / f"{name}-onnx", onnx=True)
    session = onnxruntime.InferenceSession(str(out / ONNX), providers=["CPUExecutionProvider"])
    model = trainer.load(out)
    paths = pictures(folder / "photos", 4)
    pixels = torch.stack([model.tensor(path) for path in paths])
    expected = [list(found.values()) for found in model.predict(paths)]
    for count in (1, 4):
        (found,) = session.run(None, {"pixels": pixels[:count].numpy()})
        np.testing.assert_allclose(found, expected[:count], atol=1e-4)
    assert "`model.onnx` needs no Python" in (out / "README.md").read_text()
    (out / ONNX).write_bytes(b"changed")
    with pytest.raises(TrainerError, match=r"model\.onnx: changed or damaged"):
        trainer.load(out)


def test_onnx_without_its_packages(runs: dict[str, Run], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.inference.onnx.PACKAGES", ("a_package_that_is_not_there",))
    with pytest.raises(TrainerError, match=r"pip install 'fedmpt\[onnx\]'"):
        export(runs["coop"], folder / "no-onnx", onnx=True)
    assert not (folder / "no-onnx").exists()


def test_importing_trainer_is_light() -> None:
    code = (
        "import sys, trainer; assert callable(trainer.load); print([m for m in ('torch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_its_backbone_the_shipped_one_is_found(runs: dict[str, Run], folder: Path) -> None:
    lean = export(runs["coop"], folder / "lean", with_backbone=False)
    assert not (lean / BACKBONE).exists()
    photo = pictures(folder / "photos")[:1]
    found, expected = (list(trainer.load(f).predict(photo)[0].values()) for f in (lean, folder / "coop-model"))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_another_backbone_is_refused(model: Path) -> None:
    weights = load_file(model / BACKBONE)
    weights["visual.proj"] = weights["visual.proj"] * 1.001
    save_file(weights, model / BACKBONE)
    with pytest.raises(TrainerError, match=r"backbone\.safetensors: changed or damaged"):
        trainer.load(model)
    with pytest.raises(TrainerError, match="the model was trained on"):
        trainer.load(signed(model))
    del weights["visual.proj"]
    save_file(weights, model / BACKBONE)
    with pytest.raises(TrainerError, match="not those of scenes-tiny's image tower"):
        trainer.load(signed(model))


def test_a_backbone_that_is_not_there_is_explained(model: Path) -> None:
    (model / BACKBONE).unlink()
    described = json.loads((model / CONFIG).read_text())
    name = "ViT-B-16-quickgelu"
    described["backbone"] |= {"included": False, "name": name, "pretrained": "mine.safetensors"}
    described["backbone"]["architecture"] = architecture(name)
    described["backbone"]["preprocess"]["size"] = 224
    (model / CONFIG).write_text(json.dumps(described))
    with pytest.raises(TrainerError, match=r"no such weights file[\s\S]*pass the .safetensors file of ViT-B-16"):
        trainer.load(signed(model))


def test_a_users_own_file_is_named_without_its_folder(runs: dict[str, Run], folder: Path, tmp_path: Path) -> None:
    """Where a run's weights came from a file, an export says its name, never a path of that machine."""
    from trainer.inference.export import _without_folder

    assert _without_folder("/home/someone/clip.safetensors") == "clip.safetensors"
    assert _without_folder("openai") == "openai"
    assert _without_folder(None) is None


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, BACKBONE, SUMS])
def test_a_missing_file_is_named(model: Path, name: str) -> None:
    (model / name).unlink()
    with pytest.raises(TrainerError, match=rf"{re.escape(name)}: missing"):
        trainer.load(model)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, BACKBONE])
def test_a_changed_file_is_named(model: Path, name: str) -> None:
    content = bytearray((model / name).read_bytes())
    content[len(content) // 2] ^= 1
    (model / name).write_bytes(content)
    with pytest.raises(TrainerError, match=rf"{re.escape(name)}: changed or damaged"):
        trainer.load(model)


def test_a_pickle_is_never_read(model: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    for name in (WEIGHTS, BACKBONE):
        kept = (model / name).read_bytes()
        (model / name).write_bytes(pickle.dumps(Trap()))
        with pytest.raises(TrainerError, match="not a readable safetensors file"):
            trainer.load(signed(model))
        (model / name).write_bytes(kept)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format"),
        ({"threshold": 2}, "threshold"),
        ({"labels": ["only one"]}, "text features of 1 labels"),
        ({"surplus": 1}, "surplus"),
    ],
)
def test_a_configuration_that_does_not_fit(model: Path, change: dict[str, object], said: str) -> None:
    described = json.loads((model / CONFIG).read_text())
    (model / CONFIG).write_text(json.dumps(described | change))
    with pytest.raises(TrainerError, match=said):
        trainer.load(signed(model))


def test_weights_of_another_method(model: Path) -> None:
    weights = load_file(model / WEIGHTS)
    del weights["gate_up"]
    save_file(weights, model / WEIGHTS)
    with pytest.raises(TrainerError, match="the weights are not of this model"):
        trainer.load(signed(model))


def test_nothing_is_overwritten(runs: dict[str, Run], model: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="there is something already"):
        export(runs["coop"], model)
    (tmp_path / "empty").mkdir()
    export(runs["coop"], tmp_path / "empty")
    assert trainer.load(tmp_path / "empty").source["method"] == "coop"
    with pytest.raises(TrainerError, match="one checkpoint"):
        trainer.load(model, checkpoint="1")


def test_the_image_tower_alone_is_the_whole_ones(runs: dict[str, Run], folder: Path) -> None:
    whole, vision = load_backbone("scenes-tiny", None), trainer.load(folder / "coop-model").method.clip
    assert whole.vision_hash == vision.vision_hash
    assert (whole.dim, whole.text_width, whole.patches, whole.scale) == (
        vision.dim,
        vision.text_width,
        vision.patches,
        vision.scale,
    )
