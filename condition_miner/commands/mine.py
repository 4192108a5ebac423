"""fedmpt mine-conditions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from condition_miner.commands.common import interruption_reported, settings_from_options
from condition_miner.commands.results import Prices, print_estimates, write_bank
from condition_miner.commands.sources import Backend, SourceOptions, opened_source
from fedmpt.common.console import CacheOption, DebugOption, JsonOption, cache_folder, reported

if TYPE_CHECKING:
    from condition_miner.settings import MinerSettings, ServiceSettings
    from prompt_bank.schema import Bank, Label


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
    serve: Annotated[
        str | None,
        typer.Option(
            "--serve",
            metavar="MODEL",
            help="Start a server with this model (a .gguf file, a folder, OWNER/NAME on the hub) for this run.",
        ),
    ] = None,
    engine: Annotated[
        Path | None, typer.Option(help="With --serve: the server's program. [vllm, else llama-server, on the PATH]")
    ] = None,
    engine_args: Annotated[
        str | None, typer.Option(metavar="WORDS", help="With --serve: more words for its command, in quotes.")
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|openai",
            help="Write each stage's requests to a file there for a Batch API or vllm run-batch, and go on with the "
            "results that are put beside it; openai: upload it to the endpoint, wait, and go on.",
        ),
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
    max_failed: Annotated[
        float | None,
        typer.Option(
            help="Share of a stage's questions that may fail: the bank is made without them, and says so. "
            "[0.05, or 3 questions]"
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many requests and tokens it would take; send nothing.")
    ] = False,
    price_in: Annotated[
        float | None, typer.Option(min=0, help="Price of a million tokens that are sent: costs are told in money, too.")
    ] = None,
    price_out: Annotated[float | None, typer.Option(min=0, help="Price of a million tokens that are answered.")] = None,
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
