"""How pages are rendered: sandboxed, everything escaped, one look."""

from __future__ import annotations

from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

FOLDER = Path(__file__).parent


def page_environment() -> SandboxedEnvironment:
    """Templates of this folder. Label names, condition names and file names are untrusted text: all is escaped.

    Filters: `figure(digits)` writes a number, or – where there is none; `count` writes 12,345.
    """
    environment = SandboxedEnvironment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = lambda value, digits=2: "–" if value is None else f"{value:.{digits}f}"
    environment.filters["count"] = lambda value: f"{value:,}"
    return environment
