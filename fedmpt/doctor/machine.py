"""Checks of packages, GPU, weights and disk space."""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from urllib.request import Request, urlopen

from fedmpt.common.check import Check, Status, expecting
from fedmpt.common.words import format_bytes

SHOWN = ("fedmpt", "torch", "open_clip_torch", "transformers", "numpy")
"""Packages whose versions are printed."""
HUB_SECONDS = 5.0
"""Time limit of asking whether the hub can be reached."""
LITTLE_SPACE, NO_SPACE = 2_000_000_000, 100_000_000
"""Free bytes below which there is a note, and below which training cannot work."""


def packages() -> Iterator[Check]:
    """Versions, and the packages that are required but absent."""
    missing = [name for name in _required() if _version(name) is None]
    shown = ", ".join(f"{name} {_version(name)}" for name in SHOWN if _version(name))
    if missing:
        yield Check("packages", Status.BROKEN, f"missing: {', '.join(missing)}", "pip install fedmpt")
    else:
        yield Check("packages", Status.OK, f"Python {platform.python_version()}, {shown}")


def gpu() -> Iterator[Check]:
    """Whether CUDA computes."""
    found: list[Check] = []
    with expecting("gpu", "repair the driver, or train with --device cpu", found):
        import torch

        if torch.cuda.is_available():
            free, total = torch.cuda.mem_get_info()
            ones = torch.ones(64, 64, device="cuda")
            if float((ones @ ones).sum()) != 64**3:
                raise ArithmeticError(f"{torch.cuda.get_device_name()} multiplies matrices wrongly")
            name = torch.cuda.get_device_name()
            found.append(Check("gpu", Status.OK, f"{name}, {format_bytes(free)} of {format_bytes(total)} free"))
        else:
            found.append(Check("gpu", Status.NOTE, f"none; {torch.get_num_threads()} CPU threads are used"))
    yield from found


def weights() -> Iterator[Check]:
    """Whether the shipped weights are whole, and whether others can be fetched."""
    found: list[Check] = []
    with expecting("shipped weights", "reinstall fedmpt", found):
        from trainer.backbone.load import SHIPPED, load_backbone

        load_backbone(SHIPPED, None)
        found.append(Check("shipped weights", Status.OK, f"{SHIPPED} is whole"))
    yield from found
    from huggingface_hub import constants

    own = "pass your own file with --pretrained FILE.safetensors"
    if constants.HF_HUB_OFFLINE:
        yield Check("other weights", Status.NOTE, "HF_HUB_OFFLINE is set: only those fetched before are found", own)
        return
    try:
        with urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=HUB_SECONDS):  # noqa: S310
            yield Check("other weights", Status.OK, f"{constants.ENDPOINT} can be reached")
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        yield Check("other weights", Status.NOTE, f"{constants.ENDPOINT} cannot be reached ({reason})", own)


def disk(folder: Path) -> Iterator[Check]:
    """The free space for runs, and for the cache where that is another disk."""
    places = {"disk space here": Path.cwd(), "disk space of the cache": _existing(folder)}
    if len({place.stat().st_dev for place in places.values()}) == 1:
        del places["disk space of the cache"]
    for name, place in places.items():
        free = shutil.disk_usage(place).free
        status = Status.OK if free >= LITTLE_SPACE else Status.NOTE if free >= NO_SPACE else Status.BROKEN
        remedy = "" if status is Status.OK else "free some, name another --cache-dir, or train with --no-feature-cache"
        yield Check(name, status, f"{format_bytes(free)} free", remedy)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())


def _required() -> list[str]:
    """The packages that fedmpt requires, without those of extras."""
    try:
        listed = requires("fedmpt") or []
    except PackageNotFoundError:
        return []
    names = [re.match(r"[\w.-]+", line) for line in listed if "extra ==" not in line]
    return [name[0] for name in names if name]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
