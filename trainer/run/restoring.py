"""Load a run's checkpoints, with the client states, into a method."""

from __future__ import annotations

from trainer.config.sections import FederationConfig
from trainer.errors import TrainerError
from trainer.federation.memory import ClientMemory, stateful_clients
from trainer.methods.federated import FederatedModule
from trainer.run.folder import Run


def create_memory(run: Run, settings: FederationConfig, method: FederatedModule) -> None:
    """Create the client memory before round 0; does nothing for stateless clients."""
    if not stateful_clients(settings, method):
        return
    memory = ClientMemory(run.clients)
    if method.personal:
        memory.save_start(method.personal_start)
    memory.commit(0)


def open_memory(run: Run, settings: FederationConfig, method: FederatedModule, rounds: int) -> ClientMemory | None:
    """The client memory at a checkpoint; later client states are deleted. None for stateless clients.

    Sets the method's initial personal parts to those of the run.

    Raises:
        TrainerError: the memory is missing or damaged.
    """
    if not stateful_clients(settings, method):
        return None
    memory = ClientMemory.open(run.clients, rounds)
    memory.sweep(run.checkpoints())
    if method.personal:
        method.personal_start = memory.start()
    return memory


def restore(run: Run, method: FederatedModule, which: str = "last", client: int | None = None) -> int:
    """Load a checkpoint into a method.

    Args:
        run: the run.
        method: built from the run's settings.
        which: see `Run.load_checkpoint`.
        client: the client whose personal parts are loaded; None for the initial ones, which gives the global model.

    Returns:
        The checkpoint's number of rounds.

    Raises:
        TrainerError: no such checkpoint, a checkpoint of another method, a client without personal parts, or
            unreadable files.
    """
    rounds, state = run.load_checkpoint(which)
    memory = ClientMemory.open(run.clients, rounds) if method.personal else ClientMemory(run.clients)
    if client is not None and memory.elsewhere:
        raise TrainerError(
            f"{run.folder}: client {client}'s own parts are at its site; there: fedmpt federation own-model site.toml …"
        )
    saved = None if client is None else memory.load(client)
    if client is not None and saved is None:
        listed = ", ".join(str(known) for known in memory.clients()[:20]) or "none"
        raise TrainerError(f"{run.folder}: client {client} has no personal parts after {rounds} rounds; have: {listed}")
    try:
        if method.personal:
            method.personal_start = memory.start()
        method.receive(state, saved.personal if saved else None)
    except ValueError as error:
        raise TrainerError(f"{run.folder}: the weights are not of this model ({error})") from error
    return rounds


def clients_with_personal_parts(run: Run, method: FederatedModule, rounds: int) -> list[int]:
    """The clients with personal parts at a checkpoint, ascending; none if those are at the clients' own sites."""
    memory = ClientMemory(run.clients)
    return ClientMemory.open(run.clients, rounds).clients() if method.personal and not memory.elsewhere else []


def parts_are_elsewhere(run: Run, method: FederatedModule) -> bool:
    """Whether the clients' personal parts are at their own sites."""
    return bool(method.personal) and ClientMemory(run.clients).elsewhere is not None
