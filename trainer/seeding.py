"""Random generators, one for each (seed, purpose, round, client). No global generator is used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, *path: str | int) -> int:
    """A 63-bit seed derived from the seed and every element of the path."""
    text = "/".join(str(part) for part in (seed, *path))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def torch_generator(seed: int, *path: str | int) -> torch.Generator:
    """A torch generator on the CPU, so that random numbers do not depend on the device."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *path))


def numpy_generator(seed: int, *path: str | int) -> np.random.Generator:
    """A numpy generator."""
    return np.random.default_rng(derive(seed, *path))


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global torch generator for code that can use no other (dropout), and restore it afterwards."""
    import torch

    devices: list[Any] = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield
