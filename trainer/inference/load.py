"""Load a trained model from a run folder or from an exported model, without training data."""

from __future__ import annotations

from pathlib import Path

import torch

from prompt_bank.schema import Bank
from trainer.backbone.clip import FrozenClip
from trainer.backbone.load import load_backbone, load_recorded
from trainer.config.sections import LossConfig
from trainer.data.bank_labels import matched_bank
from trainer.errors import TrainerError
from trainer.federation.memory import PERSONAL
from trainer.inference.exported import BACKBONE, WEIGHTS, ExportedConfig, read_config, read_tensors
from trainer.inference.model import Model
from trainer.methods.base import Method, MethodContext, extract_knowledge
from trainer.methods.registry import build
from trainer.preparing import PRECISIONS, pick_device
from trainer.run.folder import Run
from trainer.run.identity import check_bank, recorded_weights
from trainer.run.restoring import restore
from trainer.run_config import MethodConfig


def load(
    path: str | Path,
    *,
    device: str = "auto",
    checkpoint: str | None = None,
    backbone: str | None = None,
    client: int | None = None,
) -> Model:
    """Load a trained model from a run folder, or from a folder written by `fedmpt export`.

    Args:
        path: the folder.
        device: "auto" (CUDA if available), "cpu", "cuda:1" and so on.
        checkpoint: for runs: "last", "best" or a number of rounds; None for the evaluated checkpoint.
        backbone: where the weights of the full CLIP are: a .safetensors file, or an open_clip tag, which may then be
            fetched; None: where the folder says, and nothing is fetched. They must be those used in training.
        client: for runs of a method with personal parts: the client whose model is loaded; None for the global model
            with the initial personal parts.

    Raises:
        TrainerError: no such folder; a missing, changed or unreadable file; a backbone other than in training.
    """
    folder = Path(path)
    if (folder / "checkpoints").is_dir():
        return from_run(Run.open(folder), device, checkpoint, client, backbone)
    if not (folder / "config.json").is_file() and not (folder / WEIGHTS).is_file():
        raise TrainerError(f"{folder}: neither a run nor an exported model (no checkpoints/, no {WEIGHTS})")
    if checkpoint is not None:
        raise TrainerError(f"{folder}: an exported model has one checkpoint; leave out --checkpoint")
    if client is not None:
        raise TrainerError(f"{folder}: an exported model has no clients; load client {client} from the run's folder")
    return from_export(folder, device, backbone)


def from_run(
    run: Run,
    device: str = "auto",
    checkpoint: str | None = None,
    client: int | None = None,
    backbone: str | None = None,
) -> Model:
    """The global model or a client's model of an evaluated run; computes the text features.

    The threshold was chosen for the evaluated checkpoint, on validation images, so no other checkpoint can be loaded.

    Raises:
        TrainerError: a run that is not evaluated at this checkpoint, or a client without personal parts.
    """
    evaluation = run.evaluated_model()
    evaluated = int(evaluation["rounds"])
    rounds, state = run.load_checkpoint(checkpoint or str(evaluated))
    if rounds != evaluated:
        raise TrainerError(
            f"{run.folder}: the threshold was chosen for checkpoint {evaluated}, not {rounds}; "
            f"run: fedmpt evaluate {run.folder} --checkpoint {rounds}"
        )
    config = run.config()
    check_bank(run)
    weights = recorded_weights(run, backbone)
    named = config.backbone
    clip = load_recorded(named.name, named.pretrained, weights, pick_device(device), named.resize)
    clip.precision = PRECISIONS[config.compute.precision]
    names = tuple(evaluation["label_names"])
    method = _method(config.method, clip, names, run_bank(run), state)
    restore(run, method, str(rounds), client)
    with torch.no_grad():
        text = method.text_features()
    source = {
        "run": run.name,
        "method": config.method.name,
        "title": evaluation["description"]["title"],
        "rounds": rounds,
        "backbone": clip.name,
        "patch_source": config.backbone.patch_source,
    }
    return Model(method, text, float(evaluation["test"]["threshold"]), source)


def from_export(folder: Path, device: str = "auto", backbone: str | None = None) -> Model:
    """The model in an exported folder. The text tower is not needed.

    Raises:
        TrainerError: see `load`.
    """
    config = read_config(folder)
    clip = _clip(folder, config, pick_device(device), backbone)
    tensors = read_tensors(folder, WEIGHTS)
    text = tensors.pop("text_features", None)
    if text is None or tuple(text.shape[-2:]) != (len(config.labels), clip.dim):
        found = "none" if text is None else f"{tuple(text.shape)}"
        raise TrainerError(
            f"{folder / WEIGHTS}: expected text features of {len(config.labels)} labels, {clip.dim} wide, not {found}"
        )
    method = _method(config.method, clip, config.labels, config.bank, tensors)
    personal = {name: tensors.pop(name) for name in list(tensors) if name.startswith(PERSONAL)}
    try:
        method.personal_start = {name.removeprefix(PERSONAL): value for name, value in personal.items()}
        method.receive(tensors)
    except ValueError as error:
        raise TrainerError(f"{folder}: the weights are not of this model ({error})") from error
    source = {
        "run": config.run,
        "method": config.method.name,
        "title": method.describe()["title"],
        "rounds": config.rounds,
        "backbone": clip.name,
        "patch_source": config.backbone.patch_source,
    }
    model = Model(method, text, config.threshold, source)
    _try_out(folder / WEIGHTS, model)
    return model


def _try_out(path: Path, model: Model) -> None:
    """Check that text features are of the model by an image without content: their leading axes are the method's own.

    Raises:
        TrainerError: they are not.
    """
    size, count = model.method.clip.preprocess.size, len(model.conditions or ())
    problem = f"{path}: the text features {tuple(model.text.shape)} are not of this model"
    if not model.text.is_floating_point() or (count and model.text.dim() > 2 and model.text.shape[0] != count):
        raise TrainerError(problem)
    try:
        shape = model.probabilities([torch.zeros(3, size, size)]).shape
    except (RuntimeError, ValueError, IndexError) as error:
        raise TrainerError(f"{problem} ({error})") from error
    if shape != (1, len(model.labels)):
        raise TrainerError(problem)


def _method(
    settings: MethodConfig, clip: FrozenClip, labels: tuple[str, ...], bank: Bank | None, state: dict[str, torch.Tensor]
) -> Method:
    context = MethodContext(
        clip=clip,
        label_names=labels,
        bank=bank,
        settings=settings,
        # Loss and initialisation have no effect, since nothing is trained.
        loss=LossConfig(),
        generator=torch.Generator().manual_seed(0),
        knowledge=extract_knowledge(state),
    )
    return build(settings.name, context).to(clip.device)


def run_bank(run: Run) -> Bank | None:
    """The bank of an evaluated run, with its labels named as in the data; None if it has none."""
    if run.bank is None:
        return None
    from prompt_bank.recording.store import load as load_bank

    evaluation = run.evaluated_model()
    theirs = {new: (old,) for old, new in evaluation.get("renamed_labels", {}).items()}
    return matched_bank(load_bank(run.bank).bank, evaluation["label_names"], theirs)[0]


def _clip(folder: Path, config: ExportedConfig, device: torch.device, backbone: str | None) -> FrozenClip:
    """The exported image tower, or the full CLIP used in training, with the recorded preprocessing."""
    from trainer.backbone.vision_only import load_vision

    asked = config.backbone
    if asked.included and backbone is None:
        clip: FrozenClip = load_vision(asked.name, folder / BACKBONE, asked.preprocess.to_preprocess(), device)
    else:
        try:
            found = load_backbone(asked.name, backbone or asked.pretrained, device, fetch=backbone is not None)
        except TrainerError as error:
            raise type(error)(
                f"{error}\n{folder} comes without its backbone: {config.how_to_get_backbone()}"
            ) from error
        clip = FrozenClip(found.model, found.tokenizer, asked.preprocess.to_preprocess(), found.name)
    if clip.vision_hash != asked.vision_sha256:
        raise TrainerError(
            f"{folder}: the backbone's image tower has sha256 {clip.vision_hash[:16]}…, the model was trained on "
            f"{asked.vision_sha256[:16]}…; {config.how_to_get_backbone()}"
        )
    return clip
