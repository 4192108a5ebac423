"""What tuning will do, in words."""

from __future__ import annotations

from collections.abc import Iterator

from fedmpt.common.words import format_duration
from trainer.config.space import SearchSpace
from trainer.errors import TrainerError
from trainer.estimate import expected_time
from trainer.plans import plan_line, plan_of
from trainer.preparing import Prepared
from trainer.run_config import RunConfig
from trainer.tuning.space import space_of, value_of


def expectations(config: RunConfig, prepared: Prepared, given: SearchSpace, tries: int) -> Iterator[str]:
    """Everything that `--dry-run` prints: the space, the plan of a try, the expected time of all.

    Raises:
        TrainerError: a method that trains nothing, or a wrong space.
    """
    if not prepared.method.trainable():
        raise TrainerError(f"method {config.method.name} trains nothing, so there is nothing to tune")
    for key, dimension in space_of(config, given).items():
        yield f"{key}: {dimension} (as given: {value_of(config, key)})"
    yield f"each of {tries} tries: {plan_line(prepared)}"
    found = expected_time(prepared, plan_of(prepared))
    encoding = f", and {format_duration(found.encoding)} for features that are not cached" if found.encoding else ""
    training = format_duration(tries * found.training)
    yield f"expected: at most {training} of training{encoding} (less if tries are pruned)"
