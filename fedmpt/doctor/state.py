"""Checks of the cache folder, the endpoint and the settings file."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fedmpt.common.check import Check, Status, expecting
from fedmpt.common.errors import FedmptError
from fedmpt.common.words import format_bytes, printable

ENDPOINT_SECONDS = 15.0
"""Time limit of asking an endpoint for its models."""


def cache(folder: Path) -> Iterator[Check]:
    """Whether the cache folder can be written, its size, and damaged entries."""
    if not folder.exists():
        yield Check("cache", Status.OK, f"{folder} does not exist yet; it is made when needed")
        return
    found: list[Check] = []
    with expecting("cache", "name another folder with --cache-dir or FEDMPT_CACHE_DIR", found):
        with tempfile.TemporaryFile(dir=folder):
            pass
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        found.append(Check("cache", Status.OK, f"{folder} can be written; {format_bytes(size)}"))
    yield from found
    if (folder / "answers").is_dir():
        yield from _answers(folder)
    if (folder / "features").is_dir():
        yield from _features(folder)


def _answers(folder: Path) -> Iterator[Check]:
    found: list[Check] = []
    with expecting("cached answers", "delete the folder `answers` in it, or name another --cache-dir", found):
        from condition_miner.answers.cache import AnswerCache
        from condition_miner.answers.files import verify

        with AnswerCache(folder) as answers:
            good, damages = verify(answers)
        if damages:
            said = f"{len(damages)} damaged, {good} whole; damaged ones are asked again when needed"
            found.append(Check("cached answers", Status.BROKEN, said, "fedmpt cache verify --drop"))
        else:
            found.append(Check("cached answers", Status.OK, f"{good} answers are whole"))
    yield from found


def _features(folder: Path) -> Iterator[Check]:
    found: list[Check] = []
    with expecting("cached features", "delete the folder `features` in it; it is computed again", found):
        from trainer.data.feature_entry import cached_entries

        entries = cached_entries(folder)
        damaged = {entry: problem for entry, problem in entries.items() if problem}
        if damaged:
            listed = "; ".join(f"{entry.name}: {problem}" for entry, problem in damaged.items())
            remedy = "delete these folders; they are computed again"
            found.append(Check("cached features", Status.BROKEN, listed, remedy))
        else:
            found.append(Check("cached features", Status.OK, f"{len(entries)} entries are whole"))
    yield from found


def endpoint() -> Iterator[Check]:
    """Whether the language model's server answers, and whether it offers FEDMPT_MODEL. Never shows the key."""
    if not os.environ.get("OPENAI_BASE_URL"):
        yield Check("endpoint", Status.NOTE, "OPENAI_BASE_URL is not set; mining needs a server, training does not")
        return
    try:
        yield from _models()
    except FedmptError as error:
        yield Check("endpoint", Status.BROKEN, without_key(str(error)), "docs/endpoints.md")


def _models() -> Iterator[Check]:
    from condition_miner.model.address import Address
    from condition_miner.model.resolving import connect
    from condition_miner.settings import ServiceSettings

    address = Address.resolve(None)

    async def listed() -> list[str]:
        async with connect(address, ServiceSettings(timeout=ENDPOINT_SECONDS)) as server:
            return await server.models()

    models = asyncio.run(listed())
    shown = ", ".join(models[:10]) + (f" and {len(models) - 10} more" if len(models) > 10 else "")
    said = without_key(f"{address.display} offers {shown or 'no models'}")
    wanted = os.environ.get("FEDMPT_MODEL")
    if wanted and wanted not in models:
        remedy = "unset FEDMPT_MODEL, or set it to one of them"
        yield Check("endpoint", Status.BROKEN, f"{said}, but not FEDMPT_MODEL={printable(wanted)}", remedy)
    else:
        yield Check("endpoint", Status.OK if models else Status.BROKEN, said, "" if models else "start it with a model")


def settings_file() -> Iterator[Check]:
    """Whether ./fedmpt.toml, which fedmpt train reads, is valid."""
    path = Path("fedmpt.toml")
    if not path.is_file():
        return
    from trainer.resolving import resolve

    try:
        resolve(path)
        yield Check("settings", Status.OK, f"{path} is valid")
    except FedmptError as error:
        yield Check("settings", Status.BROKEN, str(error), f"change {path}; fedmpt settings lists what there is")


def without_key(text: str) -> str:
    """The text without the key, which a server may repeat, and without control characters."""
    key = os.environ.get("OPENAI_API_KEY")
    return printable(text.replace(key, "…") if key else text)
