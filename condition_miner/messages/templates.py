"""The messages to the model, rendered from Jinja templates in a sandbox.

Labels and descriptions are untrusted text. They reach a message only as JSON inside its data block, whose marks the
JSON cannot contain, and the system message says that the block is data (filter `data`, sandbox.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Template

from condition_miner.errors import MinerError
from condition_miner.messages.sandbox import LONGEST, Sandbox
from condition_miner.settings import MESSAGES_OF

MESSAGES = tuple(message for messages in MESSAGES_OF.values() for message in messages)
ROLES = ("system", "user")
MOST_BYTES = 4 * LONGEST
"""Of a template file."""


class Templates:
    """The templates of all messages.

    Args:
        folder: files here take the place of the shipped ones of the same name; None for the shipped ones alone.

    Attributes:
        own: names of the files that were found there.

    Raises:
        MinerError: the folder is missing, or has a file that no message is rendered from, one that is not UTF-8, or
            one with an error; with file and line.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._text = {name: (shipped_folder() / name).read_text(encoding="utf-8") for name in names()}
        own = _own(folder) if folder is not None else {}
        self._text |= own
        self.own, self._own_folder = tuple(own), folder
        self._sandbox = Sandbox()
        self._compiled = self._prepared()

    def messages(self, message: str, variables: Mapping[str, Any]) -> list[dict[str, str]]:
        """The system and the user message of a stage.

        Raises:
            MinerError: an unknown variable, a syntax error or too long a text, with file and line.
        """
        return [{"role": role, "content": self.render(f"{message}_{role}.j2", variables)} for role in ROLES]

    def render(self, name: str, variables: Mapping[str, Any]) -> str:
        """One template's text.

        Raises:
            MinerError: as `messages`.
        """
        return self._sandbox.rendered(self._compiled[name], variables)

    def hash(self, message: str) -> str:
        """sha256 over both templates of a stage."""
        joined = "\0".join(self._text[f"{message}_{role}.j2"] for role in ROLES)
        return "sha256:" + hashlib.sha256(joined.encode()).hexdigest()

    def text(self, name: str) -> str:
        """A template as it was written."""
        return self._text[name]

    def shown(self, name: str) -> str:
        """What names a template in an error: its path, or its name where it is a shipped one."""
        return str(self._own_folder / name) if self._own_folder and name in self.own else name

    def _prepared(self) -> dict[str, Template]:
        compiled, errors = {}, []
        for name, text in self._text.items():
            try:
                compiled[name] = self._sandbox.prepared(text, self.shown(name))
            except MinerError as error:
                errors.append(str(error))
        if errors:
            raise MinerError("\n".join(errors))
        return compiled


def shipped_folder() -> Path:
    """Where the templates are: beside the packages in the source tree, inside this one when installed."""
    here = Path(__file__).resolve().parents[1]
    inside = here / "templates"
    return inside if inside.is_dir() else here.parent / "templates"


def names() -> list[str]:
    """Of all template files, in the order of the messages."""
    return [f"{message}_{role}.j2" for message in MESSAGES for role in ROLES]


def _own(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise MinerError(f"{folder}: there is no such folder of templates")
    found = {path.name: path for path in sorted(folder.glob("*.j2"))}
    unknown = sorted(found.keys() - set(names()))
    if unknown:
        raise MinerError(f"{folder / unknown[0]}: no message is rendered from it; there are {', '.join(names())}")
    return {name: _read(path) for name, path in found.items()}


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise MinerError(f"{path}: longer than {MOST_BYTES} bytes")
        return path.read_bytes().decode("utf-8-sig")  # editors on Windows put a mark at the beginning
    except UnicodeDecodeError as error:
        raise MinerError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise MinerError(f"{path}: cannot be read ({error.strerror})") from error
