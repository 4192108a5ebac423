"""The training loop of a run: rounds, validation, metrics, checkpoints."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from fedmpt.common.words import format_bytes
from trainer.config.settings import settled
from trainer.data.base import client_indices
from trainer.evaluation.measuring import diagnose
from trainer.evaluation.metrics import Metrics
from trainer.evaluation.validation import validate
from trainer.federation.aggregation.registry import Aggregation, choose_rule, memory_note
from trainer.federation.client import ClientTrainer, check_compiled
from trainer.federation.local import LocalEngine
from trainer.federation.memory import ClientMemory
from trainer.federation.optimiser import client_state_bytes
from trainer.federation.rounds import Engine, RoundContext, RoundRecord, clients_per_round, run_round, sample_clients
from trainer.preparing import Prepared
from trainer.run.folder import Run
from trainer.run.identity import record_identity
from trainer.run.privacy import PrivacyLedger
from trainer.run.restoring import create_memory, open_memory

AfterRound = Callable[[RoundRecord, Metrics, int], None]
"""Called with a round's record, its validation metrics, and the total number of rounds."""

MakeEngine = Callable[[Run, Prepared, ClientMemory | None], Engine]
"""Makes the engine of a run that is about to train; the memory is None if clients are stateless."""


def train(
    run: Run,
    prepared: Prepared,
    checkpoint: str = "last",
    after_round: AfterRound = lambda record, validation, rounds: None,
    engine: MakeEngine | None = None,
) -> None:
    """Run the remaining rounds from a checkpoint.

    All randomness depends only on (seed, purpose, round, client), and client states are part of every checkpoint, so a
    resumed run gives bit-identical results from any of its checkpoints.

    Args:
        run: the run's folder.
        prepared: its data, backbone and method.
        checkpoint: "last", "best" or a number of rounds. Later rounds are deleted.
        after_round: called after a round's metrics are written, before its checkpoint.
        engine: has the clients train; None: in this process, see `local_engine`.

    Raises:
        RunFailed: a loss or a reply that is not finite, or another process is at work in the run.
        TrainerError: no such checkpoint, data or backbone changed since the run started, a compiled loss that differs
            from the uncompiled one, or an unknown aggregation rule.
    """
    with run.working():
        _train(run, prepared, checkpoint, after_round, engine or local_engine)


def local_engine(run: Run, prepared: Prepared, memory: ClientMemory | None) -> LocalEngine:
    """Trains all clients in this process; see `MakeEngine`."""
    engine = LocalEngine(client_trainer(prepared, memory), client_indices(prepared.dataset.train))
    check_compiled(engine.trainer, engine.owned[0])
    return engine


def client_trainer(prepared: Prepared, memory: ClientMemory | None) -> ClientTrainer:
    """Trains clients on the prepared training images."""
    config = prepared.config
    return ClientTrainer(
        method=prepared.method,
        images=prepared.features(prepared.dataset.train),
        federation=config.federation,
        optimiser=config.optimiser,
        seed=config.seeds.batches,
        compute=config.compute,
        memory=memory,
    )


def _train(run: Run, prepared: Prepared, checkpoint: str, after_round: AfterRound, make_engine: MakeEngine) -> None:
    config, method = prepared.config, prepared.method
    record_identity(run, prepared)
    rounds = settled(config.federation.rounds, "federation.rounds") if method.trainable() else 0
    if not run.checkpoints():
        create_memory(run, config.federation, method)
        if not rounds:
            validate(method, prepared.features(prepared.dataset.validation))
        run.save_checkpoint(0, method.exchanged())
    done, state = run.load_checkpoint(checkpoint)
    run.rewind(done)
    patience = config.federation.patience
    limit = None if patience is None else settled(patience, "federation.patience")
    if done >= rounds or out_of_patience(run, limit):
        return
    memory = open_memory(run, config.federation, method, done)
    rule = choose_rule(config.federation, method.aggregation)
    ledger = PrivacyLedger(run, config.federation.privacy) if config.federation.privacy.on else None
    validation = prepared.features(prepared.dataset.validation)
    with deterministic(config.compute.deterministic), _EventLog(run, done) as log:
        engine = make_engine(run, prepared, memory)
        _report_sizes(run, prepared, rule, state, engine.clients, memory)
        for index in range(done, rounds):
            context = RoundContext(index, rounds)
            asked = sample_clients(engine.clients, config.federation.participation, config.seeds.clients, context)
            privacy = None if ledger is None else ledger.ask(asked)
            state, record = run_round(
                state,
                engine.clients,
                engine.gather,
                config.federation,
                config.optimiser,
                config.seeds.clients,
                context,
                rule,
                engine.images,
                engine.inputs,
            )
            record = replace(record, privacy=privacy)
            method.receive(state)
            measured = validate(method, validation)
            state = {**state, **method.chosen_on_validation()}
            figures = {**diagnose(method, validation), **engine.figures}
            run.append_metrics({**_metrics_record(record, measured), **figures})
            log(record, measured)
            after_round(record, measured, rounds)
            stopped = out_of_patience(run, limit)
            last = stopped or index + 1 == rounds
            if memory is not None:
                memory.commit(index + 1, record.clients)
            _save_checkpoint(run, memory, config.checkpoint_every, index + 1, state, last)
            if stopped:
                return


def out_of_patience(run: Run, patience: int | None) -> bool:
    """Whether the validation mAP has not improved for `patience` rounds."""
    if patience is None or not run.metrics():
        return False
    return run.metrics()[-1]["rounds"] - run.best() >= patience


def _save_checkpoint(
    run: Run, memory: ClientMemory | None, every: int, rounds: int, state: dict[str, Tensor], last: bool
) -> None:
    """End a round: write a checkpoint every `every` rounds, for the best round so far, and for the last.

    Once a new best is on disk, a previous checkpoint that was kept only as the best is deleted with its client states.
    """
    is_best = run.best() == rounds
    if is_best or last or rounds % every == 0:
        run.save_checkpoint(rounds, state)
        for other, path in run.checkpoints().items():
            if other % every and other not in (run.best(), rounds):
                path.unlink()
    if memory is not None:
        memory.sweep(run.checkpoints())


def _report_sizes(
    run: Run,
    prepared: Prepared,
    rule: Aggregation,
    state: dict[str, Tensor],
    clients: int,
    memory: ClientMemory | None,
) -> None:
    """Report the aggregation rule's memory and the client states' disk space before the first round."""
    config, say = prepared.config, prepared.reporter.say
    drawn = clients_per_round(clients, config.federation.participation)
    if note := memory_note(rule, state, drawn, config.federation):
        say(note)
    if one := client_state_bytes(prepared.method, config.federation, config.optimiser):
        # Between two kept checkpoints, each client's file changes at most once.
        changing = min(clients, drawn * config.checkpoint_every)
        kept = settled(config.federation.rounds, "federation.rounds") // config.checkpoint_every + 2
        elsewhere = memory is not None and memory.elsewhere is not None
        where, most = ("their own folders", one * kept) if elsewhere else (run.clients, one * changing * kept)
        say(
            f"clients keep {format_bytes(one)} each in {where}: up to {format_bytes(most)} "
            f"with a checkpoint every {config.checkpoint_every} rounds (checkpoint_every)"
        )


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """PyTorch's deterministic mode, if wanted, within the context."""
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    # Read by cuBLAS when its first handle is created.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _metrics_record(record: RoundRecord, validation: Metrics) -> dict[str, Any]:
    kept = {key: value for key, value in validation.to_dict().items() if key != "average_precision"}
    return {
        "rounds": record.round + 1,
        "clients": list(record.clients),
        "missing": list(record.missing),
        "examples": record.examples,
        "loss": record.loss,
        "learning_rate": record.learning_rate,
        "validation": kept,
        **({"refused": [{"client": r.client, "reason": r.reason} for r in record.refused]} if record.refused else {}),
        **({"privacy": asdict(record.privacy)} if record.privacy else {}),
    }


class _EventLog:
    """TensorBoard's event file of a run; events after the checkpoint are purged on resume."""

    def __init__(self, run: Run, done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(run.folder / "events"), purge_step=done + 1)

    def __enter__(self) -> Callable[[RoundRecord, Metrics], None]:
        return self._log

    def _log(self, record: RoundRecord, validation: Metrics) -> None:
        step = record.round + 1
        if record.loss is not None:
            self.writer.add_scalar("train/loss", record.loss, step)
        if record.privacy is not None:
            self.writer.add_scalar("train/epsilon", record.privacy.epsilon, step)
        self.writer.add_scalar("train/learning_rate", record.learning_rate, step)
        for name in ("mAP", "CF1", "OF1"):
            if (value := getattr(validation, name)) is not None:
                self.writer.add_scalar(f"validation/{name}", value, step)

    def __exit__(self, *_: object) -> None:
        self.writer.close()
