"""Output on a terminal or into a pipe: foreign words made harmless, and any code page.

Names, labels, errors and file contents come from others. A control character, an escape sequence or Rich's markup in
them must not move the cursor, colour the screen or forge a line.
"""

from __future__ import annotations

import codecs
import json
import re
import sys
from typing import TYPE_CHECKING, Any

import typer

from fedmpt.common.words import printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

PLAIN = {"→": "->", "–": "-", "—": "-", "…": "...", "±": "+-", "×": "x", "·": ".", "█": "#", "░": ".", "�": "?"}
"""Our own signs for code pages without them."""

_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What JSON leaves as it is although a terminal acts on it, or no encoding has it."""


def clean_lines(text: str) -> str:
    """Foreign text of several lines, each `printable`."""
    return "\n".join(printable(line) for line in text.split("\n"))


def echo(text: str, err: bool = False) -> None:
    """Print text, on standard error if `err`; control characters in it become �."""
    typer.echo(clean_lines(text), err=err)


def cell(text: str, style: str = "") -> Text:
    """Foreign text for a table of Rich: no markup, no control characters."""
    from rich.text import Text

    return Text(printable(text), style)


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON that any terminal and any code page can show, and every reader reads back as it is."""
    plain = not (getattr(sys.stdout, "encoding", None) or "ascii").lower().startswith("utf")
    text = json.dumps(value, indent=indent, ensure_ascii=plain, allow_nan=False)
    return _UNSAFE_IN_JSON.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text)


def print_table(table: Table) -> None:
    """Print a table of Rich. Where the terminal is too narrow for its numbers, its lines run over: none is cut off."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console()
    needed = Measurement.get(console, console.options.update(width=1000), table).minimum
    if needed > console.width:
        console = Console(width=needed)
    console.print(table, soft_wrap=False)


def accept_any_code_page() -> None:
    """Make standard output and error replace what their code page lacks instead of raising UnicodeEncodeError."""
    codecs.register_error("fedmpt-plain", _replace)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="fedmpt-plain")


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(sign, "?") for sign in lacking), error.end
