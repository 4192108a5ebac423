"""Clients that keep something between rounds, each at a site of its own; without Flower."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.flower.network import FACTS
from tests.trainer.personal import Adapted
from tests.trainer.small_runs import new_run, prepared
from trainer.data.base import client_indices
from trainer.errors import RunFailed, TrainerError
from trainer.evaluation.at_sites import count_at_site
from trainer.evaluation.measuring import evaluate, scores
from trainer.federation.memory import ClientMemory
from trainer.flower.engine import RemoteEngine
from trainer.flower.envelope import Envelope, Train
from trainer.flower.patience import Waiting
from trainer.flower.post import Answer
from trainer.flower.site import Site
from trainer.methods import registry
from trainer.preparing import Prepared, Reporter
from trainer.run.folder import Run
from trainer.run.restoring import open_memory, restore
from trainer.run_config import RunConfig
from trainer.train import MakeEngine, train

OPTIMISER = {"federation__memory": "optimiser"}
PERSONAL = {"method__name": "coop", "method__context_tokens": 2}
NOW = Waiting(poll=0.0, look=0.0, again=0.0, probe=1e9)


@pytest.fixture(autouse=True)
def adapted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._METHODS, "coop", Adapted)


class Sites:
    """Sites whose answers arrive at once; each has a folder of its own for what it keeps.

    Attributes:
        change: of an answer, by client.
    """

    def __init__(self, folder: Path, config: RunConfig, cache: Path) -> None:
        self.folder, self.config, self.cache = folder, config, cache
        self.change: Callable[[int, Envelope, Envelope], Envelope] = lambda client, ask, answer: answer
        self._answers: dict[str, Answer] = {}
        self.start()

    def start(self) -> None:
        """Begin anew: whatever is not on disk is lost."""
        count = len(client_indices(prepared(self.config, self.cache).dataset.train))
        self.sites = {client: self._site(prepared(self.config, self.cache), client) for client in range(count)}

    def memory(self, client: int) -> Path:
        return self.folder / f"site-{client}"

    def kept(self, client: int, run: Run) -> Path:
        return self.memory(client) / str(ClientMemory(run.clients).elsewhere)

    def _site(self, ready: Prepared, client: int) -> Site:
        owned, tested = client_indices(ready.dataset.train)[client], np.arange(20) + 20 * client
        memory = ClientMemory(self.memory(client))
        threads = torch.get_num_threads()
        return Site(ready, FACTS, {client: owned}, threads, tested={client: tested}, tells="counts", memory=memory)

    def nodes(self) -> set[int]:
        return set(self.sites)

    def send(self, node: int, envelope: Envelope) -> str:
        answer = self.change(node, envelope, self.sites[node].answer(node, envelope))
        id_ = str(len(self._answers))
        self._answers[id_] = Answer(id_, answer)
        return id_

    def fetch(self, ids: Collection[str]) -> list[Answer]:
        return [self._answers[id_] for id_ in ids if id_ in self._answers]

    def engine(self, say: Callable[[str], None] = lambda text: None) -> MakeEngine:
        def make(run: Run, ready: Prepared, memory: ClientMemory | None) -> RemoteEngine:
            if memory:
                memory.leave_elsewhere()
            told = replace(ready, reporter=Reporter(say=say))
            return RemoteEngine(told, self, FACTS, len(self.sites), "run", NOW, memory=memory)

        return make


def files(folder: Path, pattern: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob(pattern))}


def states(run: Run) -> dict[int, bytes]:
    return {rounds: path.read_bytes() for rounds, path in run.checkpoints().items()}


@pytest.mark.parametrize(
    "settings",
    [
        OPTIMISER,
        PERSONAL,
        {**OPTIMISER, **PERSONAL, "federation__participation": 0.5, "federation__rounds": 7, "checkpoint_every": 3},
    ],
)
def test_the_same_bits_as_in_one_process_and_only_the_sites_have_what_they_keep(
    tmp_path: Path, cache: Path, settings: dict[str, Any]
) -> None:
    local, config = new_run(tmp_path / "local", **settings)
    train(local, prepared(config, cache))
    sites, remote = Sites(tmp_path, config, cache), new_run(tmp_path / "remote", **settings)[0]
    train(remote, prepared(config, cache), engine=sites.engine())
    assert states(remote) == states(local)
    assert files(remote.clients, "round-*") == files(local.clients, "round-*")
    assert not files(remote.clients, "client-*")
    needed = ClientMemory.open(remote.clients, max(remote.checkpoints())).needed()
    for client in sites.sites:
        here = files(sites.kept(client, remote), "*")
        assert here
        for name, content in files(local.clients, f"client-{client:04d}-*").items():
            assert here[name] == content
        # Beside those, at most the ones of its last two rounds, until it is asked again.
        assert len(here) <= sum(c == client for c, _ in needed) + 2


@pytest.mark.parametrize("settings", [OPTIMISER, PERSONAL])
def test_a_server_that_is_cut_off_goes_on_with_sites_that_have_gone_further(
    tmp_path: Path, cache: Path, settings: dict[str, Any]
) -> None:
    settings = {**settings, "checkpoint_every": 2}
    whole, config = new_run(tmp_path / "whole", **settings)
    train(whole, prepared(config, cache))
    sites, run = Sites(tmp_path, config, cache), new_run(tmp_path / "run", **settings)[0]

    def cut(client: int, ask: Envelope, answer: Envelope) -> Envelope:
        if isinstance(ask.head, Train) and (ask.head.round, client) == (3, 1):
            raise KeyboardInterrupt
        return answer

    sites.change = cut
    with pytest.raises(KeyboardInterrupt):
        train(run, prepared(config, cache), engine=sites.engine())
    assert list(run.checkpoints())[-1] <= 3
    assert (sites.kept(1, run) / "client-0001-round-0004.safetensors").exists()
    sites.change = lambda client, ask, answer: answer
    sites.start()
    train(run, prepared(config, cache), engine=sites.engine())
    assert states(run) == states(whole)


def test_what_a_refused_update_left_behind_does_not_count(tmp_path: Path, cache: Path) -> None:
    """The site begins its next round where its last one that counted ended."""
    settings = {**OPTIMISER, "federation__rounds": 3, "federation__min_replies": 0.5}
    run, config = new_run(tmp_path / "run", **settings)
    sites = Sites(tmp_path, config, cache)
    asked: list[tuple[int, int]] = []

    def refused(client: int, ask: Envelope, answer: Envelope) -> Envelope:
        if client or not isinstance(ask.head, Train):
            return answer
        assert ask.head.kept is not None
        asked.append((ask.head.round, ask.head.kept.since))
        return Envelope(answer.head, b"") if ask.head.round == 1 else answer

    sites.change = refused
    train(run, prepared(config, cache), engine=sites.engine())
    assert asked == [(0, 0), (1, 1), (2, 1)]
    assert [one["clients"] for one in run.metrics()] == [[0, 1], [1], [0, 1]]


def test_a_site_that_has_lost_what_it_kept_is_named(tmp_path: Path, cache: Path) -> None:
    settings = {**PERSONAL, "federation__min_replies": 1.0}
    run, config = new_run(tmp_path / "run", **settings)
    sites = Sites(tmp_path, config, cache)

    def lost(client: int, ask: Envelope, answer: Envelope) -> Envelope:
        if isinstance(ask.head, Train) and ask.head.round == 1:
            shutil.rmtree(sites.memory(1), ignore_errors=True)
        return answer

    sites.change = lost
    with pytest.raises(RunFailed, match="nothing is kept here of client 1 after"):
        train(run, prepared(config, cache), engine=sites.engine())


def test_another_run_leaves_what_sites_keep_of_the_first(tmp_path: Path, cache: Path) -> None:
    first, config = new_run(tmp_path / "first", **PERSONAL)
    sites, second = Sites(tmp_path, config, cache), new_run(tmp_path / "second", **PERSONAL)[0]
    train(first, prepared(config, cache), engine=sites.engine())
    before = files(sites.kept(0, first), "*")
    train(second, prepared(config, cache), engine=sites.engine())
    assert before
    assert files(sites.kept(0, first), "*") == before
    assert sites.kept(0, second) != sites.kept(0, first)


def test_a_damaged_name_is_told(tmp_path: Path, cache: Path) -> None:
    run, config = new_run(tmp_path / "run", **PERSONAL)
    train(run, ready := prepared(config, cache), engine=Sites(tmp_path, config, cache).engine())
    (run.clients / "at-the-sites").write_text("../elsewhere")
    with pytest.raises(TrainerError, match="at-the-sites: not the name of a memory"):
        restore(run, ready.method, "last", 0)


def test_sites_count_with_their_own_models(tmp_path: Path, cache: Path) -> None:
    settings = {**PERSONAL, "federation__rounds": 2, "evaluation__bootstrap": 0}
    local, config = new_run(tmp_path / "local", **settings)
    train(local, ready := prepared(config, cache))
    sites, run = Sites(tmp_path, config, cache), new_run(tmp_path / "run", **settings)[0]
    train(run, own := prepared(config, cache), engine=sites.engine())
    memory = open_memory(run, config.federation, own.method, 2)
    engine = RemoteEngine(own, sites, FACTS, 2, "run", NOW)
    state = run.load_checkpoint("2")[1]
    told = engine.evaluate(state, 2, 0.5, False, len(own.method.label_names), memory)
    for client in range(2):
        restore(local, ready.method, "2", client)
        logits, labels = scores(ready.method, ready.features(ready.dataset.test))
        images = np.arange(20) + 20 * client
        true, predicted, _ = count_at_site(logits[images], labels[images], 0.5).counts.sum(0).tolist()
        assert told["own_models"]
        assert told["each"][client]["images"] == 20
        assert told["each"][client]["figures"]["OP"] == pytest.approx(100 * true / predicted)
    restore(local, ready.method, "2")
    whole = scores(ready.method, ready.features(ready.dataset.test))[0]
    restore(local, ready.method, "2", 0)
    assert not torch.equal(whole, scores(ready.method, ready.features(ready.dataset.test))[0])


def test_the_server_says_that_it_has_no_client_s_model(tmp_path: Path, cache: Path) -> None:
    settings = {**PERSONAL, "federation__rounds": 1, "evaluation__bootstrap": 0, "evaluation__yardsticks": False}
    run, config = new_run(tmp_path / "run", **settings)
    sites = Sites(tmp_path, config, cache)
    said: list[str] = []
    train(run, ready := prepared(config, cache), engine=sites.engine())
    with pytest.raises(TrainerError, match="client 0's own parts are at its site"):
        restore(run, ready.method, "last", 0)
    evaluation = evaluate(run, replace(ready, reporter=Reporter(say=said.append)))
    assert evaluation["clients"] is None
    assert "their models' own parts are at their sites" in " ".join(said)
