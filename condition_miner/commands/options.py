"""Options that mine-conditions and mine-attributes share: who answers, how requests are sent, what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from condition_miner.commands.sources import Backend

BackendOption = Annotated[
    Backend, typer.Option(help="A server, or a model that this process loads (--model FOLDER or hub name).")
]
BaseUrlOption = Annotated[
    str | None, typer.Option(help="An OpenAI-compatible endpoint. [OPENAI_BASE_URL, else OpenAI's]")
]
ModelOption = Annotated[str | None, typer.Option(help="The model. [FEDMPT_MODEL, else the one that the server offers]")]
ServeOption = Annotated[
    str | None,
    typer.Option(
        "--serve",
        metavar="MODEL",
        help="Start a server with this model (a .gguf file, a folder, OWNER/NAME on the hub) for this run.",
    ),
]
EngineOption = Annotated[
    Path | None, typer.Option(help="With --serve: the server's program. [vllm, else llama-server, on the PATH]")
]
EngineArgsOption = Annotated[
    str | None, typer.Option(metavar="WORDS", help="With --serve: more words for its command, in quotes.")
]
BatchOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|openai",
        help="Write each stage's requests to a file there for a Batch API or vllm run-batch, and go on with the "
        "results that are put beside it; openai: upload it to the endpoint, wait, and go on.",
    ),
]
ColumnOption = Annotated[str | None, typer.Option(help="Of a CSV file: the labels' column. [see fedmpt labels]")]
MaxTokensOption = Annotated[int | None, typer.Option(help="Room for an answer; a model that reasons needs more.")]
TemplatesOption = Annotated[Path | None, typer.Option(help="Folder with templates in the place of shipped ones.")]
ConcurrencyOption = Annotated[int | None, typer.Option(help="Requests at once at the most.")]
TimeoutOption = Annotated[float | None, typer.Option(help="Seconds that one request may take.")]
RetriesOption = Annotated[int | None, typer.Option(help="How often a lost or refused request is sent again.")]
LongestWaitOption = Annotated[
    float | None, typer.Option(help="Seconds that the server may ask to wait, before the run stops.")
]
BudgetOption = Annotated[int | None, typer.Option(help="Stop before this run has used more tokens, in and out.")]
MaxFailedOption = Annotated[
    float | None,
    typer.Option(
        help="Share of a stage's questions that may fail: the bank is made without them, and says so. "
        "[0.05, or 3 questions]"
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say how many requests and tokens it would take; send nothing.")
]
PriceInOption = Annotated[
    float | None, typer.Option(min=0, help="Price of a million tokens that are sent: costs are told in money, too.")
]
PriceOutOption = Annotated[float | None, typer.Option(min=0, help="Price of a million tokens that are answered.")]
RetryFailedOption = Annotated[
    bool,
    typer.Option("--retry-failed", help="Ask again what the model could not answer in an earlier run."),
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Use the answer cache alone; send nothing.")]
