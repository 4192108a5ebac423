"""Give a run more rounds."""

from __future__ import annotations

from typing import Any

from trainer.errors import TrainerError
from trainer.run.folder import Run
from trainer.run.records import read_record
from trainer.run_config import RunConfig


def extend(run: Run, rounds: int, checkpoint: str = "last") -> list[str]:
    """Set a run's number of rounds in its config.json; nothing is trained yet.

    Args:
        run: the run.
        rounds: in all, from round 0 on.
        checkpoint: from which the run goes on.

    Returns:
        Notes for users: why figures can differ from those of a run that had so many rounds from the start.

    Raises:
        RunFailed: another process is at work in the run.
        TrainerError: the checkpoint is not there, or has more rounds already.
    """
    with run.working():
        content: dict[str, Any]
        content, config = read_record(run.folder / "config.json", RunConfig)
        done = run.load_checkpoint(checkpoint)[0] if run.checkpoints() else 0
        if rounds < done:
            raise TrainerError(
                f"{run.folder}: it has {done} of its rounds already, so --rounds {rounds} leaves nothing to do; ask "
                "for more, or name an earlier --checkpoint"
            )
        before, limit = config.federation.rounds, config.federation.patience
        notes = []
        waited = max((line["rounds"] for line in run.metrics()), default=0) - run.best()
        if isinstance(limit, int) and done and waited >= limit:
            content["federation"]["patience"] = None
            notes.append(f"the run had stopped for federation.patience={limit}; it now runs all of its rounds")
        if rounds != before and done and config.optimiser.schedule != "constant":
            notes.append(
                f"the learning rate falls over all rounds ({config.optimiser.schedule}): rounds 1 to {done} had the "
                f"schedule of {before} rounds, the others have that of {rounds}, so figures differ from those of "
                f"{rounds} rounds from the start; --checkpoint 0 trains it from there"
            )
        content["federation"]["rounds"] = rounds
        run.write_json("config.json", content)
    return notes
