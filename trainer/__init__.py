"""Federated multi-label prompt tuning of CLIP from a prompt bank."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.inference.model import Model
    from trainer.progress import Progress
    from trainer.session import Run


def fit(
    dataset: str | None = None,
    bank: str | Path | None = None,
    method: str | None = None,
    *,
    out: str | Path | None = None,
    config: str | Path | None = None,
    preset: str | None = None,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
    track: str | Iterable[str] = (),
    **settings: Any,
) -> Run:
    """Train a method federatedly and measure it on the test split, as `fedmpt train`.

        run = trainer.fit(dataset="scenes", bank="bank.json", rounds=5, method__rank=16)
        run.figures                     # records: pandas.DataFrame(run.figures)
        run.predict(["photo.jpg"])

    For arguments and errors see `trainer.session.fit`. torch is imported here, not by `import trainer`.
    """
    from trainer.session import fit as start

    chosen: dict[str, Any] = {"out": out, "config": config, "preset": preset, "cache_dir": cache_dir}
    return start(dataset, bank, method, progress=progress, track=track, **chosen, **settings)


def open_run(
    folder: str | Path,
    *,
    data_root: str | Path | None = None,
    backbone: str | None = None,
    cache_dir: str | Path | None = None,
    device: str | None = None,
) -> Run:
    """An existing run, to evaluate, to go on with, or to predict by.

    Its data and backbone must be those that it was trained with; for the arguments, which say where they are now, see
    `trainer.session.Options`.

    Raises:
        TrainerError: the folder is not a run.
    """
    from trainer.session import Options
    from trainer.session import Run as OpenedRun

    root, cache = (None if path is None else Path(path) for path in (data_root, cache_dir))
    return OpenedRun.open(Path(folder), Options(cache, device, data_root=root, backbone=backbone))


def load(
    path: str | Path,
    *,
    device: str = "auto",
    checkpoint: str | None = None,
    backbone: str | None = None,
    client: int | None = None,
) -> Model:
    """Load a trained model for inference from a run folder or an exported model; no training data is needed.

        model = trainer.load("my-model")
        model.predict(["photo.jpg"])    # [{"cat": 0.93, …}]
        model.explain("photo.jpg")      # patch weights, and the contributions of the conditions

    For arguments and errors see `trainer.inference.load.load`. torch is imported here, not by `import trainer`.
    """
    from trainer.inference.load import load as read

    return read(path, device=device, checkpoint=checkpoint, backbone=backbone, client=client)
