"""A trained method with personal parts: the global model, clients' models, and the exported model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import trainer
from fedmpt.cli import build
from tests.trainer.personal import Adapted
from tests.trainer.runs import pictures, trained_run
from trainer.errors import TrainerError
from trainer.federation.memory import ClientMemory
from trainer.inference.export import export
from trainer.inference.model import Model
from trainer.methods import registry
from trainer.run.folder import Run


@pytest.fixture(scope="module", autouse=True)
def adapted() -> Iterator[None]:
    """A method with personal parts in CoOp's place, so that runs can be opened by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._METHODS, "coop", Adapted)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Run:
    return trained_run(tmp_path_factory.mktemp("run") / "run", cache, method__name="coop", seeds__initial=3)


def shift(model: Model) -> list[float]:
    values: list[float] = model.method.personal_parts()["shift"].tolist()
    return values


def test_the_global_model_and_each_clients(run: Run, tmp_path: Path) -> None:
    """Their parts are the run's, whatever seed the method is built with; they predict differently."""
    memory = ClientMemory.open(run.clients, 2)
    shown = pictures(tmp_path / "photos")
    models = [trainer.load(run.folder, device="cpu", client=client) for client in (None, 0, 1)]
    assert shift(models[0]) == memory.start()["shift"].tolist()
    for client in (0, 1):
        kept = memory.load(client)
        assert kept is not None
        assert shift(models[1 + client]) == kept.personal["shift"].tolist()
    first, second, third = (model.predict(shown) for model in models)
    assert first != second
    assert second != third


def test_an_export_carries_the_parts(run: Run, tmp_path: Path) -> None:
    shown = pictures(tmp_path / "photos")
    loaded = trainer.load(run.folder, device="cpu")
    exported = trainer.load(export(run, tmp_path / "model"), device="cpu")
    assert shift(exported) == shift(loaded)
    for one, other in zip(loaded.predict(shown), exported.predict(shown), strict=True):
        assert other == pytest.approx(one, abs=1e-6)
    with pytest.raises(TrainerError, match="an exported model has no clients; load client 0 from the run's folder"):
        trainer.load(tmp_path / "model", client=0)


def test_commands_take_a_client_s_own_model(run: Run, tmp_path: Path) -> None:
    shown = pictures(tmp_path / "photos")
    found: dict[str, list[dict[str, float]]] = {}
    own = CliRunner().invoke(
        build("export"), ["export", str(run.folder), "--out", str(tmp_path / "own"), "--client", "1"]
    )
    assert own.exit_code == 0, own.output
    for name, model in (("run", (str(run.folder), "--client", "1")), ("export", (str(tmp_path / "own"),))):
        words = ["predict", *model, *map(str, shown), "--top", "999", "--json", "--device", "cpu"]
        done = CliRunner().invoke(build("predict"), words)
        assert done.exit_code == 0, done.output
        rows = [row["labels"] for row in json.loads(done.stdout)["images"]]
        found[name] = [{label["label"]: label["probability"] for label in labels} for labels in rows]
    expected = trainer.load(run.folder, device="cpu", client=1).predict(shown)
    assert expected != trainer.load(run.folder, device="cpu").predict(shown)
    for one, other, third in zip(expected, found["run"], found["export"], strict=True):
        assert other == pytest.approx(one, abs=1e-4)
        assert third == pytest.approx(one, abs=1e-4)
    card = (tmp_path / "own" / "README.md").read_text()
    assert "This is client 1's own model" in card
    metadata = yaml.safe_load(card.split("---\n")[1])
    assert metadata.keys() == {"library_name", "pipeline_tag", "tags"}, "no figures of another model"
    assert json.loads((tmp_path / "own" / "config.json").read_text())["figures"] == {}


def test_a_client_that_never_trained_is_named(run: Run) -> None:
    with pytest.raises(TrainerError, match="client 9 has no personal parts after 2 rounds; have: 0, 1"):
        trainer.load(run.folder, device="cpu", client=9)
