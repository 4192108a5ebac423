"""Training, evaluation and use of runs from Python."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import trainer
from tests.trainer.runs import SMALL, pictures
from trainer.errors import TrainerError
from trainer.progress import Progress
from trainer.resolving import named_settings, resolve
from trainer.session import Options, Run, free_folder

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("session")
    return trainer.fit(method="coop", out=folder / "run", cache_dir=folder / "cache", progress=Progress(), **SMALL)


def test_figures_are_flat_records_of_the_evaluation(run: Run) -> None:
    evaluation = run.evaluation()
    assert [(r["labels"], r["threshold"]) for r in run.figures] == [
        ("all", "validation"),
        ("all", "0.5"),
        ("all", "oracle"),
    ]
    assert run.figures[0]["mAP"] == evaluation["test"]["mAP"]
    assert run.figures[1]["OF1"] == evaluation["test_at_0.5"]["OF1"]
    assert run.figures[0].items() >= {"run": "run", "method": "coop", "rounds": 2}.items()
    for record in (*run.figures, *run.history, *run.labels):
        assert not any(isinstance(value, list | dict) for value in record.values())


def test_history_has_a_record_for_each_round(run: Run) -> None:
    assert [record["rounds"] for record in run.history] == [1, 2]
    assert run.history[0]["clients"] == 2
    assert run.history[1]["validation.mAP"] == run.metrics()[1]["validation"]["mAP"]


def test_predict_is_the_loaded_model(run: Run, tmp_path: Path) -> None:
    paths = pictures(tmp_path)
    assert run.predict(paths) == trainer.load(run.folder).predict(paths)
    assert run.explain(paths[0], ["cat"]).labels[0].label == "cat"


def test_a_run_is_opened_evaluated_and_resumed(run: Run) -> None:
    opened = trainer.open_run(run.folder)
    opened.options = run.options
    before = run.evaluation()
    assert opened.evaluate("1")["rounds"] == 1
    assert opened.model.source["rounds"] == 1
    assert opened.resume()["test"] == before["test"]
    assert opened.model.source["rounds"] == 2
    with pytest.raises(TrainerError, match="there is no run"):
        trainer.open_run(run.folder / "nowhere")


def test_options_are_not_stored_in_the_run(run: Run) -> None:
    config = Options(device="cpu", feature_cache=False).apply(run.config())
    assert (config.device, config.compute.feature_cache) == ("cpu", False)
    assert run.config().compute.feature_cache


def test_progress_is_called(tmp_path: Path) -> None:
    seen: list[object] = []
    progress = Progress(
        started=lambda run, prepared: seen.append(run.folder),
        after_round=lambda record, validation, rounds: seen.append((record.round, rounds)),
    )
    trainer.fit(method="coop", out=tmp_path / "r", cache_dir=tmp_path / "c", progress=progress, **SMALL)
    assert seen == [tmp_path / "r", (0, 2), (1, 2)]


def test_nothing_is_written_for_wrong_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for wrong in ({"method__rnak": 3}, {"roundz": 3}, {"dataset": "scene"}, {"method": "fedmpt"}):
        with pytest.raises(TrainerError):
            trainer.fit(progress=Progress(), **wrong)
    assert not (tmp_path / "runs").exists()
    assert free_folder(resolve()) == Path("runs/fedmpt-scenes-1")


def test_keywords_are_settings() -> None:
    given = {"method": "coop", "method__context_tokens": 4, "federation": {"rounds": 3}, "seed": 7, "device": None}
    assert named_settings(given) == {
        "method.name": "coop",
        "method.context_tokens": 4,
        "federation.rounds": 3,
        **dict.fromkeys(("data.seed", "seeds.initial", "seeds.clients", "seeds.batches"), 7),
    }
    assert named_settings({"data_root": Path("data")}) == {"data.data_root": str(Path("data").resolve())}


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its code cells, one after another, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)  # noqa: S102
    assert isinstance(names["run"], Run)
    assert len(names["run"].metrics()) == 2
    assert (tmp_path / "my-model" / "model.safetensors").is_file()


def test_the_notebook_has_no_outputs_and_no_paths() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert all(not cell.get("outputs") for cell in json.loads(text)["cells"])
    assert not re.search(r"/(home|Users|tmp|root)/", text)
