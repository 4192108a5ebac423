"""Choose rounds and batch size from the data, and say how many steps they make.

The rules keep what was chosen on the drawn world `scenes` (1,800 training images at six sites: batches of 50, 12
rounds) and carry it over to less data: as many steps a round, and as many images seen in all. With more data, neither
number falls below that of `scenes`. Measured in docs/training.md.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from trainer.config.settings import AUTO, settled
from trainer.data.base import Split, client_indices
from trainer.federation.rounds import clients_per_round
from trainer.run_config import RunConfig

STEPS_A_ROUND = 6
"""Updates that a site of median size makes in an epoch, as long as that leaves a batch between the two sizes below."""
SMALLEST_BATCH, LARGEST_BATCH = 8, 50
LEAST_ROUNDS, MOST_ROUNDS = 12, 200
IMAGES_IN_ALL = 12 * 1800
"""Images that all sites together see over all rounds, counted each time."""


@dataclass(frozen=True)
class Plan:
    """The training steps of a run.

    Attributes:
        clients: K, of which `sampled` train in each round.
        images: of all clients.
        rounds, batch_size: as settled.
        steps_a_round: updates of the client of median size in a round, and of the largest.
        steps: updates in all, of all clients together (of the clients that are expected to be sampled).
    """

    clients: int
    sampled: int
    images: int
    rounds: int
    batch_size: int
    steps_a_round: tuple[int, int]
    steps: int


def settle(config: RunConfig, train: Split) -> RunConfig:
    """The settings with numbers in place of "auto"; depends on nothing but the settings and the clients' sizes.

    Args:
        config: of the run.
        train: the training images with their owners.
    """
    sizes = [len(owned) for owned in client_indices(train)]
    federation, optimiser = config.federation, config.optimiser
    if federation.rounds == AUTO:
        rounds = _rounds(config, sum(sizes))
        limit = max(rounds // 3, LEAST_ROUNDS) if federation.patience == AUTO else federation.patience
        federation = federation.model_copy(update={"rounds": rounds, "patience": limit})
    elif federation.patience == AUTO:
        federation = federation.model_copy(update={"patience": None})
    if optimiser.batch_size == AUTO:
        optimiser = optimiser.model_copy(update={"batch_size": _batch_size(sizes)})
    return config.model_copy(update={"federation": federation, "optimiser": optimiser})


def plan(config: RunConfig, train: Split, trainable: int) -> Plan:
    """The steps of a run with settled settings.

    Args:
        config: of the run.
        train: the training images with their owners.
        trainable: the method's number of trained parameters; without any there are no rounds.
    """
    sizes = [len(owned) for owned in client_indices(train)]
    rounds = settled(config.federation.rounds, "federation.rounds") if trainable else 0
    batch = settled(config.optimiser.batch_size, "optimiser.batch_size")
    sampled = clients_per_round(len(sizes), config.federation.participation)
    steps = [config.federation.local_epochs * math.ceil(n / (batch * config.optimiser.accumulation)) for n in sizes]
    return Plan(
        clients=len(sizes),
        sampled=sampled,
        images=sum(sizes),
        rounds=rounds,
        batch_size=batch,
        steps_a_round=(round(statistics.median(steps)), max(steps)),
        steps=round(rounds * sum(steps) * sampled / len(sizes)),
    )


def _batch_size(sizes: list[int]) -> int:
    wanted = round(statistics.median(sizes) / STEPS_A_ROUND)
    return min(max(wanted, SMALLEST_BATCH), LARGEST_BATCH)


def _rounds(config: RunConfig, images: int) -> int:
    seen = max(images, 1) * config.federation.participation * config.federation.local_epochs
    return min(max(round(IMAGES_IN_ALL / seen), LEAST_ROUNDS), MOST_ROUNDS)
