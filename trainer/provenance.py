"""What a run rests on, as hashes: code, bank, data, who owns which image, backbone."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.data.base import Split
from trainer.data.partition import partition_hash
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from trainer.runs import Run
    from trainer.training import Prepared


def record_identity(run: Run, prepared: Prepared) -> None:
    """Write identity.json when a run begins; when it goes on, compare.

    Raises:
        TrainerError: where the data, their owners, the bank or the backbone are others than when the run began.
    """
    found = identity(run, prepared)
    before = run.identity()
    if before is None:
        run.write_json("identity.json", found)
        return
    changed = [key for key in found if found[key] != before.get(key)]
    if changed:
        raise TrainerError(f"{run.folder}: {', '.join(changed)} changed since the run began; begin a new run")


def identity(run: Run, prepared: Prepared) -> dict[str, Any]:
    """Bank, data set, partition and backbone of a run."""
    clip, dataset = prepared.method.clip, prepared.dataset
    sizes = [len(indices) for indices in owners(dataset.train)]
    return {
        "bank": _bank(run.bank),
        "data": {"name": dataset.name, "fingerprint": dataset.fingerprint},
        "partition": {
            "clients": len(sizes),
            "images": sum(sizes),
            "smallest": min(sizes, default=0),
            "largest": max(sizes, default=0),
            "hash": partition_hash(dataset.train),
        },
        "backbone": {
            "name": clip.name,
            "weights": f"sha256:{clip.weights_hash}",
            "preprocessing": clip.preprocess.identity(),
        },
    }


def owners(split: Split) -> tuple[np.ndarray, ...]:
    """For each client the indices of its images, clients in the order of their site numbers.

    Images of nobody (-1) are left out.
    """
    return tuple(np.flatnonzero(split.sites == site) for site in np.unique(split.sites[split.sites >= 0]))


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


def _bank(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    from prompt_bank.recording.store import content_hash, load

    bank = load(path).bank
    return {"name": bank.name, "revision": bank.revision, "hash": content_hash(bank)}
