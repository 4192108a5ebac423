"""What a run was computed with: versions, the commit of the code, the processor."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any


def environment(device: str) -> dict[str, Any]:
    """Versions of what computes, the code's commit, and the processor."""
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
    """Commit of the checkout that this package runs from, and whether it was changed; None where it is no checkout."""
    here = Path(__file__).resolve().parent
    try:
        # In an installed package the folder may lie in some other project's checkout; its files are not tracked there.
        _git(here, "ls-files", "--error-unmatch", Path(__file__).name)
        commit = _git(here, "rev-parse", "HEAD")
        return {"commit": commit, "changed": bool(_git(here, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
