"""fedmpt mine-attributes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from condition_miner.commands.common import existing_bank, interruption_reported, settings_from_options
from condition_miner.commands.options import (
    BackendOption,
    BaseUrlOption,
    BatchOption,
    BudgetOption,
    ColumnOption,
    ConcurrencyOption,
    DryRunOption,
    EngineArgsOption,
    EngineOption,
    LongestWaitOption,
    MaxFailedOption,
    MaxTokensOption,
    ModelOption,
    OfflineOption,
    PriceInOption,
    PriceOutOption,
    RetriesOption,
    RetryFailedOption,
    ServeOption,
    TemplatesOption,
    TimeoutOption,
)
from condition_miner.commands.results import Prices, print_estimates, write_attributes
from condition_miner.commands.sources import Backend, SourceOptions, opened_source
from fedmpt.common.console import CacheOption, DebugOption, JsonOption, cache_folder, reported

if TYPE_CHECKING:
    from prompt_bank.schema import Bank


def mine_attributes(
    labels: Annotated[
        Path | None,
        typer.Option(help="As of mine-conditions: text, CSV, JSON, COCO annotations, a VOC folder. [those of --bank]"),
    ] = None,
    bank: Annotated[
        Path | None,
        typer.Option(help="A bank to which the attributes are added, as a revision; in place of --out."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The bank to write. [attributes.json]")] = None,
    name: Annotated[str | None, typer.Option(help="A new bank's name. [the label file's]")] = None,
    about: Annotated[
        str | None, typer.Option(help="What the images are: aerial images; chest X-rays. [that of the bank]")
    ] = None,
    attributes: Annotated[int | None, typer.Option(help="How many are asked for of each label. [5]")] = None,
    column: ColumnOption = None,
    backend: BackendOption = Backend.OPENAI,
    base_url: BaseUrlOption = None,
    model: ModelOption = None,
    serve: ServeOption = None,
    engine: EngineOption = None,
    engine_args: EngineArgsOption = None,
    batch: BatchOption = None,
    max_tokens: MaxTokensOption = None,
    seed: Annotated[int | None, typer.Option(help="Of the answers; another one asks anew.")] = None,
    templates: TemplatesOption = None,
    concurrency: ConcurrencyOption = None,
    timeout: TimeoutOption = None,
    retries: RetriesOption = None,
    longest_wait: LongestWaitOption = None,
    budget_tokens: BudgetOption = None,
    max_failed: MaxFailedOption = None,
    dry_run: DryRunOption = False,
    price_in: PriceInOption = None,
    price_out: PriceOutOption = None,
    retry_failed: RetryFailedOption = False,
    cache_dir: CacheOption = None,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Ask a language model what each label looks like; write its attributes into a prompt bank.

    Method fedmvp-attributes trains with them. Interrupt it at any time: answers are kept, and the same command goes on.

    Example:  fedmpt mine-attributes --labels coco.txt --base-url http://127.0.0.1:8000/v1
    """
    with reported(debug), interruption_reported():
        from condition_miner.answers.cache import AnswerCache
        from condition_miner.asking.asker import Asker
        from condition_miner.asking.stops import DryRunStop
        from condition_miner.attributes import estimate_attributes
        from condition_miner.attributes import mine_attributes as mine
        from condition_miner.commands.batching import mined
        from condition_miner.errors import MinerError
        from condition_miner.labels.labels import read_labels
        from condition_miner.messages.checks import load_templates
        from condition_miner.settings import AttributeSettings, ServiceSettings
        from condition_miner.stages.questions import Questions
        from fedmpt.common.progress import ProgressBar, print_note
        from prompt_bank.recording.store import load

        if bank is not None and out is not None:
            raise MinerError("--bank adds to that file; leave out --out")
        to = bank or out or Path("attributes.json")
        if labels is not None:
            read = read_labels(labels, column)
            for warning in read.warnings:
                typer.echo(f"warning: {warning}", err=True)
            asked = read.labels
        elif bank is not None:
            asked = load(bank).bank.labels
        else:
            raise MinerError("say which labels: --labels FILE, or --bank with a bank that has them")
        existing = existing_bank(to, asked)
        domain = about if about is not None or existing is None else existing.about
        given = {"about": domain, "attributes": attributes, "max_tokens": max_tokens, "seed": seed}
        settings: AttributeSettings = settings_from_options(AttributeSettings, given)
        limits = {"concurrency": concurrency, "timeout": timeout, "retries": retries}
        limits |= {"longest_wait": longest_wait, "budget_tokens": budget_tokens, "max_failed": max_failed}
        service: ServiceSettings = settings_from_options(ServiceSettings, limits)
        prompt_templates = load_templates(templates)
        prices, folder = Prices(price_in, price_out), cache_folder(cache_dir)
        who = SourceOptions(backend, base_url, model, serve, engine, engine_args, batch, offline, dry_run)
        with AnswerCache(folder) as cache, opened_source(who, cache, service, folder) as source:
            progress, batches = ProgressBar("answers", per_minute=True), source.batches
            asker = Asker(
                cache,
                source.address,
                service,
                offline,
                progress,
                print_note,
                retry_failed,
                dry_run,
                source.before_sending,
                batches.backend if batches else None,
            )
            named = name or (labels or to).stem

            def mine_once() -> Bank:
                questions = Questions(source.model, settings, prompt_templates, asker)
                return mine(questions, settings, asked, named, existing)

            try:
                found = mined(mine_once, batches, as_json)
            except DryRunStop as stop:
                print_estimates(estimate_attributes(stop, settings), prices, as_json)
                return
        if dry_run:
            print_estimates([], prices, as_json)
        elif found is not None:
            write_attributes(found, to, source.model, asker, prices, as_json)
