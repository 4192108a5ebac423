"""A run in which a client's update is refused: what its files, its findings and its numbers say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.trainer.small_runs import new_run, prepared
from trainer.evaluation.findings import refusals
from trainer.federation.checks import UpdateRefused
from trainer.federation.local import LocalEngine
from trainer.federation.replies import Reply, State
from trainer.federation.rounds import RoundContext
from trainer.progress import print_round
from trainer.run.folder import Run
from trainer.train import train

BAD, BAD_ROUND = 2, 1


def trained(folder: Path, monkeypatch: pytest.MonkeyPatch, *, sends_nan: bool) -> Run:
    """Three clients; one sends NaN in the second round, or is not there then."""
    original = LocalEngine.train_client

    def train_client(self: LocalEngine, client: int, state: State, context: RoundContext) -> Reply:
        reply = original(self, client, state, context)
        if (client, context.round) != (BAD, BAD_ROUND):
            return reply
        if not sends_nan:
            raise UpdateRefused(client, "is not there")
        return replace(reply, state={name: torch.full_like(value, torch.nan) for name, value in reply.state.items()})

    run, config = new_run(folder / ("nan" if sends_nan else "absent"), data__sites=3, method__name="coop")
    with monkeypatch.context() as patch:
        patch.setattr(LocalEngine, "train_client", train_client)
        train(run, prepared(config, folder / "cache"), after_round=print_round)
    return run


def test_a_run_goes_on_without_a_bad_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = trained(tmp_path, monkeypatch, sends_nan=True)
    assert "refused: client 2: sent a " in capsys.readouterr().err
    absent = trained(tmp_path, monkeypatch, sends_nan=False)
    assert [line["clients"] for line in bad.metrics()] == [[0, 1, 2], [0, 1], [0, 1, 2], [0, 1, 2]]
    assert [[refusal["client"] for refusal in line.get("refused", [])] for line in bad.metrics()] == [[], [2], [], []]
    (said,) = refusals(bad.metrics())
    assert said.startswith("client 2 did not count in 1 of 4 rounds; in round 2 it sent a ")
    assert "that is not finite" in said
    for rounds, path in bad.checkpoints().items():
        assert path.read_bytes() == absent.checkpoints()[rounds].read_bytes()
    assert refusals(absent.metrics()) == ["client 2 did not count in 1 of 4 rounds; in round 2 it is not there"]
