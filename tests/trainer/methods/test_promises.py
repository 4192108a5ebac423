"""Every registered method fulfils all requirements of the method interface, on a small drawn world with scenes-tiny."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import trainer
from tests.trainer.runs import SMALL, pictures, trained_run
from tests.trainer.tiny import bank_with_affinities, method_context, random_batch, random_clip, small_bank
from trainer.data.scenes.objects import CLASSES
from trainer.evaluation.measuring import evaluate
from trainer.federation.exchange import Exchange
from trainer.federation.memory import ClientMemory
from trainer.heads.evidence import Evidence
from trainer.inference.export import export
from trainer.methods.registry import build, method_names, settings_classes
from trainer.preparing import prepare
from trainer.report.page import write_report
from trainer.run.folder import Run
from trainer.train import train

ALL = method_names()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("promises")


class Runs(dict[str, Run]):
    """A trained run of each method, made when a test asks for it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __missing__(self, name: str) -> Run:
        self[name] = trained_run(self.folder / name, self.folder / "cache", method__name=name)
        return self[name]


@pytest.fixture(scope="module")
def runs(folder: Path) -> Runs:
    return Runs(folder)


def state(run: Run) -> dict[str, torch.Tensor]:
    return run.load_checkpoint()[1]


@pytest.mark.parametrize("name", ALL)
class TestEveryMethod:
    def test_it_trains_and_is_measured(self, runs: dict[str, Run], name: str) -> None:
        found = runs[name].evaluation()
        assert found["method"] == name and 0 < found["test"]["mAP"] <= 100
        assert {"title", "trainable", "prompts"} <= found["description"].keys()
        trains = found["description"]["trainable"] > 0
        buffers = dict(trainer.load(runs[name].folder).method.named_buffers())
        parts = {**state(runs[name]), **ClientMemory(runs[name].clients).start()}
        trained = [value for key, value in parts.items() if key not in buffers]
        assert sum(value.numel() for value in trained) == found["description"]["trainable"]
        assert len(runs[name].metrics()) == (SMALL["federation.rounds"] if trains else 0)
        if trains:
            start = runs[name].load_checkpoint("0")[1]
            moved = [key for key, value in state(runs[name]).items() if not torch.equal(value, start[key])]
            assert moved, "training moved nothing"

    def test_a_run_that_was_cut_off_goes_on_to_the_same_bits(
        self, runs: dict[str, Run], folder: Path, name: str
    ) -> None:
        whole = runs[name]
        if not whole.metrics():
            pytest.skip("it trains nothing")
        cut = trained_run(folder / f"{name}-cut", folder / "cache", method__name=name)
        train(cut, prepare(cut.config(), small_bank(labels=CLASSES, values=("street", "park")), folder / "cache"), "1")
        assert [line["loss"] for line in cut.metrics()] == [line["loss"] for line in whole.metrics()]
        assert all(torch.equal(value, state(whole)[key]) for key, value in state(cut).items())

    def test_it_predicts_explains_and_is_handed_on(self, runs: dict[str, Run], folder: Path, name: str) -> None:
        run, paths = runs[name], pictures(folder / "photos", 2)
        export(run, folder / f"{name}-model")
        ours, theirs = trainer.load(run.folder), trainer.load(folder / f"{name}-model")
        for mine, other in zip(ours.predict(paths), theirs.predict(paths), strict=True):
            assert list(mine) == list(CLASSES)
            np.testing.assert_allclose(list(other.values()), list(mine.values()), atol=1e-6)
        explained = ours.explain(paths[0], ["cat", "sofa"])
        assert explained.places_are and [one.label for one in explained.labels] == ["cat", "sofa"]
        shown = [one.places is not None for one in explained.labels]
        assert all(shown) or not any(shown), "places are shown for all labels or, with the reason, for none"

    def test_it_has_a_report(self, runs: dict[str, Run], folder: Path, name: str) -> None:
        run = runs[name]
        bank = small_bank(labels=CLASSES, values=("street", "park"))
        page = write_report(run, prepare(run.config(), bank, folder / "cache"), []).read_text("utf-8")
        assert f"{run.evaluation()['test']['mAP']:.2f}" in page

    def test_unseen_and_unknown_labels_one_client_and_bf16(self, folder: Path, name: str) -> None:
        """All at once: a label that training never sees, hidden annotations, one client, lower precision."""
        run = trained_run(
            folder / f"{name}-odd",
            folder / "cache",
            method__name=name,
            unseen_labels=["cat", "boat"],
            data__mask__rate=0.5,
            data__partition__kind="iid",
            data__partition__clients=1,
            compute__precision="bf16",
        )
        found = run.evaluation()
        assert 0 < found["test_unseen"]["mAP"] <= 100
        assert all(line["clients"] == [0] and np.isfinite(line["loss"]) for line in run.metrics())

    @pytest.mark.parametrize("labels", [2, 7])
    def test_any_number_of_labels(self, name: str, labels: int) -> None:
        clip, names = random_clip(), CLASSES[:labels]
        settings = settings_classes()[name].model_validate({})
        method = build(name, method_context(settings, small_bank(labels=names), clip, names)).eval()
        batch = random_batch(clip, labels=labels, reads=method.reads)
        logits, text = method(batch), method.text_features()
        assert logits.shape == (4, labels) and text.shape[-2:] == (labels, clip.dim)
        assert bool(torch.isfinite(method.loss(batch)))
        assert isinstance(method.evidence(batch, text), Evidence)

    def test_a_step_changes_only_what_travels_or_stays_with_the_client(self, name: str) -> None:
        """Else a client would begin with what the one before it left behind."""
        settings = settings_classes()[name].model_validate({})
        method = build(name, method_context(settings, small_bank(), random_clip())).train()
        known = method.exchanged().keys() | method.personal_parts().keys()
        others = {n: t for n, t in (*method.named_parameters(), *method.named_buffers()) if n not in known}
        before = {n: t.clone() for n, t in others.items()}
        loss = method.loss(random_batch(method.clip, reads=method.reads))
        if loss.requires_grad:
            loss.backward()
            torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1).step()
        assert all(torch.equal(before[n], t) for n, t in others.items())

    def test_what_does_not_travel_does_not_change(self, name: str) -> None:
        """Fixed buffers are the same at all sites, and after training; all else that is exchanged is sent."""
        settings = settings_classes()[name].model_validate({})
        method = build(name, method_context(settings, bank_with_affinities(), random_clip())).train()
        exchange = Exchange.of(method, "float32")
        assert exchange.signature.keys() == method.exchanged().keys() - method.fixed().keys()
        trained = [parameter for parameter in method.parameters() if parameter.requires_grad]
        if trained:
            method.loss(random_batch(method.clip, reads=method.reads)).backward()
            torch.optim.SGD(trained, lr=0.1).step()
        assert all(torch.equal(value, method.exchanged()[n]) for n, value in exchange.fixed.items())
        assert not {n for n, p in method.named_parameters() if p.requires_grad} & exchange.fixed.keys()

    def test_evaluation_leaves_no_trace(self, runs: dict[str, Run], folder: Path, name: str) -> None:
        run = runs[name]
        ready = prepare(run.config(), small_bank(labels=CLASSES, values=("street", "park")), folder / "cache")
        before = run.evaluation()
        assert evaluate(run, ready)["test"] == before["test"]
