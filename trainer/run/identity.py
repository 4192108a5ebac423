"""The identity of a run: hashes of its bank, data, partition and backbone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.backbone.load import RecordedWeights
from trainer.data.base import client_indices
from trainer.data.partition import check_partition, partition_hash
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from trainer.preparing import Prepared
    from trainer.run.folder import Run


def record_identity(run: Run, prepared: Prepared) -> None:
    """Write identity.json when a run starts; check it when the run is resumed.

    Raises:
        TrainerError: see `check_identity`.
    """
    if run.identity() is None:
        check_partition(run.partition, prepared.dataset)
        run.write_json("identity.json", identity(run, prepared))
    else:
        check_identity(run, prepared)


def check_identity(run: Run, prepared: Prepared) -> None:
    """Check that a run's data, partition, bank and backbone are those with which it was trained.

    Everything that reads a trained run with data calls it: with other data the splits are drawn anew, and images that
    were trained on can be among the test images.

    Raises:
        TrainerError: something changed since the run started, or the run has not started.
    """
    before = run.recorded_identity()
    check_partition(run.partition, prepared.dataset)
    found = identity(run, prepared)
    changed = [key for key in found if found[key] != before.get(key)]
    if changed:
        raise TrainerError(
            f"{run.folder}: {', '.join(changed)} changed since the run began (identity.json); "
            "bring back what it was trained with, or begin a new run"
        )


def recorded_weights(run: Run, given: str | None = None) -> RecordedWeights:
    """The backbone's weights that a run recorded, to load them again.

    Args:
        run: the run.
        given: where the user says that they are.
    """
    recorded = run.identity()
    return RecordedWeights(None if recorded is None else recorded["backbone"]["weights"], given)


def check_bank(run: Run) -> None:
    """Check that a run's copy of its bank is the one with which it was trained.

    Raises:
        TrainerError: it changed, or the run has not started.
    """
    if _bank(run.bank) != run.recorded_identity()["bank"]:
        raise TrainerError(f"{run.folder / 'bank.json'}: changed since the run began (identity.json); restore it")


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
