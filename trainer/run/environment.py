"""The software and hardware environment of a run."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any


def environment(device: str) -> dict[str, Any]:
    """Package versions, commit of the code, and device."""
    import torch

    packages = ("fedmpt", "torch", "open_clip_torch", "numpy", "POT", "safetensors")
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "code": code_revision(),
        "device": device,
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
    }


def code_revision() -> dict[str, Any] | None:
    """The commit of the package's checkout, and whether it has local changes; None if it is not a checkout."""
    here = Path(__file__).resolve().parent
    try:
        # An installed package may lie inside another project's checkout, which does not track this file.
        _git(here, "ls-files", "--error-unmatch", Path(__file__).name)
        commit = _git(here, "rev-parse", "HEAD")
        return {"commit": commit, "changed": bool(_git(here, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
