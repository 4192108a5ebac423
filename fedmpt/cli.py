"""The `fedmpt` command.

Each command is in the package that does its work. So that the command starts fast, only the module of the named
command is imported; for the others, this module has a name and a line of help.
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass

import typer

from fedmpt.common.terminal import accept_any_code_page


@dataclass(frozen=True)
class Entry:
    """A command or command group.

    Attributes:
        module, attribute: where it is defined.
        help: its line in `fedmpt --help`.
        panel: its section there.
    """

    module: str
    attribute: str
    help: str
    panel: str


ENTRIES: dict[str, Entry] = {
    "mine-conditions": Entry(
        "condition_miner.commands.mine",
        "mine_conditions",
        "Ask a language model under which conditions the labels occur together; write bank.json.",
        "Conditions",
    ),
    "mine-attributes": Entry(
        "condition_miner.commands.attributes",
        "mine_attributes",
        "Ask a language model what each label looks like; write it into a prompt bank.",
        "Conditions",
    ),
    "labels": Entry("condition_miner.commands.labels", "labels", "Show which labels a file holds.", "Conditions"),
    "bank": Entry("prompt_bank.cli", "app", "Look at, check and record a prompt bank.", "Conditions"),
    "cache": Entry("condition_miner.commands.cache", "app", "Cached answers: look, clear, move, verify.", "Conditions"),
    "templates": Entry(
        "condition_miner.commands.templates", "app", "The messages to the model: list, check.", "Conditions"
    ),
    "train": Entry(
        "trainer.commands.training", "train", "Train a method over sites that keep their images.", "Training"
    ),
    "tune": Entry("trainer.commands.tuning", "tune", "Choose a method's settings on validation images.", "Training"),
    "federation": Entry(
        "trainer.commands.federation", "app", "Train over several machines with Flower: init, serve, join.", "Training"
    ),
    "settings": Entry(
        "trainer.commands.settings", "settings", "Every setting: its type, default and meaning.", "Training"
    ),
    "evaluate": Entry(
        "trainer.commands.evaluation", "evaluate", "Measure a run's best checkpoint on the test split.", "Training"
    ),
    "compare": Entry("trainer.commands.evaluation", "compare", "Set runs side by side.", "Training"),
    "reproduce": Entry(
        "trainer.commands.reproducing",
        "reproduce",
        "Compute a table of the paper, every method side by side.",
        "Training",
    ),
    "predict": Entry(
        "trainer.commands.inference", "predict", "Say which labels images carry, where and why.", "Training"
    ),
    "try": Entry(
        "trainer.commands.try_page", "try_model", "Try a model on pictures, on a page in the browser.", "Training"
    ),
    "export": Entry("trainer.commands.inference", "export", "Write a run's model as a folder to hand on.", "Training"),
    "report": Entry("trainer.commands.evaluation", "report", "Write a run's report: one HTML page.", "Training"),
    "datasets": Entry(
        "trainer.commands.datasets", "app", "Look at data sets, and at who owns which images.", "Training"
    ),
    "doctor": Entry(
        "fedmpt.doctor.command", "doctor", "Check this installation, and say what to do about what is broken.", "Help"
    ),
    "demo": Entry("fedmpt.demo", "demo", "Run the whole path on the drawn world, in a few minutes.", "Training"),
}


def _mount(app: typer.Typer, name: str, entry: Entry) -> None:
    target = getattr(importlib.import_module(entry.module), entry.attribute)
    if isinstance(target, typer.Typer):
        app.add_typer(target, name=name, help=entry.help, rich_help_panel=entry.panel)
    else:
        app.command(name, rich_help_panel=entry.panel)(target)


def _list(app: typer.Typer, name: str, entry: Entry) -> None:
    @app.command(name, help=entry.help, rich_help_panel=entry.panel)
    def listed() -> None:
        raise AssertionError(f"{name} was listed, not mounted")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"fedmpt {version('fedmpt')}")
        raise typer.Exit


def build(named: str | None) -> typer.Typer:
    """The command line with the command `named` imported, and all others only listed in the help."""
    # Rich's own markup would remove the defaults in square brackets.
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown")

    @app.callback()
    def root(
        version: bool = typer.Option(
            False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
        ),
    ) -> None:
        """Federated multi-label prompt tuning of CLIP: mine conditions, review them, train over sites.

        Start with:  fedmpt demo
        """

    for name, entry in ENTRIES.items():
        (_mount if name == named else _list)(app, name, entry)
    return app


def _words() -> list[str]:
    """The command line; while a shell completes one, the words that were typed so far, which typer passes on."""
    if "_FEDMPT_COMPLETE" not in os.environ:
        return sys.argv
    return (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or "").split()


def main() -> None:
    """Entry point of the `fedmpt` command."""
    accept_any_code_page()
    named = next((word for word in _words()[1:] if not word.startswith("-")), None)
    try:
        build(named)(prog_name="fedmpt")
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
