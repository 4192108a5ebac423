"""Export a run's model to a folder that works without the training data; see `trainer.inference.exported`."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path

from safetensors.torch import save

from fedmpt.common.files import naming
from prompt_bank.prompts.layout import active_conditions
from prompt_bank.schema import Bank, Condition, Label
from trainer.backbone.architectures import SHIPPED, architecture
from trainer.errors import TrainerError
from trainer.federation.memory import PERSONAL, ClientMemory
from trainer.inference.card import card_of_client, model_card
from trainer.inference.exported import (
    BACKBONE,
    CONFIG,
    ONNX,
    SUMS,
    WEIGHTS,
    ExportedBackbone,
    ExportedConfig,
    ExportedPreprocess,
    PartsAtSites,
    sha256,
)
from trainer.inference.load import from_run, run_bank
from trainer.inference.model import Model
from trainer.inference.onnx import check_packages, write_onnx
from trainer.run.folder import Run


def export(
    run: Run,
    out: Path,
    *,
    with_backbone: bool | None = None,
    checkpoint: str | None = None,
    backbone: str | None = None,
    onnx: bool = False,
    client: int | None = None,
) -> Path:
    """Write a run's model into a new folder.

    Args:
        run: an evaluated run.
        out: the folder; must be empty or not exist.
        with_backbone: whether to include the image tower's weights; None: only those of scenes-tiny.
        checkpoint: see `trainer.inference.load.load`.
        backbone: see `trainer.inference.load.load`.
        onnx: whether to write model.onnx, too, which includes the image tower; see `trainer.inference.onnx`.
        client: see `trainer.inference.load.load`.

    Returns:
        The folder.

    Raises:
        TrainerError: a run that is not evaluated, a folder that is not empty, or a model that ONNX cannot express.
    """
    if onnx:
        check_packages()
    check_new(out)
    model = from_run(run, "cpu", checkpoint, client, backbone)
    included = model.method.clip.name == SHIPPED if with_backbone is None else with_backbone
    config = _config(run, model, included)
    card = _card(run, config, onnx)
    if client is not None:
        config, card = of_client(config, client), card_of_client(card, client)
    write_exported(out, model, config, card, onnx)
    return out


def of_client(config: ExportedConfig, client: int) -> ExportedConfig:
    """The configuration of a shared model for that of a client, which has no figures."""
    return config.model_copy(update={"run": f"{config.run}, client {client}", "figures": {}, "at_sites": None})


def check_new(out: Path) -> None:
    """Check that a folder can be written.

    Raises:
        TrainerError: there is something already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TrainerError(f"{out}: there is something already; choose another --out")


def write_exported(out: Path, model: Model, config: ExportedConfig, card: str, onnx: bool = False) -> None:
    """Write an exported model's folder, in whole or not at all.

    Args:
        out: see `check_new`.
        model: with its current personal parts.
        config: its configuration.
        card: the text of README.md.
        onnx: see `export`.
    """
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        with naming(out):
            _write(temporary, model, config, onnx)
            (temporary / "README.md").write_text(card, encoding="utf-8")
        if out.exists():
            out.rmdir()
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _card(run: Run, config: ExportedConfig, onnx: bool) -> str:
    identity = run.identity()
    return model_card(config, run.evaluation(), identity["partition"]["clients"] if identity else None, onnx)


def _write(folder: Path, model: Model, config: ExportedConfig, onnx: bool) -> None:
    personal = {f"{PERSONAL}{name}": value for name, value in model.method.personal_parts().items()}
    tensors = {**model.method.exchanged(), **personal, "text_features": model.text.contiguous()}
    (folder / WEIGHTS).write_bytes(save(tensors))
    if config.backbone.included:
        weights = model.method.clip.vision_weights()
        (folder / BACKBONE).write_bytes(save({name: value.contiguous() for name, value in weights.items()}))
    if onnx:
        write_onnx(model, folder / ONNX)
    described = config.model_dump(mode="json", by_alias=True)
    (folder / CONFIG).write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    names = sorted(path.name for path in folder.iterdir())
    (folder / SUMS).write_text("".join(f"{sha256(folder / name)}  {name}\n" for name in names), encoding="utf-8")


def _config(run: Run, model: Model, included: bool) -> ExportedConfig:
    settings, evaluation, clip = run.config(), run.evaluation(), model.method.clip
    preprocess = clip.preprocess
    return ExportedConfig(
        tool=f"fedmpt {version('fedmpt')}",
        run=run.name,
        rounds=model.source["rounds"],
        labels=model.labels,
        threshold=model.threshold,
        conditions=model.conditions,
        figures={k: v for k in ("mAP", "CF1", "OF1") if (v := evaluation["test"][k]) is not None},
        dataset=evaluation["dataset"],
        method=settings.method,
        backbone=ExportedBackbone(
            name=clip.name,
            pretrained=_without_folder(settings.backbone.pretrained),
            architecture=architecture(clip.name),
            patch_source=settings.backbone.patch_source,
            preprocess=ExportedPreprocess(
                size=preprocess.size,
                mean=preprocess.mean,
                std=preprocess.std,
                interpolation=preprocess.interpolation,
                resize=preprocess.resize,
            ),
            vision_sha256=clip.vision_hash,
            included=included,
        ),
        at_sites=_at_sites(run, model),
        bank=_exported_bank(run, model),
    )


def _at_sites(run: Run, model: Model) -> PartsAtSites | None:
    memory = ClientMemory(run.clients)
    if not model.method.personal or (name := memory.elsewhere) is None:
        return None
    memory = ClientMemory.open(run.clients, model.source["rounds"])
    return PartsAtSites(memory=name, rounds={client: memory.since(client) for client in memory.clients()})


def _exported_bank(run: Run, model: Model) -> Bank | None:
    """What the method needs of the run's bank; None if that is nothing."""
    attributes = model.method.reads_attributes
    bank = run_bank(run) if attributes or model.conditions is not None else None
    return None if bank is None else _lean_bank(bank, attributes)


def _lean_bank(bank: Bank, attributes: bool) -> Bank:
    """The bank without everything that prompts do not need: captions, evidence, history, and attributes if not asked
    for."""
    conditions, _ = active_conditions(bank)
    return Bank(
        name=bank.name,
        revision=bank.revision,
        labels=tuple(
            Label(name=label.name, attributes=label.attributes if attributes else ()) for label in bank.labels
        ),
        conditions=tuple(
            Condition(id=c.id, text=c.text, definition=c.definition, status=c.status, values=c.values)
            for c in conditions
        ),
        prompt=bank.prompt,
    )


def _without_folder(pretrained: str | None) -> str | None:
    """A tag, or the name of a file without its path, which has no meaning elsewhere."""
    if pretrained is None or not pretrained.endswith(".safetensors"):
        return pretrained
    return Path(pretrained).name
