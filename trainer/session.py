"""Training, evaluation and use of runs from Python. The commands call the same functions.

run = trainer.fit(dataset="scenes", bank="bank.json", rounds=5, method__rank=16)
run.figures                        # [{"threshold": …, "mAP": …, "CF1": …}, …]
run.predict(["photo.jpg"])         # [{"cat": 0.93, …}]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from trainer.advice import advice
from trainer.data.partition import save_partition
from trainer.evaluation.comparison import figure_records
from trainer.evaluation.measuring import evaluate as measure
from trainer.options import Options
from trainer.preparing import Prepared
from trainer.progress import Progress, printed
from trainer.resolving import named_settings, resolve
from trainer.run.extending import extend
from trainer.run.folder import Run as RunFolder
from trainer.run.identity import record_identity, recorded_weights
from trainer.run_config import RunConfig
from trainer.tracking.base import check_names, flat, tracking
from trainer.train import MakeEngine, train

if TYPE_CHECKING:
    from trainer.evaluation.metrics import Metrics
    from trainer.federation.rounds import RoundRecord
    from trainer.inference.explanation import Explanation
    from trainer.inference.model import ImageLike, Model


class Run(RunFolder):
    """A run: its folder, and what can be done with it.

    The folder may be a stranger's: of the backbone only known architectures with the recorded weights are built, and
    nothing is fetched that the options do not name. Training, evaluation and reports check that bank, data, partition
    and backbone are those of the run, and hold its lock.

    Args:
        folder: the run's folder.
        options: how to work on it.
    """

    def __init__(self, folder: Path, options: Options | None = None) -> None:
        super().__init__(folder)
        self.options = options or Options()
        self._model: Model | None = None

    @classmethod
    def open(cls, folder: Path, options: Options | None = None) -> Self:
        """Open an existing run.

        Raises:
            TrainerError: the folder is not a run.
        """
        return cls(RunFolder.open(Path(folder)).folder, options)

    @cached_property
    def prepared(self) -> Prepared:
        """The run's data, backbone and method, loaded on first use."""
        return self.options.prepare(self.config(), self.bank, recorded_weights(self, self.options.backbone))

    def resume(
        self, checkpoint: str = "last", track: Iterable[str] = (), engine: MakeEngine | None = None
    ) -> dict[str, Any]:
        """Run the remaining rounds from a checkpoint, then evaluate the last one.

        Args:
            checkpoint: "last", "best" or a number of rounds; later ones are run again.
            track: names of experiment trackers, in addition to those that tracked the run before. They also get the
                report, which is written for them.
            engine: has the clients train; None: in this process.

        Returns:
            The content of evaluation.json.

        Raises:
            TrainerError, RunFailed: see `trainer.train.train`.
        """
        with self.working():  # before trackers are told of a run that cannot go on
            record_identity(self, self.prepared)
        progress, self._model = self.options.progress, None
        progress.started(self, self.prepared)
        with tracking(self, track, progress.reporter.say) as trackers:

            def after_round(record: RoundRecord, validation: Metrics, rounds: int) -> None:
                trackers.each(lambda tracker: tracker.log_round(record.round + 1, self.history[-1]))
                progress.after_round(record, validation, rounds)

            train(self, self.prepared, checkpoint, after_round, engine)
            result = self.evaluate()
            if trackers:
                page, figures = self.report(), {f"test.{key}": value for key, value in self.figures[0].items()}
                trackers.each(lambda tracker: tracker.log_figures(figures))
                trackers.each(lambda tracker: tracker.log_file(page))
        return result

    def extend(self, rounds: int, checkpoint: str = "last") -> list[str]:
        """Give the run another number of rounds, in all; see `trainer.run.extending.extend`. `resume` runs them.

        Returns:
            Notes: why figures can differ from those of a run that had so many rounds from the start.
        """
        notes = extend(self, rounds, checkpoint)
        self.__dict__.pop("prepared", None)  # loaded with the former number
        return notes

    def planned(self, rounds: int | None) -> Prepared:
        """What `extend` to so many rounds would give, with nothing recorded; None leaves the number as it is."""
        if rounds is None:
            return self.prepared
        config = self.prepared.config
        federation = config.federation.model_copy(update={"rounds": rounds})
        return replace(self.prepared, config=config.model_copy(update={"federation": federation}))

    def evaluate(self, checkpoint: str = "last") -> dict[str, Any]:
        """Measure a checkpoint on the test split and write evaluation.json.

        Args:
            checkpoint: "last", "best" or a number of rounds.

        Returns:
            The content of evaluation.json.

        Raises:
            TrainerError, RunFailed: see `trainer.evaluation.measuring.evaluate`.
        """
        self._model = None
        return measure(self, self.prepared, checkpoint)

    @property
    def figures(self) -> list[dict[str, Any]]:
        """The test metrics, in per cent, as records: one for each choice of threshold, or group of labels.

        Raises:
            TrainerError: the run is not evaluated.
        """
        evaluation = self.evaluation()
        head = {"run": self.name, "method": evaluation["method"], "rounds": evaluation["rounds"]}
        return [{**head, **record} for record in figure_records(evaluation)]

    @property
    def history(self) -> list[dict[str, Any]]:
        """A flat record for each round: rounds, clients and missing (their numbers), loss, validation metrics …"""
        lines = ({"missing": [], **line} for line in self.metrics())
        return [flat({**line, **{key: len(line[key]) for key in ("clients", "missing")}}) for line in lines]

    @property
    def labels(self) -> list[dict[str, Any]]:
        """A record for each label: positives, average precision, precision, recall and F1 on the test split.

        Raises:
            TrainerError: the run is not evaluated.
        """
        return list(self.evaluation()["per_label"])

    @property
    def model(self) -> Model:
        """The trained model of the evaluated checkpoint.

        Raises:
            TrainerError: the run is not evaluated.
        """
        from trainer.inference.load import from_run

        if self._model is None:
            device = self.options.device or self.config().device
            self._model = from_run(self, device, backbone=self.options.backbone)
        return self._model

    def predict(self, images: Iterable[ImageLike]) -> list[dict[str, float]]:
        """Probabilities of all labels for each image, see `Model.predict`."""
        return self.model.predict(images)

    def explain(self, image: ImageLike, labels: Sequence[str] | None = None) -> Explanation:
        """Where labels were found on an image, and what each condition contributes, see `Model.explain`."""
        return self.model.explain(image, labels)

    def report(self, against: Iterable[RunFolder] = ()) -> Path:
        """Write report.html into the run's folder, see `trainer.report.page.write_report`."""
        from trainer.report.page import write_report

        return write_report(self, self.prepared, list(against))

    def export(
        self,
        out: str | Path,
        *,
        with_backbone: bool | None = None,
        checkpoint: str | None = None,
        backbone: str | None = None,
        onnx: bool = False,
        client: int | None = None,
    ) -> Path:
        """Write the model as a folder to hand on, see `trainer.inference.export.export`."""
        from trainer.inference.export import export

        where = backbone or self.options.backbone
        return export(
            self,
            Path(out),
            with_backbone=with_backbone,
            checkpoint=checkpoint,
            backbone=where,
            onnx=onnx,
            client=client,
        )


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

    Args:
        dataset: its name; None for "scenes".
        bank: the bank's file; methods without conditions need none.
        method: its name; None for "fedmpt".
        out: the run's folder; None for runs/METHOD-DATASET-N.
        config: a TOML or JSON file of settings.
        preset: "paper", "paper-sgd" or "released".
        cache_dir: folder of cached features; None for FEDMPT_CACHE_DIR, else ./cache.
        progress: callbacks; None prints. `Progress()` is silent.
        track: "mlflow", "wandb" or both: experiment trackers besides TensorBoard.
        settings: any other setting, see `trainer.resolving.named_settings`; `fedmpt settings` lists them.

    Raises:
        TrainerError: wrong settings, data, bank or folder; before anything is written.
        RunFailed: a loss that is not finite.
    """
    overrides = named_settings({"dataset": dataset, "method": method, **settings})
    trackers = [track] if isinstance(track, str) else list(track)
    check_names(trackers)
    chosen = resolve(None if config is None else Path(config), preset, overrides)
    options = Options(None if cache_dir is None else Path(cache_dir), progress=progress or printed())
    run = begin(chosen, None if bank is None else Path(bank), None if out is None else Path(out), options)
    run.resume(track=trackers)
    return run


def begin(settings: RunConfig, bank: Path | None, out: Path | None, options: Options) -> Run:
    """A new run that has not trained yet.

    Args:
        settings: resolved, see `trainer.resolving.resolve`.
        bank: its file; it is copied.
        out: the run's folder; None for `free_folder`.
        options: how to work on it.

    Raises:
        TrainerError: wrong settings, data, bank or folder; before anything is written.
    """
    return create(prepare_new(settings, bank, options), bank, out or free_folder(settings), options)


def create(prepared: Prepared, bank: Path | None, out: Path, options: Options) -> Run:
    """As `begin`, for what is prepared already."""
    # The prepared settings have numbers in place of "auto".
    run = Run(RunFolder.create(out, prepared.config, bank).folder, options)
    save_partition(prepared.dataset, prepared.config.data.partition, run.partition)
    run.__dict__["prepared"] = prepared  # as the cached property would have it, without loading it again
    return run


def prepare_new(settings: RunConfig, bank: Path | None, options: Options) -> Prepared:
    """What a new run needs, with advice on its data and backbone; nothing is written.

    Raises:
        TrainerError: wrong settings, data or bank.
    """
    prepared = options.prepare(settings, bank)
    for note in advice(prepared.dataset, prepared.method.clip):
        options.progress.reporter.say(f"note: {note}")
    return prepared


def free_folder(settings: RunConfig) -> Path:
    """The first of runs/METHOD-DATASET-1, -2 … that does not exist."""
    stem = f"{settings.method.name}-{settings.data.dataset}"
    number = 1
    while (folder := Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return folder
