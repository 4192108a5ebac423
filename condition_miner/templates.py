"""The messages to the model, rendered from Jinja templates in a sandbox.

Labels and descriptions are untrusted text. They reach a message only as JSON inside its data block, whose marks the
JSON cannot contain, and the system message says that the block is data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import DictLoader, StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from condition_miner.errors import MinerError
from condition_miner.settings import MESSAGES_OF

LONGEST = 60_000
"""Characters of a rendered message; a template that makes more is broken."""

MESSAGES = tuple(message for messages in MESSAGES_OF.values() for message in messages)
ROLES = ("system", "user")


class Templates:
    """The templates of all messages.

    Args:
        folder: files here take the place of the shipped ones of the same name; None for the shipped ones alone.

    Raises:
        MinerError: the folder is missing, or has a file that no message is rendered from, or one that is not UTF-8.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._text = {name: (shipped_folder() / name).read_text(encoding="utf-8") for name in _names()}
        if folder is not None:
            self._text |= _own(folder)
        self._environment = ImmutableSandboxedEnvironment(
            loader=DictLoader(self._text),  # compiled once a template, not once a message
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
        )
        self._environment.filters["data"] = _data

    def messages(self, message: str, variables: Mapping[str, Any]) -> list[dict[str, str]]:
        """The system and the user message of a stage.

        Raises:
            MinerError: an unknown variable, a syntax error or too long a text, with file and line.
        """
        return [{"role": role, "content": self._render(f"{message}_{role}.j2", variables)} for role in ROLES]

    def hash(self, message: str) -> str:
        """sha256 over both templates of a stage."""
        joined = "\0".join(self._text[f"{message}_{role}.j2"] for role in ROLES)
        return "sha256:" + hashlib.sha256(joined.encode()).hexdigest()

    def _render(self, name: str, variables: Mapping[str, Any]) -> str:
        try:
            template = self._environment.get_template(name)
            parts: list[str] = []
            length = 0
            for part in template.generate(dict(variables)):
                length += len(part)
                if length > LONGEST:
                    raise MinerError(f"{name}: the message grows over {LONGEST} characters")
                parts.append(part)
        except TemplateSyntaxError as error:
            raise MinerError(f"{name}, line {error.lineno}: {error.message}") from error
        except (TemplateError, ArithmeticError, TypeError, ValueError, MemoryError) as error:
            raise MinerError(f"{name}{_line(error)}: {error or type(error).__name__}") from error
        return "".join(parts).strip()


def shipped_folder() -> Path:
    """Where the templates are: beside the packages in the source tree, inside this one when installed."""
    here = Path(__file__).resolve().parent
    inside = here / "templates"
    return inside if inside.is_dir() else here.parent / "templates"


def _names() -> list[str]:
    return [f"{message}_{role}.j2" for message in MESSAGES for role in ROLES]


def _own(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise MinerError(f"{folder}: there is no such folder of templates")
    found = {path.name: path for path in sorted(folder.glob("*.j2"))}
    unknown = sorted(found.keys() - set(_names()))
    if unknown:
        raise MinerError(f"{folder / unknown[0]}: no message is rendered from it; there are {', '.join(_names())}")
    try:
        return {name: path.read_bytes().decode("utf-8-sig") for name, path in found.items()}
    except UnicodeDecodeError as error:
        raise MinerError(f"{folder}: a template is not UTF-8") from error


def _data(value: Any) -> str:
    """JSON in which no tag can stand: a label cannot close its data block."""
    text = json.dumps(value, ensure_ascii=False)
    for sign in "<>&`":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _line(error: BaseException) -> str:
    """The line of the template that an error came from."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in ("<template>", "<unknown>"):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f", line {line}" if line else ""
