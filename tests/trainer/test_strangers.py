"""A stranger's run or export runs no code and fetches nothing, by whatever command it is opened."""

from __future__ import annotations

import json
import pickle
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from typer.testing import CliRunner

import trainer
from fedmpt.cli import build
from tests.trainer.runs import pictures, trained_run
from trainer.backbone.architectures import architecture_names
from trainer.errors import TrainerError
from trainer.inference.export import export
from trainer.inference.exported import CONFIG, SUMS, sha256


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strangers")
    run = trained_run(folder / "run", folder / "cache", method__name="zero-shot")
    export(run, folder / "model")
    pictures(folder / "photos", 1)
    return folder


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, nothing unpickled, and nothing that open_clip builds."""

    def refuse(*words: object, **options: object) -> None:
        raise AssertionError(f"reached {words} {options}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(open_clip, "create_model", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(pickle, "load", refuse)


def spiked(tmp_path: Path) -> Path:
    """A folder that open_clip would build a model from, with traps in all its files."""
    made = tmp_path / "spiked"
    made.mkdir()
    config = {
        "model_cfg": {
            "embed_dim": 8,
            "vision_cfg": {"timm_model_name": f"local-dir:{made}", "timm_model_pretrained": True, "image_size": 32},
            "text_cfg": {"hf_model_name": str(made), "hf_tokenizer_name": str(made), "hf_model_pretrained": True},
        },
        "preprocess_cfg": {},
    }
    (made / "open_clip_config.json").write_text(json.dumps(config))
    code = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n"
    for name in ("modeling.py", "tokenization.py", "configuration.py"):
        (made / name).write_text(code)
    remote = {"AutoConfig": "configuration.X", "AutoModel": "modeling.X", "AutoTokenizer": "tokenization.X"}
    (made / "config.json").write_text(json.dumps({"model_type": "spiked", "auto_map": remote}))
    (made / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["tokenization.X", None]}}))
    for name in ("open_clip_pytorch_model.bin", "pytorch_model.bin", "weights.pt", "weights.bin", "weights.pth"):
        (made / name).write_bytes(pickle.dumps(Trap(tmp_path / "ran")))
    shutil.copy(made / "weights.pt", made / "named.safetensors")
    return made


BACKBONES: dict[str, Callable[[Path], tuple[str, str | None]]] = {
    "a folder": lambda at: (f"local-dir:{at}", None),
    "a folder with weights": lambda at: (f"local-dir:{at}", str(at / "weights.pt")),
    "a repository": lambda at: ("hf-hub:someone/model", None),
    "a repository with weights": lambda at: ("hf-hub:someone/model", str(at / "named.safetensors")),
    "a tower of timm": lambda at: ("convnext_base", str(at / "weights.pt")),
    "a tower of transformers": lambda at: ("roberta-ViT-B-32", "laion2b_s12b_b32k"),
    "a foreign tokenizer": lambda at: ("ViT-B-16-SigLIP", "webli"),
    "a pickle": lambda at: ("ViT-B-32", str(at / "weights.pt")),
    "a pickle of the hub's custom": lambda at: ("ViT-B-32", str(at / "pytorch_model.bin")),
    "a pickle under another name": lambda at: ("ViT-B-32", str(at / "named.safetensors")),
    "a tag to fetch": lambda at: ("ViT-B-32", "laion2b_s34b_b79k"),
    "a folder as weights": lambda at: ("ViT-B-32", str(at)),
    "a path as a name": lambda at: (str(at), None),
}

COMMANDS: dict[str, tuple[str, ...]] = {
    "predict": ("predict", "{run}", "{photos}"),
    "evaluate": ("evaluate", "{run}"),
    "report": ("report", "{run}"),
    "export": ("export", "{run}", "--out", "{out}"),
    "resume": ("train", "--resume", "{run}"),
}


def fedmpt(folder: Path, run: Path, *words: str) -> tuple[int, str]:
    places = {"run": run, "photos": folder / "photos", "out": run.parent / "out"}
    spoken = [word.format(**places) for word in words]
    result = CliRunner().invoke(build(spoken[0]), spoken, env={"FEDMPT_CACHE_DIR": str(folder / "cache")})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stderr


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_names_its_backbone(folder: Path, tmp_path: Path, command: str, backbone: str) -> None:
    run = Path(shutil.copytree(folder / "run", tmp_path / "run"))
    name, pretrained = BACKBONES[backbone](spiked(tmp_path))
    written = json.loads((run / "config.json").read_text())
    written["backbone"] |= {"name": name, "pretrained": pretrained}
    (run / "config.json").write_text(json.dumps(written))
    code, said = fedmpt(folder, run, *COMMANDS[command])
    assert code in (1, 2)
    assert said.startswith("error: ")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(TrainerError):
        trainer.load(run)


@pytest.mark.parametrize("included", [True, False])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_an_export_names_its_backbone(folder: Path, tmp_path: Path, backbone: str, included: bool) -> None:
    model = Path(shutil.copytree(folder / "model", tmp_path / "model"))
    name, pretrained = BACKBONES[backbone](spiked(tmp_path))
    written = json.loads((model / CONFIG).read_text())
    written["backbone"] |= {"name": name, "pretrained": pretrained, "included": included}
    refused(folder, model, written, tmp_path)


@pytest.mark.parametrize("part", ["vision_cfg", "text_cfg"])
@pytest.mark.parametrize(
    "change",
    [
        {"timm_model_name": "local-dir:{at}", "timm_model_pretrained": True},
        {"timm_model_name": "hf-hub:someone/model"},
        {"hf_model_name": "{at}", "hf_tokenizer_name": "{at}"},
        {"hf_tokenizer_name": "{at}", "tokenizer_kwargs": {"trust_remote_code": True}},
        {"width": 10**9},
        {"layers": 10**9},
        {"surplus": 1},
    ],
)
def test_an_export_describes_its_architecture(folder: Path, tmp_path: Path, change: dict[str, Any], part: str) -> None:
    model = Path(shutil.copytree(folder / "model", tmp_path / "model"))
    at = str(spiked(tmp_path))
    written = json.loads((model / CONFIG).read_text())
    written["backbone"]["architecture"][part] |= {
        key: value.format(at=at) if isinstance(value, str) else value for key, value in change.items()
    }
    refused(folder, model, written, tmp_path)


def refused(folder: Path, model: Path, written: dict[str, Any], tmp_path: Path) -> None:
    (model / CONFIG).write_text(json.dumps(written))
    names = sorted(path.name for path in model.iterdir() if path.suffix in (".json", ".safetensors"))
    (model / SUMS).write_text("".join(f"{sha256(model / name)}  {name}\n" for name in names))
    with pytest.raises(TrainerError):
        trainer.load(model)
    code, said = fedmpt(folder, model, "predict", "{run}", "{photos}")
    assert (code, said[:7]) == (2, "error: ")
    assert not (tmp_path / "ran").exists()


def test_other_weights_than_the_recorded_ones_are_refused(folder: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(folder / "run", tmp_path / "run"))
    written = json.loads((run / "identity.json").read_text())
    written["backbone"]["weights"] = "sha256:" + "0" * 64
    (run / "identity.json").write_text(json.dumps(written))
    for words in COMMANDS.values():
        code, said = fedmpt(folder, run, *words)
        assert (code, "the backbone changed" in said) == (2, True), (words, said)


def test_only_plain_architectures_are_known() -> None:
    """Each of them without a name of another package's model in its configuration."""
    assert {"scenes-tiny", "ViT-B-16-quickgelu", "ViT-L-14"} <= set(architecture_names())
    for name in architecture_names()[1:]:
        assert "_name" not in json.dumps(open_clip.get_model_config(name))
