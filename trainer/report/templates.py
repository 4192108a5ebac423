"""The template environment of HTML pages: sandboxed, with escaping."""

from __future__ import annotations

from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

FOLDER = Path(__file__).parent


def page_environment() -> SandboxedEnvironment:
    """The environment for the templates in this folder. All values are escaped: names are untrusted text.

    Filters: `figure(digits)` formats a number, or None as –; `signed` with its sign; `count` integers as 12,345.
    """
    environment = SandboxedEnvironment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = lambda value, digits=2: "–" if value is None else f"{value:.{digits}f}"
    environment.filters["signed"] = lambda value: "–" if value is None else f"{round(value, 1) + 0.0:+.1f}"
    environment.filters["count"] = lambda value: f"{value:,}"
    return environment
