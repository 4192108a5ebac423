"""fedmpt bank: dependencies · score."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedmpt.common.console import JsonOption
from prompt_bank.commands.common import BankArgument, fail, print_json, report_errors

if TYPE_CHECKING:
    from prompt_bank.dependencies.scoring import Estimate, Score
    from prompt_bank.schema import Bank


def dependencies(
    bank: BankArgument,
    label: Annotated[str | None, typer.Option(help="Only pairs with this label.")] = None,
    top: Annotated[int, typer.Option(min=1, help="The number of pairs, the strongest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Pairs of labels that occur together, derived from the affinities, with the responsible conditions and values.

    A score is in standard deviations above the mean of all pairs, summed over the conditions.

    Example:  fedmpt bank dependencies bank.json --label fork
    """
    with report_errors(as_json):
        from fedmpt.common.words import printable, suggestions
        from prompt_bank.dependencies.predicting import derive_dependencies
        from prompt_bank.recording.store import load

        found = derive_dependencies(load(bank).bank)
        if label is not None and label not in found.labels:
            fail(bank, f"there is no label '{label}'; there are {suggestions(label, found.labels)}")
        pairs = [(a, b, score, found.carriers(a, b)) for a, b, score in found.pairs(label)[:top]]
        if as_json:
            print_json(
                [
                    {"labels": [a, b], "score": round(score, 4), "carriers": [asdict(one) for one in by]}
                    for a, b, score, by in pairs
                ]
            )
            return
        for a, b, score, by in pairs:
            said = "; ".join(map(str, by)) or "no value that is usual for both"
            typer.echo(printable(f"{score:>6.2f}  {a} and {b}: {said}"))


def score(
    bank: BankArgument,
    cooccurrence: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Annotations of images, or a table of counts.", show_default=False),
    ],
    against: Annotated[Path | None, typer.Option(metavar="BANK", help="Another bank, to compare with.")] = None,
    control: Annotated[
        bool, typer.Option("--control", help="Compare with the similarity of the label names alone.")
    ] = False,
    page: Annotated[Path | None, typer.Option(metavar="OUT.html", help="Write a page with both matrices.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Score a bank: its predicted dependencies against the co-occurrence of labels in real images.

    FILE is what `mine-conditions --cooccurrence` takes, or counts: {"labels": […], "together": [[…]], "images": N}.

    Example:  fedmpt bank score bank.json --cooccurrence instances_train.json --page score.html
    """
    with report_errors(as_json):
        from prompt_bank.dependencies.observed import read_cooccurrence
        from prompt_bank.dependencies.scoring import score as compare
        from prompt_bank.recording.store import load

        own = load(bank).bank
        other = _other(load(against).bank, own) if against else None
        found = compare(own, read_cooccurrence(cooccurrence, own.labels), other, control)
        if page:
            from fedmpt.common.files import write_atomically
            from prompt_bank.dependencies.page import render_page as written

            write_atomically(page, written(found, own.name, cooccurrence.name))
        if as_json:
            print_json(_as_json(found))
            return
        _print(found)
        if page:
            typer.echo(f"{page}: both matrices side by side")


def _other(other: Bank, own: Bank) -> Bank:
    """The bank to compare with, under a distinct name."""
    return other.model_copy(update={"name": f"{other.name} (2)"}) if other.name == own.name else other


def _print(score: Score) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from fedmpt.common.words import printable
    from prompt_bank.dependencies.scoring import MEASURES

    for warning in score.warnings:
        typer.echo(printable(f"warning: {warning}"), err=True)
    console = Console()
    table = Table()
    table.add_column("scores from", overflow="fold")
    for heading in ("AUC,\nlift > 1", "AUC,\nlift > 2", "AP,\nlift > 1", "AP,\nlift > 2", "Spearman"):
        table.add_column(heading, no_wrap=True)
    for row in score.rows:
        table.add_row(Text(printable(row.name)), *(_interval(row.measures[measure]) for measure in MEASURES))
    chance = (0.5, 0.5, *score.shares, 0.0)
    table.add_row("by chance", *(f"{value:.2f}" for value in chance))
    console.print(table)
    pairs = int(score.compared.sum()) // 2
    typer.echo(f"{pairs} pairs of {len(score.labels)} labels in {score.images} images; 95 % intervals over the labels")
    for title, wrong_ones in (("predicted, not observed", score.over), ("observed, not predicted", score.under)):
        typer.echo(f"\nmost misranked: {title}")
        for pair in wrong_ones:
            seen = f"lift {pair.lift:.2f} ({pair.together} of {pair.expected:.1f} expected)"
            typer.echo(printable("; ".join([f"  {' and '.join(pair.labels)}: {seen}", *pair.carried])))


def _interval(measured: Estimate) -> str:
    if measured.value is None:
        return "–"
    return f"{measured.value:.3f}\n{measured.low:.2f}…{measured.high:.2f}"


def _as_json(score: Score) -> dict[str, Any]:
    """The score as JSON without the matrices, rounded."""

    def rounded(measures: dict[str, Estimate] | None) -> dict[str, Any] | None:
        if measures is None:
            return None
        return {
            name: {key: None if value is None else round(value, 4) for key, value in asdict(measured).items()}
            for name, measured in measures.items()
        }

    def pair(one: Any) -> dict[str, Any]:
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(one).items()}

    return {
        "labels": len(score.labels),
        "images": score.images,
        "pairs": int(score.compared.sum()) // 2,
        "shares": {"lift_above_1": round(score.shares[0], 4), "lift_above_2": round(score.shares[1], 4)},
        "rows": [
            {"name": row.name, "measures": rounded(row.measures), "difference": rounded(row.difference)}
            for row in score.rows
        ],
        "over": [pair(one) for one in score.over],
        "under": [pair(one) for one in score.under],
        "warnings": list(score.warnings),
    }
