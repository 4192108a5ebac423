"""fedmpt cache: info · clear · export · import · verify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from condition_miner.commands.common import open_cache
from fedmpt.common.console import CacheOption, DebugOption, JsonOption

if TYPE_CHECKING:
    from condition_miner.answers.cache import AnswerCache
    from condition_miner.answers.records import Failure

app = typer.Typer(no_args_is_help=True, add_completion=False)

MAX_SHOWN = 20
"""The most failures and damaged rows printed; --json has all."""


@app.command()
def info(cache_dir: CacheOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """How many answers are kept, of which models, and which questions failed.

    Example:  fedmpt cache info
    """
    with open_cache(cache_dir, debug) as cache:
        counts, failures = cache.counts(), cache.failures()
        if as_json:
            answers = [{**origin._asdict(), "answers": count} for origin, count in counts.items()]
            summary = {"folder": str(cache.folder), "answers": len(cache), "by_origin": answers}
            typer.echo(json.dumps({**summary, "failed": [vars(f) for f in failures]}, ensure_ascii=False))
            return
        typer.echo(f"{cache.folder}: {len(cache)} answers")
        for origin, count in counts.items():
            typer.echo(_printable(f"{count:>8}  {origin.model} at {origin.endpoint}, {origin.stage}"))
        _print_failures(failures)


@app.command()
def clear(
    model: Annotated[str | None, typer.Option(help="Only this model's.")] = None,
    stage: Annotated[str | None, typer.Option(help="Only this stage's.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    cache_dir: CacheOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Delete answers, and what is known to have failed. It cannot be undone: fedmpt cache export keeps a copy.

    Example:  fedmpt cache clear --model tiny --stage describe
    """
    with open_cache(cache_dir, debug) as cache:
        from condition_miner.answers.records import Origin
        from condition_miner.errors import MinerError

        def wanted(origin: Origin) -> bool:
            return model in (None, origin.model) and stage in (None, origin.stage)

        counts = cache.counts()
        count = sum(n for origin, n in counts.items() if wanted(origin))
        failed = sum(wanted(Origin("", f.model, f.stage)) for f in cache.failures())
        if not count and not failed:
            known = sorted({f"{o.model} {o.stage}" for o in counts})
            raise MinerError(f"{cache.folder}: nothing fits; there are {', '.join(known) or 'no answers'}")
        if not yes:
            typer.confirm(f"Delete {count} answers and {failed} failures from {cache.folder}?", abort=True, err=True)
        deleted = cache.clear(wanted)
        if as_json:
            typer.echo(json.dumps({"folder": str(cache.folder), "deleted": deleted, "failures": failed}))
        else:
            typer.echo(f"{cache.folder}: {deleted} answers and {failed} failures deleted")


@app.command("export")
def export_(
    file: Annotated[Path, typer.Argument(help="JSON lines; gzipped where the name ends in .gz.")],
    cache_dir: CacheOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Write all answers into a file, for another machine or beside a paper.

    Example:  fedmpt cache export answers.jsonl.gz
    """
    with open_cache(cache_dir, debug) as cache:
        from condition_miner.answers.files import export_answers

        count, damages = export_answers(cache, file)
        if as_json:
            typer.echo(json.dumps({"file": str(file), "answers": count, "damaged": [vars(d) for d in damages]}))
        else:
            typer.echo(f"{file}: {count} answers")
        if damages:
            typer.echo(f"error: {len(damages)} rows are damaged and were left out (fedmpt cache verify)", err=True)
            raise typer.Exit(1)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A file that fedmpt cache export wrote.")],
    cache_dir: CacheOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Add the answers of a file. Nothing is added where a line is bad, and no answer that is there is replaced.

    Example:  fedmpt cache import answers.jsonl.gz
    """
    with open_cache(cache_dir, debug) as cache:
        from condition_miner.answers.files import import_answers

        added, there = import_answers(cache, file)
        if as_json:
            typer.echo(json.dumps({"folder": str(cache.folder), "added": added, "there": there}))
        else:
            typer.echo(f"{cache.folder}: {added} answers added" + (f", {there} were there already" if there else ""))


@app.command()
def verify(
    drop: Annotated[bool, typer.Option("--drop", help="Delete damaged rows; they are asked again.")] = False,
    cache_dir: CacheOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Read every row again and list those that are damaged. Exit code 1 where there are any.

    Example:  fedmpt cache verify
    """
    with open_cache(cache_dir, debug) as cache:
        from condition_miner.answers.files import verify as verified

        good, damages = verified(cache)
        if drop:
            _drop(cache, [damage.key for damage in damages])
        if as_json:
            rows = [vars(damage) for damage in damages]
            summary = {"folder": str(cache.folder), "good": good, "damaged": rows, "dropped": drop}
            typer.echo(json.dumps(summary))
        else:
            typer.echo(f"{cache.folder}: {good} answers are whole, {len(damages)} rows damaged")
            for damage in damages[:MAX_SHOWN]:
                typer.echo(_printable(f"  {damage.key[:16]}…  {damage.problem}"))
            if damages:
                typer.echo("deleted" if drop else "they are asked again when needed; --drop deletes them")
        if damages and not drop:
            raise typer.Exit(1)


def _drop(cache: AnswerCache, keys: list[str]) -> None:
    for key in keys:
        cache.delete(key)


def _print_failures(failures: list[Failure]) -> None:
    if not failures:
        return
    typer.echo(f"{len(failures)} questions failed; mine-conditions asks them again with --retry-failed:")
    for failure in failures[:MAX_SHOWN]:
        typer.echo(_printable(f"  {failure.key[:16]}…  {failure.stage}, {failure.model}: {failure.reason}"))
    if len(failures) > MAX_SHOWN:
        typer.echo(f"  and {len(failures) - MAX_SHOWN} more (--json lists all)")


def _printable(text: str) -> str:
    """The text without control characters: model names and error messages of servers are untrusted."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)
