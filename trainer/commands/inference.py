"""The commands predict and export."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from fedmpt.common.console import DebugOption, JsonOption, reported
from fedmpt.common.files import naming
from fedmpt.common.startup import collector_paused
from fedmpt.common.terminal import echo
from fedmpt.common.words import printable
from trainer.commands.common import BackboneOption, CheckpointOption, ClientOption, DeviceOption, RunArgument

if TYPE_CHECKING:
    from trainer.data.images import UnreadableImage
    from trainer.inference.explanation import Explanation
    from trainer.inference.model import Model
    from trainer.inference.output import Selection
    from trainer.inference.stream import Prediction
    from trainer.report.gallery import Gallery


class Format(StrEnum):
    """Output formats of predictions."""

    table = "table"
    json = "json"
    csv = "csv"


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or an exported one.", show_default=False)],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE|DIR…", help="Image files, or folders of them.", show_default=False)
    ],
    format_: Annotated[Format, typer.Option("--format", help="How to write the labels.")] = Format.table,
    as_json: JsonOption = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write to a file instead of standard output.")] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Probability above which a label counts. [the one chosen on validation]"),
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", metavar="K", min=1, help="Show the K most probable labels of each image.")
    ] = None,
    explain: Annotated[
        Path | None,
        typer.Option("--explain", metavar="DIR", help="Write where each label was found, and why, into a new folder."),
    ] = None,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Leave out files that cannot be read; they are still listed.")
    ] = False,
    checkpoint: CheckpointOption = None,
    client: ClientOption = None,
    backbone: BackboneOption = None,
    batch: Annotated[int, typer.Option(min=1, help="Images scored at once.")] = 32,
    device: DeviceOption = None,
    debug: DebugOption = False,
) -> None:
    """Say which labels images carry, with probabilities; with --explain also where on the image, and why.

    Example:  fedmpt predict runs/fedmpt-scenes-1 photos/ --explain why
    """
    with reported(debug):
        from trainer.data.images import find_images, passed_over
        from trainer.errors import TrainerError

        paths = find_images(images)
        if others := passed_over(images):
            echo(f"note: passed over for their suffixes: {printable(others)}", err=True)
        unreadable = _bad_headers(paths)
        if unreadable and not skip_unreadable:
            raise TrainerError(_listed(unreadable) + "\nnothing was predicted; leave them out with --skip-unreadable")
        with collector_paused():  # after the image checks, which need no heavy imports
            from trainer.inference.load import load
            from trainer.inference.output import FORMATS, Selection
            from trainer.report.gallery import Gallery, check_free

            if explain is not None:
                check_free(explain)
            model = load(run, device=device or "auto", checkpoint=checkpoint, backbone=backbone, client=client)
        selection = Selection(model.threshold if threshold is None else threshold, top)
        unreadable = []
        with _destination(out) as file, ExitStack() as stack:
            gallery = None
            if explain is not None:
                gallery = stack.enter_context(Gallery(explain, model, selection.threshold))
            results = _results(model, selection, paths, batch, gallery, unreadable)
            for text in FORMATS[Format.json if as_json else format_](model, selection, results):
                file.write(text)
        if unreadable:
            said = f"{_listed(unreadable)}\n{len(paths) - len(unreadable)} of {len(paths)} images were predicted"
            if not skip_unreadable:
                raise TrainerError(said + "; leave these out with --skip-unreadable")
            echo(f"skipped: {said}", err=True)
        for written in (out, explain and explain / "index.html"):
            if written is not None:
                echo(f"written to {written}", err=True)


def export(
    run: RunArgument,
    out: Annotated[Path, typer.Option("--out", help="The new folder.", show_default=False)],
    with_backbone: Annotated[
        bool | None,
        typer.Option(
            "--with-backbone/--without-backbone",
            help="Whether the image tower's weights go along. [those of scenes-tiny do, others don't]",
            show_default=False,
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    client: ClientOption = None,
    backbone: BackboneOption = None,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Write model.onnx, too; the image tower is in it. [needs fedmpt[onnx]]")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Write a run's model as a folder that works without the training data, for trainer.load and fedmpt predict.

    Example:  fedmpt export runs/fedmpt-scenes-1 --out my-model
    """
    with reported(debug):
        with collector_paused():
            from trainer.session import Run

            folder = Run.open(run).export(
                out, with_backbone=with_backbone, checkpoint=checkpoint, backbone=backbone, onnx=onnx, client=client
            )
        size = sum(path.stat().st_size for path in folder.iterdir())
        echo(f"{folder}: {size / 1e6:.1f} MB; {folder / 'README.md'} says how to use it")


def _bad_headers(paths: list[Path]) -> list[UnreadableImage]:
    """Files that are not images, found before predictions start."""
    from trainer.data.images import UnreadableImage, check_header

    found = []
    for path in paths:
        try:
            check_header(path)
        except UnreadableImage as error:
            found.append(error)
    return found


def _listed(unreadable: list[UnreadableImage]) -> str:
    lines = "".join(f"\n  {printable(str(error))}" for error in unreadable)
    return f"{len(unreadable)} unreadable image{'s' if len(unreadable) > 1 else ''}:{lines}"


def _results(
    model: Model,
    selection: Selection,
    paths: list[Path],
    batch: int,
    gallery: Gallery | None,
    unreadable: list[UnreadableImage],
) -> Iterator[tuple[Prediction | UnreadableImage, Explanation | None]]:
    """Predictions in order, with explanations if there is a gallery; unreadable files are appended to `unreadable`."""
    from fedmpt.common.progress import ProgressBar
    from trainer.data.images import UnreadableImage
    from trainer.inference.stream import stream

    lines, quiet = ProgressBar(), len(paths) <= batch
    for number, result in enumerate(stream(model, paths, batch), 1):
        explanation = None
        if isinstance(result, UnreadableImage):
            unreadable.append(result)
        elif gallery is not None:
            explanation = model.explain(result.path, [name for name, _, _ in selection.of(model, result)])
            gallery.add(result.path, explanation)
        if not quiet and (number % batch == 0 or number == len(paths)):
            lines("images", number, len(paths))
        yield result, explanation


@contextmanager
def _destination(out: Path | None) -> Iterator[IO[str]]:
    """Standard output, or a file that replaces `out` once it is complete."""
    import sys

    if out is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        with naming(out), temporary.open("w", encoding="utf-8", newline="") as file:
            yield file
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
