"""fedmpt mine-conditions, and fedmpt cache: info · export · import."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from condition_miner.cache import AnswerCache
    from condition_miner.endpoint import Address
    from condition_miner.settings import MinerSettings, ServiceSettings
    from prompt_bank.schema import Bank

cache_app = typer.Typer(no_args_is_help=True, add_completion=False)

CacheOption = Annotated[
    Path | None, typer.Option("--cache-dir", help="Where answers are kept. [FEDMPT_CACHE_DIR, else ./cache]")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def mine_conditions(
    labels: Annotated[
        Path,
        typer.Option(help="Text (one a line, aliases behind commas), CSV, JSON, COCO annotations, a VOC folder."),
    ],
    out: Annotated[Path, typer.Option(help="The bank to write.")] = Path("bank.json"),
    name: Annotated[str | None, typer.Option(help="The bank's name. [the label file's]")] = None,
    column: Annotated[str | None, typer.Option(help="Of a CSV file: the labels' column. [see fedmpt labels]")] = None,
    base_url: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible endpoint. [OPENAI_BASE_URL, else OpenAI's]")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model. [FEDMPT_MODEL, else the one that the server offers]")
    ] = None,
    conditions: Annotated[int | None, typer.Option(help="How many abstract conditions.")] = None,
    combinations: Annotated[int | None, typer.Option(help="How many label combinations are described.")] = None,
    captions: Annotated[int | None, typer.Option(help="Descriptions of each combination.")] = None,
    seed: Annotated[int | None, typer.Option(help="Draws the combinations and the samples.")] = None,
    cooccurrence: Annotated[
        Path | None, typer.Option(help="Annotations of images; combinations follow what occurs together in them.")
    ] = None,
    templates: Annotated[Path | None, typer.Option(help="Folder with templates in the place of shipped ones.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Requests at once.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that one request may take.")] = None,
    cache_dir: CacheOption = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use the answer cache alone; send nothing.")] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Ask a language model under which conditions the labels occur together; write a prompt bank.

    Interrupt it at any time: answers are kept, and the same command goes on.

    Example:  fedmpt mine-conditions --labels coco.txt --base-url http://127.0.0.1:8000/v1
    """
    with reported(debug):
        from condition_miner.cache import AnswerCache
        from condition_miner.cooccurrence import read_cooccurrence
        from condition_miner.labels import read_labels
        from condition_miner.settings import MinerSettings, ServiceSettings

        read = read_labels(labels, column)
        observed = read_cooccurrence(cooccurrence, read.labels) if cooccurrence else None
        for warning in (*read.warnings, *(observed.warnings if observed else ())):
            typer.echo(f"warning: {warning}", err=True)
        asked = {"conditions": conditions, "combinations": combinations, "captions": captions, "seed": seed}
        settings: MinerSettings = _settings(MinerSettings, asked)
        service: ServiceSettings = _settings(ServiceSettings, {"concurrency": concurrency, "timeout": timeout})
        before = _replaceable(out)
        with AnswerCache(_folder(cache_dir)) as cache:
            from condition_miner.asking import Asker
            from condition_miner.mining import Miner
            from condition_miner.progress import Lines
            from condition_miner.templates import Templates

            address, chosen = _origin(cache, base_url, model, service, offline)
            asker = Asker(cache, address, service, offline, Lines())
            own = Templates(templates)
            bank = Miner(read.labels, name or labels.stem, chosen, settings, own, asker, observed).mine()
        _write(bank, out, before, asker.sent, as_json)


@cache_app.command()
def info(cache_dir: CacheOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """How many answers are kept, and of which models.

    Example:  fedmpt cache info
    """
    with _opened(cache_dir, debug) as cache:
        counted: dict[str, int] = {}
        for question, _ in cache.rows():
            origin = f"{question.body.get('model')} at {question.endpoint}, {question.stage}"
            counted[origin] = counted.get(origin, 0) + 1
        if as_json:
            typer.echo(json.dumps({"folder": str(cache.folder), "answers": len(cache), "by_origin": counted}))
            return
        typer.echo(f"{cache.folder}: {len(cache)} answers")
        for origin, count in counted.items():
            typer.echo(f"{count:>8}  {origin}")


@cache_app.command("export")
def export_(
    file: Annotated[Path, typer.Argument(help="JSON lines; gzipped where the name ends in .gz.")],
    cache_dir: CacheOption = None,
    debug: DebugOption = False,
) -> None:
    """Write all answers into a file, for another machine or beside a paper.

    Example:  fedmpt cache export answers.jsonl.gz
    """
    with _opened(cache_dir, debug) as cache:
        from condition_miner.cache import export_answers

        typer.echo(f"{file}: {export_answers(cache, file)} answers")


@cache_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A file that fedmpt cache export wrote.")],
    cache_dir: CacheOption = None,
    debug: DebugOption = False,
) -> None:
    """Add the answers of a file; nothing is added where a line is bad.

    Example:  fedmpt cache import answers.jsonl.gz
    """
    with _opened(cache_dir, debug) as cache:
        from condition_miner.cache import import_answers

        typer.echo(f"{cache.folder}: {import_answers(cache, file)} answers added")


@contextmanager
def reported(debug: bool) -> Iterator[None]:
    """Turns an expected error into its lines and exit code; with --debug the traceback is shown."""
    from condition_miner.errors import MinerError, MiningFailed
    from prompt_bank.errors import BankError

    try:
        yield
    except (MinerError, BankError) as error:
        if debug:
            raise
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        raise typer.Exit(1 if isinstance(error, MiningFailed) else 2) from error
    except OSError as error:
        if debug:
            raise
        typer.echo(f"error: {error.filename or 'writing'}: {error.strerror or error}", err=True)
        raise typer.Exit(1) from error


@contextmanager
def _opened(cache_dir: Path | None, debug: bool) -> Iterator[AnswerCache]:
    with reported(debug):
        from condition_miner.cache import AnswerCache

        with AnswerCache(_folder(cache_dir)) as cache:
            yield cache


def _folder(cache_dir: Path | None) -> Path:
    return cache_dir or Path(os.environ.get("FEDMPT_CACHE_DIR", "cache"))


def _settings(kind: Any, given: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from condition_miner.errors import MinerError

    try:
        return kind(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        said = "; ".join(f"--{e['loc'][0]}: {e['msg']}" for e in error.errors())
        raise MinerError(said) from error


def _origin(
    cache: AnswerCache, base_url: str | None, model: str | None, service: ServiceSettings, offline: bool
) -> tuple[Address, str]:
    """Which endpoint and which model: as named; else what the cache knows (offline) or the server offers."""
    from condition_miner.endpoint import Address
    from condition_miner.errors import MinerError
    from condition_miner.models import offered_model

    named = model or os.environ.get("FEDMPT_MODEL")
    if not offline:
        address = Address.of(base_url)
        return address, named or offered_model(cache, address, service)
    origins = cache.origins()
    if base_url or os.environ.get("OPENAI_BASE_URL"):
        origins = [o for o in origins if o[0] == Address.of(base_url).endpoint]
    if named:
        origins = [o for o in origins if o[1] == named]
    if len(origins) == 1:
        endpoint, found = origins[0]
        return Address(endpoint, endpoint), found
    listed = "; ".join(f"{found} at {endpoint}" for endpoint, found in origins) or "none that fit"
    raise MinerError(f"offline: name --model (and --base-url) of the cached answers; there are: {listed}")


def _replaceable(out: Path) -> str | None:
    """The content hash of the bank that is at `out`, if mining may take its place.

    Raises:
        MinerError: a person decided something in it.
    """
    if not out.exists():
        return None
    from condition_miner.errors import MinerError
    from prompt_bank.store import load

    loaded = load(out)
    decided = any(c.status != "proposed" or c.origin != "mined" for c in loaded.bank.conditions)
    if decided or loaded.edited:
        raise MinerError(f"{out}: people have edited this bank, so it is left alone; choose another --out")
    return loaded.hash


def _write(bank: Bank, out: Path, before: str | None, sent: int, as_json: bool) -> None:
    from prompt_bank.store import record

    did = f"mined {len(bank.conditions)} conditions from {len(bank.captions)} captions with {bank.provenance.model}"
    written = record(bank, out, by="miner", did=did, expected_hash=before)
    if as_json:
        texts = [c.text for c in written.conditions]
        told = {"bank": str(out), "revision": written.revision, "conditions": texts, "requests_sent": sent}
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    for condition in written.conditions:
        support = 100 * (condition.support or 0)
        typer.echo(f"  {condition.text:<24} {support:3.0f} % of captions   {', '.join(condition.values[:4])}")
    typer.echo(f"{out}: revision {written.revision}, {did}; {sent} requests sent")
    typer.echo(f"next: fedmpt bank show {out}   fedmpt train --bank {out}")
