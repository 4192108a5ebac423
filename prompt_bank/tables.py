"""A bank on a terminal. What is shown comes from a language model or a file: it is printed, never interpreted."""

from __future__ import annotations

import unicodedata

from rich.console import Console
from rich.table import Table
from rich.text import Text

from prompt_bank.schema import Bank, Condition, Provenance


def printable(text: str) -> str:
    """The text with a � for each sign that would steer the terminal."""
    return "".join("�" if unicodedata.category(sign) in ("Cc", "Cs") else sign for sign in text)


def print_bank(bank: Bank) -> None:
    """Print what a bank holds, where it comes from, and its conditions as a table."""
    console = Console()
    counts = f"{len(bank.labels)} labels, {len(bank.captions)} captions, {len(bank.dependencies)} dependencies"
    for line in (f"{bank.name}  revision {bank.revision}  {counts}", _origin(bank.provenance)):
        console.print(Text(printable(line)))
    table = Table()
    for heading in ("id", "text", "status", "support", "definition", "values"):
        table.add_column(heading, overflow="fold")
    for condition in bank.conditions:
        table.add_row(*(Text(printable(cell)) for cell in _cells(condition)))
    console.print(table)


def _cells(condition: Condition) -> tuple[str, ...]:
    support = "" if condition.support is None else f"{100 * condition.support:.0f} %"
    values = ", ".join(condition.values)
    return condition.id, condition.text, condition.status, support, condition.definition, values


def _origin(provenance: Provenance) -> str:
    if provenance == Provenance():
        return "written by hand"
    asked = f"{provenance.requests} requests"
    return f"mined with {provenance.model} ({provenance.endpoint}), {provenance.created}, {asked}"
