"""The one reader and writer of weights files: safetensors whose numbers are checked before anything uses them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedmpt.common.files import write_atomically
from trainer.errors import TrainerError

SUFFIX = ".safetensors"

FLOATS = frozenset({"F16", "BF16", "F32", "F64"})
INTEGERS = frozenset({"BOOL", "U8", "I8", "I16", "I32", "I64"})

_DIGEST = "sha256"
"""The key of the checksum in the header's metadata. It is the only key, since several have no fixed order."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU.

    Raises:
        TrainerError: the file is missing, not safetensors, or has numbers that are not finite.
    """
    return _read(path)[0]


def save_checked(path: Path, tensors: Mapping[str, Tensor], about: str = "") -> None:
    """Atomically write tensors with a checksum for `read_checked`.

    Args:
        path: a .safetensors file.
        tensors: on the CPU.
        about: what the file is, "round 12" for instance; a file with another name for it is refused by the reader.
    """
    from safetensors.torch import save

    kept = {name: value.contiguous() for name, value in tensors.items()}
    write_atomically(path, save(kept, metadata={_DIGEST: _digest(kept, about)}))


def read_checked(path: Path, about: str = "") -> dict[str, Tensor]:
    """The tensors of a file of `save_checked`.

    Raises:
        TrainerError: see `read_tensors`; or the content is not that of its checksum.
    """
    tensors, metadata = _read(path)
    if metadata.get(_DIGEST) != _digest(tensors, about):
        raise TrainerError(f"{path}: damaged (its content is not that of its checksum)")
    return tensors


def check_like(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str | None:
    """What of some tensors differs from those of a model, in name, shape or data type; None if nothing does.

    Floating-point numbers of any width count as alike where the model's are floating-point numbers.
    """
    missing, surplus = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    shared = sorted(own.keys() & tensors.keys())
    shapes = [name for name in shared if own[name].shape != tensors[name].shape]
    types = [name for name in shared if not _same_kind(own[name].dtype, tensors[name].dtype)]
    differences = (
        ("lacks", missing),
        ("has unknown", surplus),
        ("has other shapes for", shapes),
        ("has other data types for", types),
    )
    for what, names in differences:
        if names:
            return f"{what} {', '.join(names[:4])}" + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return None


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over names, dtypes, shapes and bytes, sorted by name."""
    digest = hashlib.sha256()
    for key, value in sorted(tensors.items()):
        digest.update(f"{key}/{value.dtype}/{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    if path.suffix != SUFFIX:
        raise TrainerError(f"{path}: weights are read from {SUFFIX} only (other formats can run code)")
    if not path.is_file():
        raise TrainerError(f"{path}: there is no such weights file")
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            names = file.keys()
            for name in names:
                kind = str(file.get_slice(name).get_dtype())
                if kind not in FLOATS | INTEGERS:
                    raise TrainerError(f"{path}: {name[:80]} has numbers of the type {kind}, which no model here has")
            tensors = {name: file.get_tensor(name) for name in names}
            metadata: dict[str, Any] = file.metadata() or {}
    except (SafetensorError, OSError, RuntimeError, ValueError, OverflowError) as error:
        raise TrainerError(f"{path}: not a readable safetensors file ({error})") from error
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise TrainerError(f"{path}: {name[:80]} has numbers that are not finite; the file is damaged")
    return tensors, metadata


def _digest(tensors: Mapping[str, Tensor], about: str) -> str:
    return hashlib.sha256(f"{about}\n{hash_tensors(tensors)}".encode()).hexdigest()


def _same_kind(own: torch.dtype, other: torch.dtype) -> bool:
    return own == other or (own.is_floating_point and other.is_floating_point)
