"""A run's checkpoint back in a method, with what clients kept."""

from __future__ import annotations

from trainer.config.sections import FederationConfig
from trainer.errors import TrainerError
from trainer.federation.memory import ClientMemory, remembers
from trainer.methods.federated import FederatedModule
from trainer.run.folder import Run


def begin_memory(run: Run, settings: FederationConfig, method: FederatedModule) -> None:
    """Before round 0: make the memory of clients that have no past yet; nothing where they keep nothing."""
    if not remembers(settings, method):
        return
    memory = ClientMemory(run.clients)
    if method.personal:
        memory.save_start(method.personal_start)
    memory.commit(0)


def open_memory(run: Run, settings: FederationConfig, method: FederatedModule, rounds: int) -> ClientMemory | None:
    """What clients kept as of a checkpoint, without what came after it; None where they keep nothing.

    The method's personal parts start from what the run's did.

    Raises:
        TrainerError: where it is missing or damaged.
    """
    if not remembers(settings, method):
        return None
    memory = ClientMemory.open(run.clients, rounds)
    memory.sweep(run.checkpoints())
    if method.personal:
        method.personal_start = memory.start()
    return memory


def restore(run: Run, method: FederatedModule, which: str = "last", client: int | None = None) -> int:
    """Load a checkpoint into a method.

    Args:
        run: whose.
        method: of the run's settings.
        which: see `Run.load_checkpoint`.
        client: whose personal parts; None: those that clients start from, which is the global model.

    Returns:
        The checkpoint's rounds.

    Raises:
        TrainerError: no such checkpoint, one of another method, a client that has no personal parts, or files that
            cannot be read.
    """
    rounds, state = run.load_checkpoint(which)
    memory = ClientMemory.open(run.clients, rounds) if method.personal else ClientMemory(run.clients)
    past = None if client is None else memory.load(client)
    if client is not None and past is None:
        listed = ", ".join(str(known) for known in memory.clients()[:20]) or "none"
        raise TrainerError(f"{run.folder}: client {client} has no personal parts after {rounds} rounds; have: {listed}")
    try:
        if method.personal:
            method.personal_start = memory.start()
        method.receive(state, past.personal if past else None)
    except ValueError as error:
        raise TrainerError(f"{run.folder}: the weights are not of this model ({error})") from error
    return rounds


def clients_with_parts(run: Run, method: FederatedModule, rounds: int) -> list[int]:
    """The clients that have personal parts at a checkpoint, ascending."""
    return ClientMemory.open(run.clients, rounds).clients() if method.personal else []
