"""Training through Flower's simulation on one machine: a Ray actor for each client that trains at the same time."""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from trainer.data.base import client_indices
from trainer.errors import TrainerError
from trainer.federation.memory import ClientMemory, stateful_clients
from trainer.flower.engine import RemoteEngine
from trainer.flower.facts import facts
from trainer.flower.installed import require_flower
from trainer.flower.patience import SIMULATED
from trainer.flower.post import GridPost, from_records, to_records
from trainer.flower.site import Site
from trainer.options import Options
from trainer.preparing import Prepared
from trainer.progress import Progress
from trainer.run.folder import Run as RunFolder
from trainer.session import Run

if TYPE_CHECKING:
    from flwr.app import Context, Message
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid

OBJECT_STORE = 256 * 2**20
"""Bytes of shared memory that Ray sets aside; states are much smaller."""


def resume_in_simulation(run: Run, checkpoint: str = "last", track: Iterable[str] = ()) -> dict[str, Any]:
    """As `Run.resume`, with clients that train in Flower's simulation.

    Returns:
        The content of evaluation.json.

    Raises:
        TrainerError, RunFailed: see `Run.resume`; Flower is not installed.
    """
    require_flower()
    from flwr.serverapp import ServerApp
    from flwr.simulation import run_simulation

    # Its messages about messages; what matters is said by us.
    logging.getLogger("flwr").setLevel(logging.ERROR)
    threads, stop, result = torch.get_num_threads(), threading.Event(), dict[str, Any]()
    run.prepared.features(run.prepared.dataset.train)  # cached before several actors need them
    app = ServerApp()

    @app.main()
    def serve(grid: Grid, context: Context) -> None:
        torch.set_num_threads(threads)  # OpenMP counts for each thread

        def engine(folder: RunFolder, prepared: Prepared, memory: ClientMemory | None) -> RemoteEngine:
            own, clients = facts(prepared, folder.bank), len(client_indices(prepared.dataset.train))
            post, name = GridPost(grid), uuid.uuid4().hex
            return RemoteEngine(prepared, post, own, clients, name, SIMULATED, stop.is_set, memory=memory)

        result.update(run.resume(checkpoint, track, engine))

    where = Where(run.folder.absolute(), replace(run.options, progress=Progress()), threads)
    clients = len(client_indices(run.prepared.dataset.train))
    try:
        run_simulation(app, client_app(where), clients, backend_config=_resources(run.prepared, threads))
    except BaseException:
        stop.set()
        raise
    if not result:
        raise TrainerError(f"{run.folder}: Flower's simulation ended before the run did; go on with --resume")
    return result


@dataclass(frozen=True)
class Where:
    """Where an actor finds the run.

    Attributes:
        folder: of the run.
        options: how to load it.
        threads: torch's.
    """

    folder: Path
    options: Options
    threads: int


def client_app(where: Where) -> ClientApp:
    """The app that runs in each actor; `partition-id` is the client's number."""
    from flwr.app import Message
    from flwr.clientapp import ClientApp

    app = ClientApp()

    def answer(message: Message, context: Context) -> Message:
        client = int(str(context.node_config["partition-id"]))
        found = _site(where).answer(client, from_records(message.content))
        return Message(to_records(found), reply_to=message)

    app.query()(answer)
    app.train()(answer)
    app.evaluate()(answer)
    return app


_SITES: dict[Path, Site] = {}


def _site(where: Where) -> Site:
    """The actor's site, which holds all clients; loaded at its first message."""
    folder = where.folder
    if folder not in _SITES:
        torch.set_num_threads(where.threads)
        run = Run.open(folder, where.options)
        prepared, memory = run.prepared, None
        if stateful_clients(prepared.config.federation, prepared.method):
            memory = ClientMemory(run.clients)
            prepared.method.personal_start = memory.start()
        owned = dict(enumerate(client_indices(prepared.dataset.train)))
        _SITES[folder] = Site(prepared, facts(prepared, run.bank), owned, where.threads, memory=memory)
    return _SITES[folder]


def _resources(prepared: Prepared, threads: int) -> Any:
    """As many actors as the machine's cores allow, each with torch's number of threads; one for each GPU."""
    cores = os.cpu_count() or 1
    on_gpu = prepared.method.clip.device.type == "cuda"
    return {
        "init_args": {"num_cpus": cores, "object_store_memory": OBJECT_STORE, "log_to_driver": False},
        "client_resources": {"num_cpus": min(threads, cores), "num_gpus": 1.0 if on_gpu else 0.0},
    }
