"""The identity of a run: hashes of its bank, data, partition and backbone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.data.base import client_indices
from trainer.data.partition import partition_hash
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from trainer.preparing import Prepared
    from trainer.run.folder import Run


def record_identity(run: Run, prepared: Prepared) -> None:
    """Write identity.json when a run starts; compare with it when the run is resumed.

    Raises:
        TrainerError: the data, the partition, the bank or the backbone changed since the run started.
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
    sizes = [len(indices) for indices in client_indices(dataset.train)]
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


def _bank(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    from prompt_bank.recording.store import content_hash, load

    bank = load(path).bank
    return {"name": bank.name, "revision": bank.revision, "hash": content_hash(bank)}
