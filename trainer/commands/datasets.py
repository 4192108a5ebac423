"""fedmpt datasets: list · check · fetch · partition."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedmpt.common.console import CacheOption, DebugOption, JsonOption, cache_folder, reported
from fedmpt.common.startup import collector_paused
from fedmpt.common.terminal import echo, json_text

if TYPE_CHECKING:
    from trainer.config.data import DataConfig
    from trainer.data.base import MultiLabelDataset
    from trainer.data.inspection import Inspection

app = typer.Typer(no_args_is_help=True, add_completion=False)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The data set.", show_default=False)]
RootOption = Annotated[Path | None, typer.Option("--data-root", help="The folder with the data set's files.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting, e.g. data.variant=released; may be repeated."),
]
SHOWN = 20
"""Images and clients that are printed; --json has all."""


@app.command("list")
def list_(as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """The data sets that can be trained on.

    Example:  fedmpt datasets list
    """
    with reported(debug):
        from trainer.data.registry import DATASETS, dataset_module

        found = [{"name": "scenes", "title": "the drawn world: 24 classes; needs no files", "page": ""}]
        found += [
            {"name": name, "title": entry.title, "page": dataset_module(name).PAGE} for name, entry in DATASETS.items()
        ]
        if as_json:
            echo(json_text(found))
            return
        for row in found:
            echo(f"{row['name']:<11} {row['title']}")


@app.command()
def check(
    name: NameArgument,
    data_root: RootOption = None,
    images: Annotated[bool, typer.Option(help="Read every image.")] = True,
    assignments: SetOption = None,
    cache_dir: CacheOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Say what is there, what is missing and where it belongs, and count labels and pairs. Exit code 2: incomplete.

    Example:  fedmpt datasets check voc2007 --data-root data
    """
    with reported(debug):
        from fedmpt.common.progress import counted
        from trainer.data.inspection import inspect

        settings = _settings(name, data_root, assignments)
        found = inspect(settings, images, cache_folder(cache_dir), counted("checked"))
        if as_json:
            echo(json_text(found.to_dict()))
        else:
            _print(found)
            if found.complete:
                there = "" if data_root is None else f" --data-root {shlex.quote(str(data_root))}"
                echo(f"next: fedmpt train --bank bank.json --dataset {name}{there}", err=True)
        if not found.complete:
            raise typer.Exit(2)


@app.command()
def fetch(
    name: NameArgument,
    data_root: Annotated[Path, typer.Option("--data-root", help="The folder for its files.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    keep: Annotated[bool, typer.Option("--keep-archives", help="Don't delete archives after unpacking.")] = False,
    debug: DebugOption = False,
) -> None:
    """Fetch and unpack a published data set, after saying how much it is. The same command goes on after a break.

    Example:  fedmpt datasets fetch voc2007 --data-root data
    """
    with reported(debug):
        from fedmpt.common.files import expanded
        from fedmpt.common.progress import ProgressBar
        from trainer.data.downloading import announcement, missing
        from trainer.data.downloading import fetch as fetch_archives
        from trainer.data.registry import DATASETS, dataset_module
        from trainer.errors import TrainerError

        archives = getattr(dataset_module(name), "ARCHIVES", ())
        if not archives:
            offered = ", ".join(one for one in DATASETS if hasattr(dataset_module(one), "ARCHIVES"))
            page = dataset_module(name).PAGE
            raise TrainerError(f"{name} cannot be fetched by this command, only {offered}; see {page}")
        folder = expanded(data_root)
        left = missing(archives, folder)
        if left:
            echo(announcement(left, folder), err=True)
            if not yes:
                typer.confirm("Fetch?", abort=True, err=True)
            fetch_archives(archives, folder, ProgressBar("MB"), keep)
        echo(f"{folder}: {name} is complete; next: fedmpt datasets check {name} --data-root {folder}")


@app.command()
def partition(
    name: NameArgument,
    data_root: RootOption = None,
    kind: Annotated[str | None, typer.Option(help="auto, site, kmeans, dirichlet, iid or shards. [auto]")] = None,
    clients: Annotated[int | None, typer.Option(help="How many clients.")] = None,
    share: Annotated[float | None, typer.Option(help="t: round(t·C) clients of C labels. [1]")] = None,
    seed: Annotated[int | None, typer.Option(help="Draws the owners. [42]")] = None,
    assignments: SetOption = None,
    out: Annotated[Path | None, typer.Option(help="Save it, for fedmpt train --partition.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw clients against labels: .png, .pdf or .svg.")] = None,
    skip_unreadable: Annotated[bool, typer.Option("--skip-unreadable", help="Leave out what can't be read.")] = False,
    cache_dir: CacheOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show which client owns how many training images of which labels.

    Example:  fedmpt datasets partition voc2007 --data-root data --share 0.5 --plot partition.png
    """
    with reported(debug):
        from fedmpt.common.progress import counted
        from trainer.data.partition import save_partition
        from trainer.data.partition_plot import plot_partition
        from trainer.data.registry import load_dataset

        chosen = {"kind": kind, "clients": clients, "share": share, "seed": seed}
        overrides = {f"data.partition.{key}": value for key, value in chosen.items() if value is not None}
        if skip_unreadable:
            overrides["data.skip_unreadable"] = True
        settings = _settings(name, data_root, assignments, overrides)
        dataset = load_dataset(settings, cache_folder(cache_dir), counted("checked"))
        if out is not None:
            save_partition(dataset, settings.partition, out)
        if plot is not None:
            plot_partition(dataset, plot)
        _print_partition(dataset, as_json)
        for written in (out, plot):
            if written is not None and not as_json:
                echo(str(written))


def _settings(
    name: str, root: Path | None, assignments: list[str] | None, overrides: dict[str, Any] | None = None
) -> DataConfig:
    with collector_paused():
        from trainer.resolving import parse_assignment, resolve

    named = {"data.dataset": name, **({"data.data_root": str(root)} if root else {}), **(overrides or {})}
    return resolve(overrides=named | dict(parse_assignment(text) for text in assignments or [])).data


def _print(found: Inspection) -> None:
    from trainer.data.inspection import statistics

    for what, path in found.there if len(found.there) <= SHOWN else ():
        echo(f"there    {what}: {path}")
    for what, path in found.missing:
        echo(f"MISSING  {what}: it belongs at {path}")
    for split, counts in statistics(found.listing).items() if found.listing else ():
        echo(
            f"\n{split}: {counts['images']} images, {counts['labels_per_image']} labels each, "
            f"{counts['without_labels']} without any, {counts['unknown']} unknown"
        )
        echo("  labels: " + ", ".join(f"{label} {count}" for label, count in counts["labels"].items()))
        if counts["pairs"]:
            echo("  together most often: " + ", ".join(f"{a} + {b} {n}" for a, b, n in counts["pairs"]))
        if counts["sites"]:
            echo("  sites: " + ", ".join(f"{site} {count}" for site, count in counts["sites"].items()))
    for note in found.listing.notes if found.listing else ():
        echo(f"note: {note}")
    _print_unreadable(found)
    echo("complete" if found.complete else f"incomplete. Download: {found.page}")


def _print_unreadable(found: Inspection) -> None:
    if found.unreadable is None:
        if found.listing is not None:
            echo("\nimages were not looked at")
        return
    echo(f"\n{found.images - len(found.unreadable)} of {found.images} images can be read")
    for path, reason in list(found.unreadable.items())[:SHOWN]:
        echo(f"UNREADABLE  {path}: {reason}")
    if len(found.unreadable) > SHOWN:
        echo(f"UNREADABLE  and {len(found.unreadable) - SHOWN} more (--json lists them all)")
    for first, second in (found.copies or [])[:SHOWN]:
        echo(f"THE SAME FILE IN TWO SPLITS  {first} and {second}")
    if len(found.copies or []) > SHOWN:
        echo(f"THE SAME FILE IN TWO SPLITS  {len(found.copies or []) - SHOWN} more (--json lists them all)")


def _print_partition(dataset: MultiLabelDataset, as_json: bool) -> None:
    import numpy as np

    from trainer.data.partition import partition_hash
    from trainer.data.partition_plot import label_shares

    images, shares = label_shares(dataset)
    counts = np.rint(shares * images[:, None]).astype(int)
    hash_ = partition_hash(dataset.train)
    owners = [dataset.site_names[o] if dataset.site_names else str(o) for o in np.unique(dataset.train.sites)]
    if as_json:
        rows = [
            {"client": o, "images": int(n), "labels": dict(zip(dataset.label_names, row.tolist(), strict=True))}
            for o, n, row in zip(owners, images, counts, strict=True)
        ]
        echo(json_text({"dataset": dataset.name, "kind": dataset.partition, "hash": hash_, "clients": rows}))
        return
    for owner, count, row in list(zip(owners, images, counts, strict=True))[:SHOWN]:
        most = [f"{dataset.label_names[c]} {row[c]}" for c in np.argsort(-row, kind="stable")[:5] if row[c]]
        echo(f"client {owner:>4}  {count:>6} images  {int((row > 0).sum()):>3} labels  {', '.join(most)}")
    if len(owners) > SHOWN:
        echo(f"and {len(owners) - SHOWN} more clients (--json lists them all)")
    echo(f"{dataset.name}: {len(owners)} clients by {dataset.partition}, {len(dataset.train)} training images, {hash_}")
