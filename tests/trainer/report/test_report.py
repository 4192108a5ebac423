"""The report of a run: correct numbers, and a page that escapes hostile names and makes no network requests."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.browser import chromium
from tests.contrast import faint
from tests.trainer.runs import trained_run
from trainer.errors import TrainerError
from trainer.preparing import Prepared, prepare
from trainer.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, line_chart
from trainer.report.gates import gate_summary
from trainer.report.page import chosen_settings, write_report
from trainer.report.sites import SHOWN, site_summary
from trainer.resolving import resolve
from trainer.run.folder import Run

HOSTILE = "\"><script>alert('x')</script>{{ 7 * 7 }}</style>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, Run]:
    return {
        "fedmpt": trained_run(folder / "fedmpt", folder / "cache", method__rank=4),
        "coop": trained_run(folder / "coop", folder / "cache", method__name="coop"),
        "zero-shot": trained_run(folder / "zero-shot", folder / "cache", method__name="zero-shot"),
    }


def ready(run: Run, folder: Path) -> Prepared:
    from prompt_bank.recording.store import load

    prepared = prepare(run.config(), None if run.bank is None else load(run.bank).bank, folder / "cache")
    prepared.method.receive(run.load_checkpoint()[1])
    return prepared


class Page(HTMLParser):
    """Every element with its attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_the_page_is_whole_and_needs_nothing_else(runs: dict[str, Run], folder: Path) -> None:
    path = write_report(runs["fedmpt"], ready(runs["fedmpt"], folder), [runs["coop"], runs["zero-shot"]])
    text = path.read_text("utf-8")
    page = Page(text)
    assert not re.search(r"https?:|@import|\bsrc=\"(?!data:)", text)
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object", "form"})
    assert all(image["alt"] and str(image["src"]).startswith("data:image/png;base64,") for image in page.all("img"))
    assert any(str(image["alt"]).startswith("Where ") for image in page.all("img"))
    assert all(drawn["aria-label"] for drawn in page.all("svg"))
    assert len(page.all("svg")) == 2
    anchors = {str(link["href"])[1:] for link in page.all("a")}
    assert anchors == {str(heading["id"]) for heading in page.all("h2")}
    evaluation = runs["fedmpt"].evaluation()
    for value in (evaluation["test"]["mAP"], runs["coop"].evaluation()["test"]["mAP"]):
        assert f"{value:.2f}" in page.text
    for row in evaluation["per_label"]:
        assert row["label"] in page.text
    assert "spatial layout" in page.text


def test_a_method_that_reads_tokens_has_its_examples_too(folder: Path) -> None:
    run = trained_run(folder / "released", folder / "cache", method__name="fedmpt-released")
    page = Page(write_report(run, ready(run, folder), []).read_text("utf-8"))
    assert any(str(image["alt"]).startswith("Where ") for image in page.all("img"))
    assert f"{run.evaluation()['test']['mAP']:.2f}" in page.text


def test_in_a_browser_it_fits_reads_well_and_asks_for_nothing(runs: dict[str, Run], folder: Path) -> None:
    """On a phone and on a wide screen, light and dark: no sideways scrolling, no faint text, no broken picture."""
    path = write_report(runs["fedmpt"], ready(runs["fedmpt"], folder), [runs["coop"]])
    with chromium() as browser:
        for width in (400, 1600):
            for scheme in ("light", "dark"):
                page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
                said: list[str] = []
                page.on("console", lambda message, said=said: said.append(message.text))
                page.on("request", lambda request, said=said: said.append(request.url[:60]))
                page.goto(path.as_uri())
                page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
                assert page.evaluate("document.documentElement.scrollWidth") == width
                assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
                assert [line for line in said if not line.startswith(("file:", "data:image/png"))] == []
                assert faint(page) == []
                page.close()


def test_a_method_without_conditions_or_rounds_says_so(runs: dict[str, Run], folder: Path) -> None:
    page = Page(write_report(runs["zero-shot"], ready(runs["zero-shot"], folder), []).read_text("utf-8"))
    assert "This method has no conditions" in page.text
    assert page.all("svg") == []
    page = Page(write_report(runs["coop"], ready(runs["coop"], folder), []).read_text("utf-8"))
    assert "as a whole" in page.text
    assert not any(str(image["alt"]).startswith("Where ") for image in page.all("img"))


def test_hostile_names_stay_text(runs: dict[str, Run], folder: Path) -> None:
    run, prepared = runs["fedmpt"], ready(runs["fedmpt"], folder)
    names = tuple(f"{HOSTILE}{name}" for name in prepared.dataset.label_names)
    prepared.method.label_names = names
    prompts = prepared.method.prompts
    prepared.method.prompts = replace(prompts, conditions=(HOSTILE, "</td>"))
    hostile = replace(prepared, dataset=replace(prepared.dataset, label_names=names))
    kept = run.evaluation()
    rows = [{**row, "label": name} for row, name in zip(kept["per_label"], names, strict=True)]
    run.write_json("evaluation.json", {**kept, "label_names": list(names), "per_label": rows})
    try:
        text = write_report(run, hostile, []).read_text("utf-8")
    finally:
        run.write_json("evaluation.json", kept)
    page = Page(text)
    assert page.all("script") == []
    assert text.count("</style>") == 1
    assert HOSTILE in page.text
    assert "{{ 7 * 7 }}" in page.text


def test_an_unevaluated_run_is_refused(folder: Path) -> None:
    run = Run.create(folder / "fresh", resolve(overrides={"method.name": "zero-shot"}), None)
    with pytest.raises(TrainerError, match="fedmpt evaluate"):
        write_report(run, None, [])  # type: ignore[arg-type]


def test_the_gate_is_summed_up(runs: dict[str, Run], folder: Path) -> None:
    """Against the gate asked directly, label by label."""
    prepared = ready(runs["fedmpt"], folder)
    generator = torch.Generator().manual_seed(0)
    state = prepared.method.exchanged()
    prepared.method.receive({k: v + 0.5 * torch.randn(v.shape, generator=generator) for k, v in state.items()})
    features = prepared.features(prepared.dataset.test)
    found = gate_summary(prepared.method, features)
    assert found is not None
    with torch.no_grad():
        weights = prepared.method.gate(features.batch(np.arange(30)).image)  # type: ignore[operator]
    assert [row["mean"] for row in found["conditions"]] == pytest.approx(weights.mean(0).tolist(), abs=1e-5)
    assert found["conditions"][0]["low"] < found["conditions"][0]["mean"] < found["conditions"][0]["high"]
    column = prepared.dataset.label_names.index("cat")
    expected = weights[torch.from_numpy(features.labels[:, column] == 1)].mean(0)
    cat = next(row for row in found["labels"] if row["name"] == "cat")
    assert cat["weights"] == pytest.approx(expected.tolist(), abs=1e-5)
    assert found["uniform"] == 0.5
    coop = ready(runs["coop"], folder)
    assert gate_summary(coop.method, coop.features(coop.dataset.test)) is None


def test_sites_are_counted(runs: dict[str, Run], folder: Path) -> None:
    prepared = ready(runs["fedmpt"], folder)
    train, names = prepared.dataset.train, prepared.dataset.label_names
    found = site_summary(train, names, runs["fedmpt"].evaluation()["clients"])
    assert found["count"] == 2
    for row, site in zip(found["each"], (0, 1), strict=True):
        mine = train.labels[train.sites == site] == 1
        assert (row["client"], row["images"], row["labels"]) == (site, 12, int(mine.any(0).sum()))
        assert row["per_image"] == pytest.approx(mine.sum() / 12)
        assert row["figures"]["mAP"] > 0
    counted = np.array([[cell["count"] for cell in row["cells"]] for row in found["labels"]])
    np.testing.assert_array_equal(counted.sum(1), (train.labels == 1).sum(0))
    named = site_summary(train, names, None, ("north", "south"))
    assert [(row["client"], row["name"]) for row in named["each"]] == [(0, "north"), (1, "south")]
    many = replace(
        train,
        ids=tuple(f"{i:04d}" for i in range(1000)),
        labels=np.ones((1000, 2), np.int8),
        sites=np.r_[np.arange(99), np.full(901, 99)],
    )
    shown = site_summary(many, ("a", "b"), None)
    assert (shown["count"], len(shown["each"]), shown["each"][-1]["client"]) == (100, SHOWN, 99)


@settings(deadline=None)
@given(values=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20))
def test_a_chart_stays_in_its_area_and_in_order(values: list[float]) -> None:
    chart = line_chart("x", {"own": list(enumerate(values, 1))})
    points = [tuple(map(float, pair.split(","))) for pair in chart.lines[0].points.split()]
    assert len(points) == len(values)
    assert all(LEFT <= x <= WIDTH - RIGHT and TOP <= y <= HEIGHT - BOTTOM for x, y in points)
    for (_, first), (_, second), a, b in zip(points, points[1:], values, values[1:], strict=False):
        assert a == b or (first > second) == (a < b) or first == second
    assert (chart.low, chart.high, chart.lines[0].last) == (min(values), max(values), values[-1])
    with pytest.raises(ValueError, match="empty"):
        line_chart("x", {"own": []})


def test_a_chart_of_one_value_has_readable_ticks() -> None:
    chart = line_chart("x", {"own": [(1, 64.4722)]})
    ticks = [tick.text for tick in chart.y]
    assert len(ticks) == len(set(ticks))
    assert all(len(text) <= 4 for text in ticks), "the room left of the axis"


def test_settings_that_differ_are_listed() -> None:
    assert chosen_settings(resolve()) == [("method.name", "fedmpt"), ("all others", "defaults")]
    chosen = chosen_settings(resolve(overrides={"method.name": "coop", "federation.rounds": 3}))
    assert chosen == [("method.name", "coop"), ("federation.rounds", "3")]
