"""The prompt templates, and the messages rendered from them.

Labels and descriptions are untrusted text. They are written only as JSON inside a <data> block, whose tags that JSON
cannot contain (filter `data`, sandbox.py), and the system message declares the block to be data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Template

from condition_miner.errors import MinerError
from condition_miner.messages.sandbox import MAX_CHARACTERS, Sandbox
from condition_miner.settings import MESSAGES_BY_STAGE, WITHOUT_TEMPLATE

MESSAGES = tuple(m for messages in MESSAGES_BY_STAGE.values() for m in messages if m not in WITHOUT_TEMPLATE)
"""The messages that are rendered from templates."""
ROLES = ("system", "user")
ABOUT = "about"
"""What is added to every system message where it is known what the images are."""
TEMPLATES: dict[str, tuple[str, ...]] = {
    **{message: tuple(f"{message}_{role}.j2" for role in ROLES) for message in MESSAGES},
    ABOUT: (f"{ABOUT}_system.j2",),
}
"""The files of each message's templates, and that of ABOUT."""
MAX_TEMPLATE_BYTES = 4 * MAX_CHARACTERS
"""The largest template file."""


class PromptTemplates:
    """The templates of all messages, one per message and role, and the one that says what the images are.

    Args:
        folder: custom templates, which override shipped ones of the same name; None for the shipped ones.

    Attributes:
        custom: names of the custom templates.

    Raises:
        MinerError: the folder is missing, or has a file of an unknown name, not in UTF-8, or with invalid syntax; with
            file and line number.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._text = {name: (shipped_folder() / name).read_text(encoding="utf-8") for name in template_names()}
        custom = _read_custom(folder) if folder is not None else {}
        self._text |= custom
        self.custom, self._custom_folder = tuple(custom), folder
        self._sandbox = Sandbox()
        self._compiled = self._compile_all()

    def messages(self, message: str, variables: Mapping[str, Any], about: str = "") -> list[dict[str, str]]:
        """The system and the user message, rendered.

        Args:
            message: its name.
            variables: of its templates.
            about: what the images are; "" adds nothing.

        Raises:
            MinerError: unknown variable, or a limit is exceeded; with file and line number.
        """
        system, user = (self.render(name, variables) for name in TEMPLATES[message])
        if about:
            system = f"{system}\n{self.render(TEMPLATES[ABOUT][0], {'about': about})}"
        return [{"role": role, "content": text} for role, text in zip(ROLES, (system, user), strict=True)]

    def render(self, name: str, variables: Mapping[str, Any]) -> str:
        """The rendered text of a template.

        Raises:
            MinerError: as `messages`.
        """
        return self._sandbox.render_template(self._compiled[name], variables)

    def hash(self, message: str, about: str = "") -> str:
        """SHA-256 of the templates from which a message is rendered. It is part of the cache key."""
        names = (*TEMPLATES[message], *(TEMPLATES[ABOUT] if about else ()))
        joined = "\0".join(self._text[name] for name in names)
        return "sha256:" + hashlib.sha256(joined.encode()).hexdigest()

    def text(self, name: str) -> str:
        """The source of a template."""
        return self._text[name]

    def display_name(self, name: str) -> str:
        """The name of a template in errors: the path of a custom one, the file name of a shipped one."""
        return str(self._custom_folder / name) if self._custom_folder and name in self.custom else name

    def _compile_all(self) -> dict[str, Template]:
        compiled, errors = {}, []
        for name, text in self._text.items():
            try:
                compiled[name] = self._sandbox.compile_template(text, self.display_name(name))
            except MinerError as error:
                errors.append(str(error))
        if errors:
            raise MinerError("\n".join(errors))
        return compiled


def shipped_folder() -> Path:
    """The folder of the shipped templates: in this package if installed, else at the top of the source tree."""
    here = Path(__file__).resolve().parents[1]
    inside = here / "templates"
    return inside if inside.is_dir() else here.parent / "templates"


def template_names() -> list[str]:
    """The file names of all templates, in the order of the messages."""
    return [name for names in TEMPLATES.values() for name in names]


def _read_custom(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise MinerError(f"{folder}: there is no such folder of templates")
    found = {path.name: path for path in sorted(folder.glob("*.j2"))}
    unknown = sorted(found.keys() - set(template_names()))
    if unknown:
        raise MinerError(
            f"{folder / unknown[0]}: no message is rendered from it; there are {', '.join(template_names())}"
        )
    return {name: _read(path) for name, path in found.items()}


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_TEMPLATE_BYTES:
            raise MinerError(f"{path}: longer than {MAX_TEMPLATE_BYTES} bytes")
        return path.read_bytes().decode("utf-8-sig")  # Windows editors write a byte order mark
    except UnicodeDecodeError as error:
        raise MinerError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise MinerError(f"{path}: cannot be read ({error.strerror})") from error
