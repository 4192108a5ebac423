"""A trained model on image files: the probabilities of the evaluation, and explanations that add up."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import trainer
from tests.trainer.runs import pictures, trained_run, wide
from trainer.data.images import UnreadableImage
from trainer.errors import TrainerError
from trainer.evaluation.measuring import scores
from trainer.inference.explanation import Explanation, LabelEvidence
from trainer.inference.heat import layer, overlay
from trainer.inference.model import Model
from trainer.inference.output import Selection, as_csv, as_json, as_table
from trainer.inference.stream import Prediction, stream
from trainer.preparing import prepare
from trainer.report.gallery import Gallery
from trainer.run.folder import Run

METHODS = {
    "fedmpt": {"method__rank": 4},
    "transport": {"method__rank": 4, "method__matching": "transport"},
    "released": {"method__name": "fedmpt-released"},
    "coop": {"method__name": "coop"},
    "zero-shot": {"method__name": "zero-shot"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inference")


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, Run]:
    made = {name: trained_run(folder / name, folder / "cache", **chosen) for name, chosen in METHODS.items()}
    pictures(folder / "photos")
    return made


@pytest.fixture(scope="module")
def model(runs: dict[str, Run]) -> Model:
    return trainer.load(runs["fedmpt"].folder)


def photos(folder: Path) -> list[Path]:
    return sorted((folder / "photos").glob("photo-*.png"))


@pytest.mark.parametrize("name", METHODS)
def test_probabilities_are_those_of_the_evaluation(runs: dict[str, Run], folder: Path, name: str) -> None:
    """The evaluation reads its features from a half-precision cache, hence the tolerance."""
    run = runs[name]
    ready = prepare(run.config(), None if run.bank is None else _bank(run), folder / "cache")
    ready.method.receive(run.load_checkpoint()[1])
    expected = scores(ready.method, ready.features(ready.dataset.test))[0].sigmoid()[:3].numpy()
    loaded = trainer.load(run.folder)
    found = loaded.predict(photos(folder))
    assert [list(row) for row in found] == [list(ready.dataset.label_names)] * 3
    np.testing.assert_allclose([list(row.values()) for row in found], expected, atol=5e-3)
    assert loaded.threshold == run.evaluation()["test"]["threshold"]


def _bank(run: Run) -> object:
    from prompt_bank.recording.store import load

    assert run.bank is not None
    return load(run.bank).bank


def test_batches_and_readers_change_nothing(model: Model, folder: Path) -> None:
    paths = photos(folder) * 3
    expected = np.array([list(row.values()) for row in model.predict(paths)])
    assert model.predict([Image.open(paths[0])]) == model.predict([str(paths[0])])
    for batch in (1, 2, 50):
        found = list(stream(model, paths, batch))
        assert [result.path for result in found if isinstance(result, Prediction)] == paths
        rows = [result.probabilities for result in found if isinstance(result, Prediction)]
        np.testing.assert_allclose(np.array(rows), expected, atol=1e-5)


def test_no_more_than_two_batches_are_read_ahead(model: Model, folder: Path) -> None:
    asked: list[Path] = []

    def paths() -> Iterator[Path]:
        for _ in range(20):
            asked.append(photos(folder)[0])
            yield asked[-1]

    for done, _ in enumerate(stream(model, paths(), batch=3), 1):
        assert len(asked) <= done + 6


def test_an_unreadable_file_stands_in_its_place(model: Model, folder: Path) -> None:
    (folder / "bad.png").write_bytes(b"x")
    good = photos(folder)[0]
    found = list(stream(model, [folder / "bad.png", good, folder / "bad.png"], 2))
    assert [isinstance(result, UnreadableImage) for result in found] == [True, False, True]
    alone = next(iter(stream(model, [good])))
    assert isinstance(alone, Prediction)
    assert isinstance(found[1], Prediction)
    np.testing.assert_allclose(found[1].probabilities, alone.probabilities, atol=1e-6)
    with pytest.raises(UnreadableImage, match=r"bad\.png"):
        model.predict([folder / "bad.png"])


@pytest.mark.parametrize("name", ["fedmpt", "transport"])
def test_an_explanation_adds_up(runs: dict[str, Run], folder: Path, name: str) -> None:
    loaded = trainer.load(runs[name].folder)
    probabilities = loaded.predict(photos(folder)[:1])[0]
    found = loaded.explain(photos(folder)[0], ["cat", "dog"])
    assert [label.label for label in found.labels] == ["cat", "dog"]
    assert found.gate is not None
    assert sum(found.gate.values()) == pytest.approx(1, abs=1e-5)
    for label in found.labels:
        assert label.probability == pytest.approx(probabilities[label.label], abs=1e-5)
        assert label.probability == pytest.approx(1 / (1 + math.exp(-label.logit)), abs=1e-5)
        assert label.places is not None
        assert label.places.shape == (8, 8)
        assert label.places.sum() == pytest.approx(1, abs=1e-4)
        assert label.conditions is not None
        assert [share.condition for share in label.conditions] == ["background", "spatial layout"]
        assert sum(share.adds for share in label.conditions) == pytest.approx(label.logit, abs=1e-3)
        assert [share.gate for share in label.conditions] == list(found.gate.values())
    assert json.loads(json.dumps(found.to_dict()))["labels"][0]["label"] == "cat"


def test_labels_above_the_threshold_are_explained(runs: dict[str, Run], folder: Path) -> None:
    loaded = trainer.load(runs["zero-shot"].folder)
    loaded.threshold = 0.5
    probabilities = loaded.predict(photos(folder)[:1])[0]
    found = loaded.explain(photos(folder)[0])
    above = sorted((n for n, p in probabilities.items() if p > 0.5), key=lambda n: -probabilities[n])
    assert above
    assert [label.label for label in found.labels] == above
    with pytest.raises(TrainerError, match="label 'cta' is not known; there are: cat"):
        loaded.explain(photos(folder)[0], ["cta"])


def test_methods_without_conditions_or_places_say_so(runs: dict[str, Run], folder: Path) -> None:
    zero_shot = trainer.load(runs["zero-shot"].folder).explain(photos(folder)[0], ["cat"])
    assert zero_shot.to_dict()["conditions_are"] == "this method has no conditions"
    assert zero_shot.labels[0].conditions is None
    assert zero_shot.labels[0].places is not None
    assert sorted(set(zero_shot.labels[0].places.ravel().tolist())) == [0, 1]
    coop = trainer.load(runs["coop"].folder).explain(photos(folder)[0], ["cat"])
    assert (coop.heat_map("cat"), coop.gate) == (None, None)
    assert "as a whole" in coop.places_are


def test_the_model_sees_the_centred_square(model: Model, folder: Path) -> None:
    """A picture with strips beside it has the same labels, and its map lies on the square."""
    picture = photos(folder)[0]
    beside = wide(folder / "wide.png", picture)
    plain, strips = (list(row.values()) for row in model.predict([picture, beside]))
    # Not to the bit: at the square's border the picture's scaling sees the strips.
    np.testing.assert_allclose(strips, plain, atol=0.05)
    found = model.explain(beside, ["cat"])
    places = found.labels[0].places
    assert places is not None
    np.testing.assert_allclose(places, model.explain(picture, ["cat"]).labels[0].places, atol=0.02)
    assert found.window == pytest.approx((1 / 3, 0, 1 / 3, 1))
    drawn = found.heat_map("cat", 600)
    assert drawn is not None
    assert drawn.size == (300, 100)


class TestHeatMaps:
    def test_the_heaviest_patch_is_the_brightest(self) -> None:
        places = np.full((4, 4), 0.01)
        places[1, 2] = 0.85
        drawn = np.asarray(overlay(Image.new("RGB", (160, 80), "black"), places, (0.25, 0, 0.5, 1), 160)).sum(-1)
        row, column = np.unravel_index(drawn.argmax(), drawn.shape)
        assert (row // 20, (column - 40) // 20) == (1, 2)
        assert drawn[:, :40].max() == 0

    def test_outside_the_square_the_picture_is_dimmed_and_inside_in_sight(self) -> None:
        drawn = np.asarray(overlay(Image.new("RGB", (80, 160), "white"), np.eye(4), (0, 0.25, 1, 0.5), 160))
        assert drawn[:40].max() < 80
        assert drawn[40 + 70, 10].min() > 150

    def test_equal_weights_are_equally_bright(self) -> None:
        assert np.ptp(np.asarray(layer(np.full((3, 3), 0.2))), axis=(0, 1)).max() == 0
        assert layer(np.zeros((3, 3))).size == (3, 3)

    def test_a_small_picture_is_enlarged_a_large_one_shrunk(self) -> None:
        for size, expected in (((10, 5), (384, 192)), ((5000, 2500), (768, 384)), ((500, 400), (500, 400))):
            assert overlay(Image.new("RGB", size), np.ones((2, 2)), (0, 0, 1, 1)).size == expected


def hostile(labels: tuple[str, ...]) -> Explanation:
    evidence = tuple(LabelEvidence(label, 0.5, 0.0, np.ones((2, 2)), None) for label in labels)
    return Explanation(Image.new("RGB", (4, 4)), (0.0, 0.0, 1.0, 1.0), "weights", None, evidence)


@settings(max_examples=40, deadline=None)
@given(
    labels=st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=4, unique=True).map(tuple),
    stem=st.text(min_size=1, max_size=60),
)
def test_no_name_steers_where_files_go(
    runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory, labels: tuple[str, ...], stem: str
) -> None:
    folder = tmp_path_factory.mktemp("hostile") / "deep"
    with Gallery(folder, trainer.load(runs["zero-shot"].folder), 0.5) as gallery:
        into = gallery.add(Path(f"{stem}.png"), hostile(labels))
    written = {path.relative_to(folder) for path in folder.parent.rglob("*") if path.is_file()}
    described = json.loads((into / "explanation.json").read_text("utf-8"))
    named = [row["heat_map"] for row in described["labels"]]
    files = {into.relative_to(folder) / name for name in [*named, "explanation.json", "picture.png"]}
    assert written == {*files, Path("index.html")}
    assert all(name.isascii() for name in named)


def test_the_gallery_shows_names_as_text_and_every_picture(model: Model, tmp_path: Path) -> None:
    with Gallery(tmp_path / "why", model, 0.5) as gallery:
        for name in ("<script>.png", "b.png"):
            gallery.add(Path(name), hostile(("<img src=x onerror=alert(1)>", "{{ 7 * 7 }}")))
    text = (tmp_path / "why" / "index.html").read_text("utf-8")
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "{{ 7 * 7 }}" in text
    assert text.rstrip().endswith("</html>")
    sources = re.findall(r'src="([^"]+)"', text)
    assert len(sources) == 6
    assert all((tmp_path / "why" / source).is_file() for source in sources)
    with pytest.raises(TrainerError, match="there is something already"):
        Gallery(tmp_path / "why", model, 0.5)


def test_a_label_cannot_steer_the_terminal_nor_break_csv_and_json(model: Model) -> None:
    labels, model.labels = model.labels, ('a\x1b[31m,"b"\n', *model.labels[1:])
    try:
        values = np.linspace(0.9, 0.1, len(labels))
        results = [(Prediction(Path("x\n.png"), values), None)]
        selection = Selection(0.5, 1)
        table = "".join(as_table(model, selection, results))
        assert "\x1b" not in table
        assert table.count("\n") == 1
        import csv

        rows = list(csv.reader("".join(as_csv(model, selection, results)).splitlines(keepends=True)))
        assert rows[1] == ["x\n.png", 'a\x1b[31m,"b"\n', "0.900000", "true"]
        parsed = json.loads("".join(as_json(model, selection, results)))
        assert parsed["images"][0]["labels"] == [{"label": 'a\x1b[31m,"b"\n', "probability": 0.9, "predicted": True}]
    finally:
        model.labels = labels


def test_selection(model: Model) -> None:
    values = np.zeros(len(model.labels))
    values[[3, 5, 7]] = 0.4, 0.9, 0.6
    prediction = Prediction(Path("x"), values)
    found = Selection(0.5, None).of(model, prediction)
    assert [(name, above) for name, _, above in found] == [(model.labels[5], True), (model.labels[7], True)]
    assert [above for _, _, above in Selection(0.5, 3).of(model, prediction)] == [True, True, False]
    assert Selection(0.95, None).of(model, prediction) == []
    assert "".join(as_csv(model, Selection(0.95, None), [(prediction, None)])).splitlines()[1] == "x,,,"


class TestErrors:
    def test_a_folder_of_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(TrainerError, match="neither a run nor an exported model"):
            trainer.load(tmp_path)

    def test_a_run_that_was_not_evaluated(self, runs: dict[str, Run]) -> None:
        path = runs["coop"].folder / "evaluation.json"
        content = path.read_bytes()
        path.unlink()
        try:
            with pytest.raises(TrainerError, match="fedmpt evaluate"):
                trainer.load(runs["coop"].folder)
        finally:
            path.write_bytes(content)

    def test_the_threshold_belongs_to_a_checkpoint(self, runs: dict[str, Run]) -> None:
        folder = runs["coop"].folder
        assert trainer.load(folder, checkpoint="2").source["rounds"] == 2
        with pytest.raises(TrainerError, match="--checkpoint 1"):
            trainer.load(folder, checkpoint="1")
        with pytest.raises(TrainerError, match="comes with its weights"):
            trainer.load(folder, backbone="openai")
