"""fedmpt demo: runs the actual commands one after another, and prints each as a user would type it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fedmpt.common.terminal import echo

RECORDED_MODEL = "qwen2.5-coder-1.5b-instruct"
RECORDED_ON = "2026-11-26"

RUNS: dict[str, tuple[str, ...]] = {
    "zero-shot": ("--method", "zero-shot"),
    "zero-shot-context": ("--method", "zero-shot", "--set", "method.context=bank"),
    "coop": ("--method", "coop"),
    "fedmpt-transport": ("--method", "fedmpt", "--set", "method.matching=transport"),
    "fedmpt-no-context": ("--method", "fedmpt", "--set", "method.context=none"),
    "fedmpt": ("--method", "fedmpt"),
}
"""Run name → options of `fedmpt train`. Trained in this order; the report is on the last run."""

WITHOUT_BANK = ("zero-shot", "coop")

WORLD = ("--set", "data.scenes.variant=natural")
"""The world in which places, light and activities cause the labels, as they do in photographs."""


def demo(
    out: Annotated[Path | None, typer.Option(help="Folder for the bank and the runs. [runs/demo-TIME]")] = None,
    cache_dir: Annotated[
        Path | None, typer.Option("--cache-dir", help="Where features are kept. [FEDMPT_CACHE_DIR, else ./cache]")
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="Federated rounds, fewer for a quick look.", min=1)] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting for all runs; may be repeated.")
    ] = None,
) -> None:
    """Mine conditions, check the bank, train zero-shot CLIP, CoOp and FedMPT on the drawn world, and compare them.

    With OPENAI_BASE_URL set that server is asked for the conditions; else real, recorded answers are replayed.
    """
    folder = out or Path("runs") / datetime.now(UTC).strftime("demo-%Y%m%d-%H%M%S")
    folder.mkdir(parents=True, exist_ok=True)
    cache = ["--cache-dir", str(cache_dir)] if cache_dir else []
    bank = str(folder / "bank.json")
    _mine(folder, bank)
    _run("bank", "check", bank)
    _run("bank", "show", bank)
    chosen = [*WORLD, *cache, *(["--rounds", str(rounds)] if rounds else [])]
    for setting in settings or []:
        chosen += ["--set", setting]
    for name, words in RUNS.items():
        with_bank = [] if name in WITHOUT_BANK else ["--bank", bank]
        _run("train", *with_bank, *words, "--out", str(folder / name), *chosen)
    ours, *others = [str(folder / name) for name in reversed(RUNS)]
    _run("evaluate", ours, *cache)
    _run("compare", *[str(folder / name) for name in RUNS])
    against = [word for other in others for word in ("--against", other)]
    _run("report", ours, *against, *cache)


def _mine(folder: Path, bank: str) -> None:
    """Mine with the user's endpoint if there is one, else replay the recorded answers; by the same command."""
    import condition_miner
    import prompt_bank

    labels = Path(prompt_bank.__path__[0]) / "banks" / "scenes24.txt"
    if os.environ.get("OPENAI_BASE_URL"):
        _run("mine-conditions", "--labels", str(labels), "--out", bank)
        return
    recorded = f"scenes24-{RECORDED_MODEL}-{RECORDED_ON}.jsonl.gz"
    answers = Path(condition_miner.__path__[0]) / "recorded" / recorded
    echo(f"No OPENAI_BASE_URL is set: replaying answers of {RECORDED_MODEL}, recorded {RECORDED_ON}.")
    kept = ["--cache-dir", str(folder / "answers")]
    _run("cache", "import", str(answers), *kept)
    _run("mine-conditions", "--labels", str(labels), "--out", bank, "--offline", *kept)


def _run(*words: str) -> None:
    """Run a `fedmpt` command in its own process. Its failure ends the demo."""
    typer.secho(f"\n$ fedmpt {shlex.join(words)}", bold=True)
    sys.stdout.flush()
    code = subprocess.run([sys.executable, "-m", "fedmpt", *words], check=False).returncode
    if code:
        echo(f"error: the demo stopped at: fedmpt {shlex.join(words)}", err=True)
        raise typer.Exit(code)
