"""fedmpt mine-conditions."""

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
from condition_miner.commands.results import Prices, print_estimates, write_bank
from condition_miner.commands.sources import Backend, SourceOptions, opened_source
from fedmpt.common.console import CacheOption, DebugOption, JsonOption, cache_folder, reported

if TYPE_CHECKING:
    from condition_miner.settings import MinerSettings, ServiceSettings
    from prompt_bank.schema import Bank


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
    column: ColumnOption = None,
    backend: BackendOption = Backend.OPENAI,
    base_url: BaseUrlOption = None,
    model: ModelOption = None,
    serve: ServeOption = None,
    engine: EngineOption = None,
    engine_args: EngineArgsOption = None,
    batch: BatchOption = None,
    conditions: Annotated[
        str | None, typer.Option(help="How many abstract conditions; auto: as few as explain 95 % of the descriptions.")
    ] = None,
    combinations: Annotated[int | None, typer.Option(help="How many label combinations are described.")] = None,
    captions: Annotated[int | None, typer.Option(help="Descriptions of each combination.")] = None,
    max_tokens: MaxTokensOption = None,
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
    """Ask a language model under which conditions the labels occur together; write a prompt bank.

    Interrupt it at any time: answers are kept, and the same command goes on.

    Example:  fedmpt mine-conditions --labels coco.txt --base-url http://127.0.0.1:8000/v1
    """
    with reported(debug), interruption_reported():
        from condition_miner.answers.cache import AnswerCache
        from condition_miner.asking.asker import Asker
        from condition_miner.asking.stops import DryRunStop
        from condition_miner.commands.batching import mined
        from condition_miner.estimate import estimate_stages
        from condition_miner.labels.labels import read_labels
        from condition_miner.messages.checks import load_templates
        from condition_miner.mining import Miner, StagePlan
        from condition_miner.settings import MinerSettings, ServiceSettings
        from fedmpt.common.progress import ProgressBar, print_note
        from prompt_bank.dependencies.observed import read_cooccurrence

        read = read_labels(labels, column)
        observed = read_cooccurrence(cooccurrence, read.labels) if cooccurrence else None
        for warning in (*read.warnings, *(observed.warnings if observed else ())):
            typer.echo(f"warning: {warning}", err=True)
        existing = existing_bank(out, read.labels)
        asked = {
            "about": about if about is not None or existing is None else existing.about,
            "conditions": conditions,
            "combinations": combinations,
            "captions": captions,
        }
        asked |= {"max_tokens": max_tokens, "seed": seed}
        settings: MinerSettings = settings_from_options(MinerSettings, asked)
        limits = {"concurrency": concurrency, "timeout": timeout, "retries": retries}
        limits |= {"longest_wait": longest_wait, "budget_tokens": budget_tokens, "max_failed": max_failed}
        service: ServiceSettings = settings_from_options(ServiceSettings, limits)
        prompt_templates = load_templates(templates)
        plan = StagePlan.from_options(stages, from_stage, _earlier_takes(out, existing))
        prices = Prices(price_in, price_out)
        who = SourceOptions(backend, base_url, model, serve, engine, engine_args, batch, offline, dry_run)
        folder = cache_folder(cache_dir)
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
            named = name or labels.stem
            miner = Miner(read.labels, named, source.model, settings, prompt_templates, asker, observed, plan, existing)
            try:
                bank = mined(miner.mine, batches, as_json)
            except DryRunStop as stop:
                in_process = backend is Backend.TRANSFORMERS
                estimates = estimate_stages(stop, settings, plan.stages, len(read.labels), prompt_templates, in_process)
                print_estimates(estimates, prices, as_json)
                return
        if dry_run:
            print_estimates([], prices, as_json)
        elif bank is not None:
            write_bank(bank, out, source.model, asker, prices, as_json)


def _earlier_takes(out: Path, existing: Bank | None) -> dict[str, int]:
    """The takes of the bank at `out`, see `StagePlan`; empty if there is no bank."""
    from condition_miner.errors import MinerError
    from condition_miner.settings import STAGES

    takes = existing.provenance.parameters.get("takes", {}) if existing else {}
    if not isinstance(takes, dict) or any(k not in STAGES or type(n) is not int or n < 0 for k, n in takes.items()):
        raise MinerError(f"{out}: provenance.parameters.takes must name stages and how often they were asked anew")
    return takes
