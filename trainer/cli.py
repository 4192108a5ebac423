"""train · evaluate · compare · report: the commands of the trainer.

Only light modules are imported here; torch comes with the command's work.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from prompt_bank.schema import Bank
    from trainer.config import RunConfig
    from trainer.runs import Run
    from trainer.training import Prepared

BankOption = Annotated[
    Path | None,
    typer.Option("--bank", help="The prompt bank, bank.json. Methods without conditions need none."),
]
CacheOption = Annotated[
    Path | None,
    typer.Option("--cache-dir", help="Where frozen features are kept. [FEDMPT_CACHE_DIR, else ./cache]"),
]
StreamOption = Annotated[
    bool,
    typer.Option("--no-feature-cache", help="Encode images each time they are used; keep no features on the disk."),
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="auto (CUDA where there is a GPU), cpu, cuda, cuda:1 …")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)]


def train(
    bank: BankOption = None,
    dataset: Annotated[str | None, typer.Option(help="The data set: see fedmpt datasets list. [scenes]")] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="The folder with the data set's files (fedmpt datasets check).")
    ] = None,
    partition: Annotated[
        Path | None, typer.Option(help="Who owns which image: a file of fedmpt datasets partition --out, or of a run.")
    ] = None,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Leave out images that are missing or can't be read.")
    ] = False,
    method: Annotated[str | None, typer.Option(help="fedmpt, fedmpt-released, coop or zero-shot. [fedmpt]")] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="scenes-tiny, or an open_clip model: ViT-B-16-quickgelu … [scenes-tiny]"),
    ] = None,
    pretrained: Annotated[
        str | None, typer.Option(help="Weights of an open_clip model: a tag (openai) or a .safetensors file.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="Federated rounds.", min=0)] = None,
    seed: Annotated[int | None, typer.Option(help="Sets all seeds (data, initial, clients, batches) at once.")] = None,
    device: DeviceOption = None,
    preset: Annotated[str | None, typer.Option(help="A named set of settings: paper, or released.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings from a TOML or JSON file. [fedmpt.toml, if it is here]")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. method.rank=16; may be repeated."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder. [runs/METHOD-DATASET-N]")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with an interrupted run.")] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="Of the resumed run: last, best or a number of rounds; later ones are run again. [last]"),
    ] = None,
    cache_dir: CacheOption = None,
    no_feature_cache: StreamOption = False,
    debug: DebugOption = False,
) -> None:
    """Train a method over sites that keep their images, and measure it on the test split.

    Example:  fedmpt train --bank bank.json --set federation.rounds=20
    """
    with reported(debug):
        from trainer.data.partition import check_partition, save_partition
        from trainer.errors import TrainerError
        from trainer.resolving import parse_assignment, resolve
        from trainer.runs import Run

        named = {
            "data.dataset": dataset,
            "data.data_root": str(data_root.resolve()) if data_root else None,
            "data.partition.file": str(partition.resolve()) if partition else None,
            "data.skip_unreadable": skip_unreadable or None,
            "method.name": method,
            "backbone.name": backbone,
            "backbone.pretrained": pretrained,
            "federation.rounds": rounds,
            "device": device,
            "compute.feature_cache": False if no_feature_cache else None,
        }
        overrides = {key: value for key, value in named.items() if value is not None}
        if seed is not None:
            overrides |= dict.fromkeys(("data.seed", "seeds.initial", "seeds.clients", "seeds.batches"), seed)
        overrides |= dict(parse_assignment(text) for text in assignments or [])
        if resume is not None:
            run = _reopened(resume, config, preset, overrides, bank, out)
            settings = run.config()
            prepared = _prepared(settings, _read_bank(run.bank), cache_dir)
            check_partition(run.partition, prepared.dataset)
        else:
            if checkpoint is not None:
                raise TrainerError("--checkpoint says where --resume goes on; a new run begins at round 0")
            settings = resolve(config or _local_file(), preset, overrides)
            # Everything that can be wrong is found before the run's folder is made.
            prepared = _prepared(settings, _read_bank(bank), cache_dir)
            run = Run.create(out or _free_folder(settings), settings, bank)
            save_partition(prepared.dataset, settings.data.partition, run.partition)
        _train_and_evaluate(run, prepared, checkpoint or "last")


def evaluate(
    run: RunArgument,
    checkpoint: Annotated[str, typer.Option(help="last, best (on validation) or a number of rounds.")] = "last",
    device: DeviceOption = None,
    cache_dir: CacheOption = None,
    no_feature_cache: StreamOption = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure a run's checkpoint on the test split; the threshold is chosen on the validation split.

    Example:  fedmpt evaluate runs/fedmpt-scenes-1 --checkpoint best
    """
    with reported(debug):
        from trainer.evaluation import evaluate as measure
        from trainer.runs import Run

        opened = Run.open(run)
        settings = _here(opened.config(), device, no_feature_cache)
        result = measure(opened, _prepared(settings, _read_bank(opened.bank), cache_dir), checkpoint)
        if as_json:
            typer.echo(json.dumps(result, indent=2, ensure_ascii=False))
        else:
            _print_evaluation(opened, result)


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Runs' folders.", show_default=False)],
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Set evaluated runs side by side.

    Example:  fedmpt compare runs/zero-shot-scenes-1 runs/fedmpt-scenes-1
    """
    with reported(debug):
        from trainer.comparison import rows, table
        from trainer.runs import Run

        compared = rows([Run.open(folder) for folder in runs])
        if as_json:
            typer.echo(json.dumps(compared, indent=2, ensure_ascii=False))
        else:
            _console().print(table(compared))


def report(
    run: RunArgument,
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", metavar="RUN", help="Other runs to compare with; may be repeated."),
    ] = None,
    device: DeviceOption = None,
    cache_dir: CacheOption = None,
    no_feature_cache: StreamOption = False,
    debug: DebugOption = False,
) -> None:
    """Write report.html into the run's folder: figures, curves, labels, and where labels were found on images.

    Example:  fedmpt report runs/fedmpt-scenes-1 --against runs/zero-shot-scenes-1
    """
    with reported(debug):
        from trainer.report.page import write_report
        from trainer.runs import Run

        opened = Run.open(run)
        settings = _here(opened.config(), device, no_feature_cache)
        prepared = _prepared(settings, _read_bank(opened.bank), cache_dir)
        typer.echo(str(write_report(opened, prepared, [Run.open(other) for other in against or []])))


@contextmanager
def reported(debug: bool) -> Iterator[None]:
    """Turns an expected error into its line and exit code; with --debug the traceback is shown."""
    from prompt_bank.errors import BankError
    from trainer.errors import RunFailed, TrainerError

    try:
        yield
    except (TrainerError, BankError) as error:
        if debug:
            raise
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1 if isinstance(error, RunFailed) else 2) from error
    except OSError as error:
        if debug:
            raise
        typer.echo(f"error: {error.strerror or error}: {error.filename or ''}", err=True)
        raise typer.Exit(1) from error


def _reopened(
    folder: Path,
    config: Path | None,
    preset: str | None,
    overrides: dict[str, Any],
    bank: Path | None,
    out: Path | None,
) -> Run:
    from trainer.errors import TrainerError
    from trainer.runs import Run

    if config or preset or overrides or bank or out:
        raise TrainerError("--resume goes on with the run's own settings and bank; leave the other options out")
    return Run.open(folder)


def _read_bank(path: Path | None) -> Bank | None:
    if path is None:
        return None
    from prompt_bank.recording.store import load

    loaded = load(path)
    if loaded.edited:
        typer.echo(
            f"note: {path} was edited by hand since revision {loaded.bank.revision}; used as it stands",
            err=True,
        )
    for warning in loaded.warnings:
        typer.echo(f"warning: {path}: {warning}", err=True)
    return loaded.bank


def _here(settings: RunConfig, device: str | None, no_feature_cache: bool) -> RunConfig:
    """A run's settings with what this call has of its own."""
    if device is not None:
        settings = settings.model_copy(update={"device": device})
    if no_feature_cache:
        settings = settings.model_copy(update={"compute": settings.compute.model_copy(update={"feature_cache": False})})
    return settings


def _prepared(settings: RunConfig, bank: Bank | None, cache_dir: Path | None) -> Prepared:
    from trainer.progress import reporter
    from trainer.training import prepare

    cache = cache_dir or Path(os.environ.get("FEDMPT_CACHE_DIR", "cache"))
    prepared = prepare(settings, bank, cache, reporter())
    for note in prepared.dataset.notes:
        typer.echo(f"note: {note}", err=True)
    return prepared


def _train_and_evaluate(run: Run, prepared: Prepared, checkpoint: str) -> None:
    from trainer.evaluation import evaluate as measure
    from trainer.training import train as run_rounds

    typer.echo(f"run {run.folder}")
    described = prepared.method.describe()
    if "conditions" in described:
        typer.echo(f"conditions ({described['conditions_are']}): {', '.join(described['conditions'])}")
    typer.echo(f"{prepared.config.method.name}: {described['trainable']:,} trained and exchanged parameters")
    run_rounds(run, prepared, checkpoint)
    _print_evaluation(run, measure(run, prepared))


def _local_file() -> Path | None:
    path = Path("fedmpt.toml")
    return path if path.is_file() else None


def _free_folder(settings: RunConfig) -> Path:
    stem = f"{settings.method.name}-{settings.data.dataset}"
    number = 1
    while (folder := Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return folder


def _print_evaluation(run: Run, result: dict[str, Any]) -> None:
    from trainer.comparison import evaluation_table

    typer.echo(f"{run.folder}: {result['images']} test images, {result['rounds']} rounds")
    _console().print(evaluation_table(result))
    test, clients = result["test"], result["clients"]
    if test["labels_without_positives"]:
        typer.echo(
            f"{test['labels_without_positives']} labels have no positive test image and are left out of the means"
        )
    if clients and clients["mean"]:
        typer.echo(
            f"clients on their own {clients['images']} images: mAP {clients['mean']['mAP']:.2f} in the mean, "
            f"{clients['worst']['mAP']:.2f} at the worst of {len(clients['each'])}"
        )


def _console() -> Any:
    from rich.console import Console

    return Console()
