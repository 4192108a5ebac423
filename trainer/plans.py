"""What training will do, in words: clients, steps, expected time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fedmpt.common.words import format_duration

if TYPE_CHECKING:
    from trainer.planning import Plan
    from trainer.preparing import Prepared


def plan_of(prepared: Prepared) -> Plan:
    """The plan of a prepared run."""
    from trainer.planning import plan

    return plan(prepared.config, prepared.dataset.train, prepared.method.trainable())


def plan_line(prepared: Prepared) -> str:
    """Clients, batches, steps a round and in all."""
    found = plan_of(prepared)
    clients = f"{found.clients} clients by {prepared.dataset.partition}, {found.images:,} training images"
    if not found.rounds:
        return f"{clients}; nothing is trained"
    usual, most = found.steps_a_round
    some = "" if found.sampled == found.clients else f" of {found.sampled} clients"
    return (
        f"{clients}; batches of {found.batch_size}: {_steps(usual)} a round at a client"
        f"{'' if most == usual else f' (at most {most})'}, {found.rounds} rounds{some}, {found.steps:,} steps in all"
    )


def expectations(prepared: Prepared) -> Iterator[str]:
    """Everything that `--dry-run` prints."""
    from trainer.estimate import expected_time

    yield plan_line(prepared)
    found = expected_time(prepared, plan_of(prepared))
    encoding = f", and {format_duration(found.encoding)} for features that are not cached" if found.encoding else ""
    yield f"expected: {format_duration(found.training)} of training{encoding} (from a few steps on this machine)"


def _steps(count: int) -> str:
    return f"{count} step" if count == 1 else f"{count} steps"
