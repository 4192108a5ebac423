"""Which program serves a model, and how it is told to: vLLM, or llama.cpp's llama-server."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from condition_miner.errors import MinerError
from fedmpt.common.files import expanded
from fedmpt.common.words import printable

Kind = Literal["vllm", "llama-server"]
KEY_VARIABLES: dict[Kind, str] = {"vllm": "VLLM_API_KEY", "llama-server": "LLAMA_API_KEY"}
"""Where each engine takes its key from. An option would show it to everybody who may list processes."""
SLOTS, CONTEXT = 4, 4096
"""Of llama-server: requests at once, and the tokens of each."""
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(:[\w.-]+)?")
INSTALL = (
    "install vLLM (pip install vllm, in an environment of its own) or llama.cpp (llama-server), so that its program is "
    "found on the PATH, or name the program with --engine"
)


@dataclass(frozen=True)
class ServedModel:
    """A model to serve.

    Attributes:
        source: a file or folder, or a name on the hub.
        form: what it is; "quantised" is a name on the hub with a quantisation behind a colon.
        name: under which it is asked; answers are kept under it, so it doesn't depend on the folder.
    """

    source: str
    form: Literal["gguf", "folder", "hub", "quantised"]
    name: str

    @classmethod
    def resolve(cls, source: str, name: str | None = None) -> ServedModel:
        """The model that a user names.

        Raises:
            MinerError: it is neither a file, nor a folder, nor a name on the hub.
        """
        path = expanded(Path(source))
        if path.is_file() and path.suffix == ".gguf":
            return cls(str(path.resolve()), "gguf", name or path.stem)
        if path.is_dir() and (path / "config.json").is_file():
            return cls(str(path.resolve()), "folder", name or path.resolve().name)
        if path.exists():
            raise MinerError(f"--serve {printable(source)}: neither a .gguf file nor a folder with config.json")
        if not _HUB.fullmatch(source) or source.endswith(".gguf"):
            raise MinerError(
                f"--serve {printable(source)}: no such file; name a .gguf file, a model's folder, or OWNER/NAME on the "
                "hub (OWNER/NAME:Q4_K_M for a quantised one)"
            )
        return cls(source, "quantised" if ":" in source else "hub", name or source)


@dataclass(frozen=True)
class EngineProgram:
    """An engine's program.

    Attributes:
        kind: which engine it is.
        path: of its program.
    """

    kind: Kind
    path: str

    def words(self, model: ServedModel, port: int, more: list[str]) -> list[str]:
        """The command that serves a model on a loopback port.

        Args:
            model: the model.
            port: the port.
            more: the user's own words, which come last, so that they win.
        """
        here = ["--host", "127.0.0.1", "--port", str(port)]
        if self.kind == "vllm":
            return [self.path, "serve", model.source, "--served-model-name", model.name, *here, *more]
        where = "-m" if model.form == "gguf" else "-hf"
        slots = ["-c", str(CONTEXT * SLOTS), "-np", str(SLOTS)]
        return [self.path, where, model.source, "--alias", model.name, *here, *slots, *more]

    def environment(self, key: str) -> dict[str, str]:
        """The environment of the program: this process's, with its key and without that of other services."""
        kept = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
        return {**kept, KEY_VARIABLES[self.kind]: key}


def find_engine(
    model: ServedModel, named: Path | None = None, which: Callable[[str], str | None] | None = None
) -> EngineProgram:
    """The program that serves a model: the named one, else vLLM, else llama-server, as far as they read its form.

    Args:
        model: the model.
        named: by --engine.
        which: finds a program; None for `installed`.

    Raises:
        MinerError: there is none that can serve the model.
    """
    if named is not None:
        program = _named(named)
        if program.kind not in readers(model):
            raise MinerError(f"{named} does not read {model.source}; {' or '.join(readers(model))} does")
        return program
    for kind in readers(model):
        found = (which or installed)(kind)
        if found is not None:
            return EngineProgram(kind, found)
    raise MinerError(f"--serve: no {' and no '.join(readers(model))} was found, which {model.source} needs; {INSTALL}")


def readers(model: ServedModel) -> tuple[Kind, ...]:
    """The engines that read a model of this form, the faster one first."""
    if model.form in ("gguf", "quantised"):
        return ("llama-server",)
    return ("vllm",) if model.form == "folder" else ("vllm", "llama-server")


def installed(name: str) -> str | None:
    """A program on the PATH, or beside this Python."""
    beside = str(Path(sys.executable).parent)
    return shutil.which(name) or shutil.which(name, path=beside)


def _named(named: Path) -> EngineProgram:
    path = expanded(named)
    if not path.is_file() or not os.access(path, os.X_OK):
        raise MinerError(f"--engine {named}: no program; name the file of vllm or llama-server")
    kinds: dict[str, Kind] = {"vllm": "vllm", "llama": "llama-server"}
    kind = next((kind for part, kind in kinds.items() if part in path.name.lower()), None)
    if kind is None:
        raise MinerError(f"--engine {named}: its name must have vllm or llama-server in it, which says what it is")
    return EngineProgram(kind, str(path.absolute()))
