"""The server app: trains the run of a server's folder with the sites that take part."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

import torch
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedmpt.common.errors import FedmptError
from trainer.errors import RunFailed, TrainerError
from trainer.evaluation.comparison import sites_sentence
from trainer.federation.memory import ClientMemory
from trainer.flower.engine import RemoteEngine
from trainer.flower.facts import facts
from trainer.flower.orphans import end_with_parent
from trainer.flower.outcome import FOLDER, Outcome, write_outcome
from trainer.flower.parties import Server, party_options, party_settings, read_party
from trainer.flower.patience import Waiting
from trainer.flower.post import GridPost
from trainer.flower.proof import proved_by_keys
from trainer.preparing import Prepared
from trainer.run.folder import Run as RunFolder
from trainer.run.restoring import open_memory
from trainer.session import Run, begin

PAUSE = 5.0
"""Seconds between two looks whether another server app is at work."""

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Go on with the run, or begin it."""
    end_with_parent()
    named = os.environ.get(FOLDER)
    if named is None:
        raise TrainerError(f"{FOLDER} does not name the server's folder; start the SuperLink with it")
    folder = Path(named)
    write_outcome(folder, None)
    try:
        train(grid, folder)
    except FedmptError as error:
        write_outcome(folder, Outcome(error=str(error)[:5000]))
        raise
    write_outcome(folder, Outcome())


def train(grid: Grid, folder: Path) -> None:
    """Train and evaluate the run of a server's folder.

    Raises:
        TrainerError, RunFailed: see `Run.resume`.
    """
    server = read_party(folder / "server.toml", Server)
    torch.set_num_threads(server.threads)
    made = list[RemoteEngine]()

    def engine(run: RunFolder, prepared: Prepared, memory: ClientMemory | None) -> RemoteEngine:
        waiting = Waiting(round=server.round_seconds, late=server.late_seconds)
        own, post = facts(prepared, run.bank), GridPost(grid)
        proved, name = proved_by_keys(server.nodes), uuid.uuid4().hex
        if memory is not None:
            memory.leave_elsewhere()
        made.append(RemoteEngine(prepared, post, own, server.clients, name, waiting, proved=proved, memory=memory))
        return made[-1]

    run = opened_run(server)
    run.resume(engine=engine)
    if server.evaluation != "no":
        evaluate_at_sites(run, made[-1] if made else engine(run, run.prepared, None), server.evaluation == "scores")


def evaluate_at_sites(run: Run, engine: RemoteEngine, with_scores: bool) -> None:
    """Write sites.json: what the evaluated model reaches on the sites' own test images."""
    say, method = run.prepared.reporter.say, run.prepared.method
    evaluation = run.evaluation()
    rounds, threshold, labels = evaluation["rounds"], evaluation["test"]["threshold"], len(evaluation["label_names"])
    memory = open_memory(run, run.config().federation, method, rounds)
    say("the run is complete; its sites are asked for counts on their own test images (round_seconds at most)")
    with run.working():
        told = engine.evaluate(method.exchanged(), rounds, threshold, with_scores, labels, memory)
        run.write_json("sites.json", told)
    say(sites_sentence(run.sites()) or "no site told anything of test images of its own")


def opened_run(server: Server) -> Run:
    """The server's run: the one that is there, or a new one.

    Waits for a server app that is still at work in it: whoever started that one may have lost sight of it.
    """
    if (server.run / "config.json").is_file():
        run = Run.open(server.run, party_options(server))
        while _at_work(run):
            time.sleep(PAUSE)
        return run
    return begin(party_settings(server), server.bank, server.run, party_options(server))


def _at_work(run: Run) -> bool:
    try:
        with run.working():
            return False
    except RunFailed:
        return True
