"""fedmpt mine-conditions."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from condition_miner.commands.common import interruption_reported, settings_from_options
from fedmpt.common.console import CacheOption, DebugOption, JsonOption, cache_folder, reported

if TYPE_CHECKING:
    from condition_miner.asking.asker import Asker
    from condition_miner.estimate import Estimate
    from condition_miner.settings import MinerSettings, ServiceSettings
    from prompt_bank.schema import Bank, Label


class Backend(StrEnum):
    """Where the language model runs."""

    OPENAI = "openai"
    TRANSFORMERS = "transformers"


def mine_conditions(
    labels: Annotated[
        Path,
        typer.Option(help="Text (one a line, aliases behind commas), CSV, JSON, COCO annotations, a VOC folder."),
    ],
    out: Annotated[Path, typer.Option(help="The bank to write.")] = Path("bank.json"),
    name: Annotated[str | None, typer.Option(help="The bank's name. [the label file's]")] = None,
    about: Annotated[
        str | None, typer.Option(help="What the images are: aerial images; chest X-rays. [that of the bank at --out]")
    ] = None,
    column: Annotated[str | None, typer.Option(help="Of a CSV file: the labels' column. [see fedmpt labels]")] = None,
    backend: Annotated[
        Backend, typer.Option(help="A server, or a model that this process loads (--model FOLDER or hub name).")
    ] = Backend.OPENAI,
    base_url: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible endpoint. [OPENAI_BASE_URL, else OpenAI's]")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model. [FEDMPT_MODEL, else the one that the server offers]")
    ] = None,
    conditions: Annotated[
        str | None, typer.Option(help="How many abstract conditions; auto: as few as explain 95 % of the descriptions.")
    ] = None,
    combinations: Annotated[int | None, typer.Option(help="How many label combinations are described.")] = None,
    captions: Annotated[int | None, typer.Option(help="Descriptions of each combination.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Room for an answer; a model that reasons needs more.")] = None,
    seed: Annotated[int | None, typer.Option(help="Draws the combinations and the samples.")] = None,
    stages: Annotated[
        str | None,
        typer.Option(
            help="Ask only these, with commas: describe, explain, abstract, attribute, measure, affinities; "
            "earlier ones come from the cache, later ones are left out. affinities alone needs none of them."
        ),
    ] = None,
    from_stage: Annotated[
        str | None, typer.Option(help="Ask anew from this stage on; earlier ones come from the cache.")
    ] = None,
    cooccurrence: Annotated[
        Path | None, typer.Option(help="Annotations of images; combinations follow what occurs together in them.")
    ] = None,
    templates: Annotated[Path | None, typer.Option(help="Folder with templates in the place of shipped ones.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Requests at once at the most.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that one request may take.")] = None,
    retries: Annotated[int | None, typer.Option(help="How often a lost or refused request is sent again.")] = None,
    longest_wait: Annotated[
        float | None, typer.Option(help="Seconds that the server may ask to wait, before the run stops.")
    ] = None,
    budget_tokens: Annotated[
        int | None, typer.Option(help="Stop before this run has used more tokens, in and out.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many requests and tokens it would take; send nothing.")
    ] = False,
    price_in: Annotated[
        float | None, typer.Option(min=0, help="With --dry-run: price of a million tokens that are sent.")
    ] = None,
    price_out: Annotated[
        float | None, typer.Option(min=0, help="With --dry-run: price of a million tokens that are answered.")
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Ask again what the model could not answer in an earlier run."),
    ] = False,
    cache_dir: CacheOption = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use the answer cache alone; send nothing.")] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Ask a language model under which conditions the labels occur together; write a prompt bank.

    Interrupt it at any time: answers are kept, and the same command goes on.

    Example:  fedmpt mine-conditions --labels coco.txt --base-url http://127.0.0.1:8000/v1
    """
    with reported(debug), interruption_reported():
        from condition_miner.answers.cache import AnswerCache
        from condition_miner.asking.asker import Asker, DryRunStop
        from condition_miner.errors import MinerError
        from condition_miner.estimate import estimate_stages
        from condition_miner.labels.labels import read_labels
        from condition_miner.messages.checks import load_templates
        from condition_miner.mining import Miner, StagePlan
        from condition_miner.model.resolving import resolve_for_dry_run, resolve_in_process, resolve_model
        from condition_miner.settings import MinerSettings, ServiceSettings
        from fedmpt.common.progress import ProgressBar, print_note
        from prompt_bank.dependencies.observed import read_cooccurrence

        read = read_labels(labels, column)
        observed = read_cooccurrence(cooccurrence, read.labels) if cooccurrence else None
        for warning in (*read.warnings, *(observed.warnings if observed else ())):
            typer.echo(f"warning: {warning}", err=True)
        existing = _existing_bank(out, read.labels)
        asked = {
            "about": about if about is not None or existing is None else existing.about,
            "conditions": conditions,
            "combinations": combinations,
            "captions": captions,
        }
        asked |= {"max_tokens": max_tokens, "seed": seed}
        settings: MinerSettings = settings_from_options(MinerSettings, asked)
        limits = {"concurrency": concurrency, "timeout": timeout, "retries": retries}
        limits |= {"longest_wait": longest_wait, "budget_tokens": budget_tokens}
        service: ServiceSettings = settings_from_options(ServiceSettings, limits)
        if not dry_run and (price_in, price_out) != (None, None):
            raise MinerError("--price-in and --price-out belong to --dry-run")
        prompt_templates = load_templates(templates)
        plan = StagePlan.from_options(stages, from_stage, _earlier_takes(out, existing))
        with AnswerCache(cache_folder(cache_dir)) as cache:
            if backend is Backend.TRANSFORMERS:
                address, found = resolve_in_process(model)
            elif dry_run:
                address, found = resolve_for_dry_run(cache, base_url, model)
            else:
                address, found = resolve_model(cache, base_url, model, service, offline)
            progress = ProgressBar("answers", per_minute=True)
            asker = Asker(cache, address, service, offline, progress, print_note, retry_failed, dry_run)
            named = name or labels.stem
            miner = Miner(read.labels, named, found, settings, prompt_templates, asker, observed, plan, existing)
            try:
                bank = miner.mine()
            except DryRunStop as stop:
                in_process = backend is Backend.TRANSFORMERS
                stage_estimates = estimate_stages(
                    stop, settings, plan.stages, len(read.labels), prompt_templates, in_process
                )
                _print_estimates(stage_estimates, price_in, price_out, as_json)
                return
        if dry_run:
            _print_estimates([], price_in, price_out, as_json)
        else:
            _write(bank, out, found, asker, as_json)


def _print_estimates(estimates: list[Estimate], price_in: float | None, price_out: float | None, as_json: bool) -> None:
    """Print the estimated requests and tokens, by stage and in total."""
    requests, into, out = (
        sum(getattr(stage, count) for stage in estimates) for count in ("requests", "tokens_in", "tokens_out")
    )
    priced = (price_in, price_out) != (None, None)
    price = sum(stage.price(price_in or 0, price_out or 0) for stage in estimates) if priced else None
    if as_json:
        total = {"requests": requests, "tokens_in": into, "tokens_out": out, "price": price}
        typer.echo(json.dumps({"stages": [vars(stage) for stage in estimates], **total}))
        return
    if not estimates:
        typer.echo("all answers are in the cache: nothing would be sent")
        return
    typer.echo(f"{'stage':<12}{'requests':>10}{'tokens in':>12}{'tokens out':>12}")
    for stage in estimates:
        about = "" if stage.exact else "  about"
        typer.echo(f"{stage.stage:<12}{stage.requests:>10}{stage.tokens_in:>12}{stage.tokens_out:>12}{about}")
    cost = "" if price is None else f"  price {price:.{2 if price >= 1 else 4}f}"
    typer.echo(f"{'in all':<12}{requests:>10}{into:>12}{out:>12}{cost}")
    typer.echo("Tokens are estimated; each invalid answer is one request more. Nothing was sent.")


def _earlier_takes(out: Path, existing: Bank | None) -> dict[str, int]:
    """The takes of the bank at `out`, see `StagePlan`; empty if there is no bank."""
    from condition_miner.errors import MinerError
    from condition_miner.settings import STAGES

    takes = existing.provenance.parameters.get("takes", {}) if existing else {}
    if not isinstance(takes, dict) or any(k not in STAGES or type(n) is not int or n < 0 for k, n in takes.items()):
        raise MinerError(f"{out}: provenance.parameters.takes must name stages and how often they were asked anew")
    return takes


def _existing_bank(out: Path, labels: tuple[Label, ...]) -> Bank | None:
    """The bank at `out`, valid and with these labels, before any request is sent; None if there is none.

    Raises:
        BankError: it is invalid, or has other labels.
    """
    if not out.exists():
        return None
    from prompt_bank.recording.proposals import require_shared_label
    from prompt_bank.recording.store import load

    existing = load(out).bank
    require_shared_label(existing, labels)
    return existing


def _write(bank: Bank, out: Path, model: str, asker: Asker, as_json: bool) -> None:
    """Write the bank, or merge it into an existing one without changing what people decided; print the result."""
    from prompt_bank.recording.changes import who
    from prompt_bank.recording.proposals import MINER, record_mined

    did = f"mined {len(bank.conditions)} conditions from {len(bank.captions)} captions with {model}"
    recorded = record_mined(bank, out, editor=who(None), did=did)
    written = recorded.bank
    if as_json:
        texts = [c.text for c in written.conditions]
        summary = {"bank": str(out), "revision": written.revision, "conditions": texts, "requests_sent": asker.sent}
        typer.echo(json.dumps(summary, ensure_ascii=False))
        return
    for condition in written.conditions:
        share = "–" if condition.support is None else f"{100 * condition.support:.0f} %"
        typer.echo(f"  {condition.text:<24} {share:>5} of captions   {', '.join(condition.values[:4])}")
    typer.echo(f"{out}: revision {written.revision}, {did}; {asker.sent} requests sent")
    if not recorded.written:
        typer.echo("nothing new: the bank is as it was")
    elif any(entry.by != MINER for entry in written.history):
        typer.echo(f"people's decisions stay; fedmpt bank diff {out} {written.revision - 1} shows what is new")
    typer.echo(f"next: fedmpt bank show {out}   fedmpt train --bank {out}")
