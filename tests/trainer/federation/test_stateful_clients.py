"""Runs with stateful clients (optimiser state, personal parts): bit-identical on resume, and nothing personal sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.personal import Adapted
from tests.trainer.small_runs import contents, new_run, prepared
from trainer.data.base import client_indices
from trainer.errors import TrainerError
from trainer.evaluation.measuring import client_metrics, evaluate, scores
from trainer.federation.client import ClientTrainer
from trainer.federation.memory import ClientMemory
from trainer.federation.optimiser import make_optimiser
from trainer.federation.replies import Reply
from trainer.federation.rounds import RoundContext
from trainer.methods import registry
from trainer.preparing import Prepared, Reporter
from trainer.run.folder import Run
from trainer.run.restoring import restore
from trainer.seeding import numpy_generator
from trainer.train import train

OPTIMISER = {"federation__memory": "optimiser"}
PERSONAL = {"method__name": "coop", "method__context_tokens": 2}


@pytest.fixture(autouse=True)
def adapted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method with personal parts in CoOp's place, so that runs can be opened by its name."""
    monkeypatch.setitem(registry._METHODS, "coop", Adapted)


class Cut(Exception):
    pass


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_rounds_of_one_client_are_epochs_of_one_optimiser(tmp_path: Path, cache: Path, name: str) -> None:
    """Bit for bit; and without memory they are not."""
    settings = {"data__sites": 1, "optimiser__name": name, "federation__rounds": 3}
    run, config = new_run(tmp_path / "run", **settings, **OPTIMISER)
    train(run, prepared(config, cache))
    ready = prepared(config, cache)
    method, images = ready.method.train(), ready.features(ready.dataset.train)
    optimiser = make_optimiser(method, config.optimiser, RoundContext(0, 3))
    for index in range(3):
        rate = make_optimiser(method, config.optimiser, RoundContext(index, 3)).param_groups[0]["lr"]
        optimiser.param_groups[0]["lr"] = rate
        order = numpy_generator(config.seeds.batches, "batches", index, 0, 0).permutation(np.arange(12))
        for start in range(0, 12, config.optimiser.batch_size):
            optimiser.zero_grad()
            method.loss(images.batch(order[start : start + config.optimiser.batch_size])).backward()
            optimiser.step()
    found, expected = run.load_checkpoint()[1], method.exchanged()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    forgetful, config = new_run(tmp_path / "forgetful", **settings)
    train(forgetful, prepared(config, cache))
    assert not forgetful.clients.exists()
    other = forgetful.load_checkpoint()[1]
    assert any(not torch.equal(other[key], expected[key]) for key in expected)


KEEPING: dict[str, dict[str, object]] = {
    "adamw": OPTIMISER,
    "sgd": {**OPTIMISER, "optimiser__name": "sgd"},
    "fp16": {**OPTIMISER, "compute__precision": "fp16"},
    "personal": PERSONAL,
    "both": {**OPTIMISER, **PERSONAL},
}


@pytest.mark.parametrize("what", KEEPING)
def test_every_checkpoint_leads_to_the_same_bits(tmp_path: Path, cache: Path, what: str) -> None:
    """With what clients keep, also of those that were not drawn lately."""
    run, config = new_run(tmp_path / "run", data__sites=3, federation__participation=0.5, **KEEPING[what])
    train(run, prepared(config, cache))
    whole = contents(run)
    assert any(name.startswith("client-") for name in whole)
    for checkpoint in ("0", "1", "2", "3", "best"):
        train(run, prepared(config, cache), checkpoint)
        assert contents(run) == whole, checkpoint


@pytest.mark.parametrize("point", ["a client", "the round", "the index", "the checkpoint"])
def test_resume_reaches_the_same_bits(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    """Cut off in round 2 after a client was saved, after the round, and after its index or its checkpoint stood."""
    settings: dict[str, object] = {**OPTIMISER, **PERSONAL, "checkpoint_every": 2, "federation__rounds": 5}
    whole, config = new_run(tmp_path / "whole", **settings)
    train(whole, prepared(config, cache))
    cut, config = new_run(tmp_path / "cut", **settings)

    def stopping(function: Callable[..., object], at: Callable[..., bool]) -> Callable[..., object]:
        def wrapped(*args: object) -> object:
            result = function(*args)
            if at(*args):
                raise Cut
            return result

        return wrapped

    with monkeypatch.context() as patch:
        stop: Callable[..., None] = lambda *_: None  # noqa: E731
        if point == "a client":
            patch.setattr(ClientMemory, "save", stopping(ClientMemory.save, lambda _, c, done, m: (c, done) == (0, 3)))
        elif point == "the index":
            patch.setattr(ClientMemory, "commit", stopping(ClientMemory.commit, lambda _, done, *counted: done == 4))
        elif point == "the checkpoint":
            patch.setattr(Run, "save_checkpoint", stopping(Run.save_checkpoint, lambda _, done, state: done == 4))
        else:
            stop = stopping(stop, lambda record, *_: record.round == 2)  # type: ignore[assignment]
        with pytest.raises(Cut):
            train(cut, prepared(config, cache), after_round=stop)
    train(cut, prepared(cut.config(), cache))
    assert contents(cut) == contents(whole)


def test_files_that_no_checkpoint_needs_go(tmp_path: Path, cache: Path) -> None:
    run, config = new_run(tmp_path / "run", federation__rounds=7, checkpoint_every=3, **OPTIMISER)
    train(run, prepared(config, cache))
    names = {path.name for path in run.clients.iterdir()}
    kept = set(run.checkpoints())
    assert kept == {0, 3, 6, 7, run.best()}
    clients = {f"client-{c:04d}-round-{done:04d}.safetensors" for c in (0, 1) for done in kept - {0}}
    assert names == {f"round-{done:04d}.json" for done in kept} | clients


def test_training_a_client_twice_in_a_round_gives_the_same_reply(tmp_path: Path, cache: Path) -> None:
    config = new_run(tmp_path / "run", **OPTIMISER, **PERSONAL)[1]
    ready = prepared(config, cache)
    memory = ClientMemory(tmp_path / "memory")
    images, owned = ready.features(ready.dataset.train), client_indices(ready.dataset.train)[0]
    trainer = ClientTrainer(ready.method, images, config.federation, config.optimiser, 0, memory=memory)
    state = ready.method.exchanged()
    for index in range(2):
        first, second = (trainer.train(0, owned, state, RoundContext(index, 4)).state for _ in range(2))
        assert all(torch.equal(first[name], second[name]) for name in first)
        memory.commit(index + 1, [0])
    kept = memory.load(0)
    assert kept is not None
    assert {"context/step", "shift/exp_avg"} <= kept.optimiser.keys()


def test_stateful_clients_need_a_memory(tmp_path: Path, cache: Path) -> None:
    for settings in (OPTIMISER, PERSONAL):
        config = new_run(tmp_path / next(iter(settings)), **settings)[1]
        ready = prepared(config, cache)
        images = ready.features(ready.dataset.train)
        with pytest.raises(ValueError, match="give a ClientMemory"):
            ClientTrainer(ready.method, images, config.federation, config.optimiser, 0)


def test_the_gradient_scale_is_kept(tmp_path: Path, cache: Path) -> None:
    run, config = new_run(tmp_path / "run", federation__rounds=2, compute__precision="fp16", **OPTIMISER)
    train(run, prepared(config, cache))
    steps = [
        float(load_file(run.clients / f"client-0000-round-{done:04d}.safetensors")["optimiser/_growth_tracker"])
        for done in (1, 2)
    ]
    assert steps == [3.0, 6.0], "three batches a round, none of which overflows"


def test_sizes_are_reported_before_the_first_round(tmp_path: Path, cache: Path) -> None:
    said: list[str] = []
    run, config = new_run(tmp_path / "run", federation__rounds=1, federation__aggregation="median", **OPTIMISER)
    ready = prepared(config, cache)
    train(run, Prepared(ready.config, ready.dataset, ready.method, cache, Reporter(say=said.append)))
    assert any(line.startswith("aggregation median holds all replies of a round: 2 clients × ") for line in said)
    assert any(line.startswith("clients keep ") and str(run.clients) in line for line in said)
    on_the_disk = sum(path.stat().st_size for path in run.clients.glob("client-*"))
    moments = 2 * 4 * ready.method.trainable()
    assert 2 * moments < on_the_disk < 2 * moments + 2 * 4000, "beside the moments there are names and step counts"


@pytest.mark.parametrize("rule", ["median", "trimmed-mean", "norm-bounded-mean"])
def test_a_run_follows_its_rule(tmp_path: Path, cache: Path, rule: str) -> None:
    """With four sites every rule trains, and to another state than the mean."""
    found = {}
    for name in ("auto", rule):
        run, config = new_run(tmp_path / name, data__sites=4, federation__rounds=1, federation__aggregation=name)
        train(run, prepared(config, cache))
        found[name] = run.load_checkpoint()[1]
    assert any(not torch.equal(found["auto"][key], found[rule][key]) for key in found["auto"])


def test_an_unknown_rule_is_found_before_the_run_is_made(tmp_path: Path, cache: Path) -> None:
    config = new_run(tmp_path / "run", federation__aggregation="krum")[1]
    with pytest.raises(TrainerError, match=r"federation\.aggregation 'krum' is not known"):
        prepared(config, cache)


class TestPersonalParts:
    def test_they_are_in_no_reply_and_no_checkpoint(
        self, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Statistics of the batch norm that travels are in all of them, and are the clients' mean."""
        replies: list[Reply] = []
        honest = ClientTrainer.train

        def watched(self: ClientTrainer, *args: object) -> Reply:
            replies.append(honest(self, *args))  # type: ignore[arg-type]
            return replies[-1]

        monkeypatch.setattr(ClientTrainer, "train", watched)
        run, config = new_run(tmp_path / "run", **PERSONAL, federation__rounds=2)
        ready = prepared(config, cache)
        train(run, ready)
        own = set(ready.method.personal_parts())
        states = [reply.state for reply in replies] + [load_file(path) for path in run.checkpoints().values()]
        assert len(states) == 4 + 3
        for state in states:
            assert not own & set(state)
            assert "norm.running_mean" in state
        mean = torch.stack([reply.state["norm.running_var"].double() for reply in replies[2:]]).mean(0).float()
        assert torch.equal(run.load_checkpoint()[1]["norm.running_var"], mean)
        assert run.load_checkpoint()[1]["norm.num_batches_tracked"].item() == 2 * 3

    def test_each_client_goes_on_with_its_own(self, tmp_path: Path, cache: Path) -> None:
        """They differ from one another and from the start, and are not reset by the server's state."""
        run, config = new_run(tmp_path / "run", **PERSONAL, federation__rounds=2)
        train(run, prepared(config, cache))
        memory = {done: ClientMemory.open(run.clients, done) for done in (1, 2)}
        shifts = [memory[2].start()["shift"]]
        for done, client in ((1, 0), (1, 1), (2, 0), (2, 1)):
            kept = memory[done].load(client)
            assert kept is not None
            assert kept.optimiser == {}
            assert kept.personal["own_norm.num_batches_tracked"].item() == 3 * done
            shifts.append(kept.personal["shift"])
        for first in range(len(shifts)):
            for second in range(first):
                assert not torch.equal(shifts[first], shifts[second])

    def test_the_global_model_has_the_start_and_clients_are_measured_with_their_own(
        self, tmp_path: Path, cache: Path
    ) -> None:
        run, config = new_run(tmp_path / "run", **PERSONAL, evaluation__bootstrap=0)
        ready = prepared(config, cache)
        drawn = ready.method.personal_parts()
        train(run, ready)
        # Another seed draws other parts; the run's own count.
        other = config.model_copy(update={"seeds": config.seeds.model_copy(update={"initial": 5})})
        again = prepared(other, cache)
        result = evaluate(run, again)
        torch.testing.assert_close(again.method.personal_parts(), drawn, atol=0, rtol=0)
        assert evaluate(run, ready)["test"] == result["test"]
        train_split = again.dataset.train
        for client, owned in enumerate(client_indices(train_split)):
            restore(run, again.method, "last", client)
            logits, labels = scores(again.method, again.features(train_split))
            mine = np.where(np.isin(np.arange(len(logits)), owned), client, -1)
            expected = client_metrics(logits, labels, mine, result["test"]["threshold"])["each"][0]
            assert result["clients"]["each"][client] == pytest.approx(expected)
        restore(run, again.method)
        globally = client_metrics(*scores(again.method, again.features(train_split)), train_split.sites, 0.5)
        assert globally["each"][0]["mAP"] != result["clients"]["each"][0]["mAP"]

    def test_a_client_without_parts_is_named(self, tmp_path: Path, cache: Path) -> None:
        run, config = new_run(tmp_path / "run", **PERSONAL, federation__rounds=1)
        ready = prepared(config, cache)
        train(run, ready)
        with pytest.raises(TrainerError, match="client 5 has no personal parts after 1 rounds; have: 0, 1"):
            restore(run, ready.method, "last", 5)
        with pytest.raises(TrainerError, match="client 0 has no personal parts after 0 rounds; have: none"):
            restore(run, ready.method, "0", 0)
        plain, config = new_run(tmp_path / "plain", federation__rounds=1)
        ready = prepared(config, cache)
        train(plain, ready)
        with pytest.raises(TrainerError, match="client 0 has no personal parts"):
            restore(plain, ready.method, "last", 0)
