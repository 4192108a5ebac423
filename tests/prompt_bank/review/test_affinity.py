"""The heat map of labels × values, on the server and in a real browser."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from prompt_bank.editing.affinities import cell_lift
from prompt_bank.recording.store import load, record
from prompt_bank.schema import Affinity, Bank, Condition, Correction, Label, Reading
from tests.contrast import faint
from tests.local_server import Server
from tests.prompt_bank.review.browser import Reviewer
from tests.prompt_bank.review.serving import edits, messages, served

NAMES = ("fork", "<b>car</b>", "tree")


def kitchen() -> Bank:
    rows = {"fork": (1.5, -1.25, 0.1), "<b>car</b>": (-2.5, 2.0, None)}
    corrected = (Correction(label="fork", value="street", mined=0.5, by="bo"),)
    place = Condition(
        id="place",
        text="place",
        values=("kitchen", "street", "ski slope"),
        affinity=Affinity(rows=rows, corrected=corrected, asked=(Reading(kind="yes-no", model="m"),)),
    )
    light = Condition(id="light", text="light", values=("dim",))
    labels = tuple(Label(name=name) for name in NAMES)
    return Bank(name="kitchen", about="everyday photos", labels=labels, conditions=(place, light, light_less()))


def light_less() -> Condition:
    return Condition(id="pose", text="pose")


def large() -> Bank:
    """80 labels × 200 values."""
    rng = random.Random(0)
    values = tuple(f"some value {i}" for i in range(200))
    labels = tuple(Label(name=f"label {i}") for i in range(80))
    rows = {label.name: tuple(round(rng.gauss(0, 1.5), 2) for _ in values) for label in labels}
    place = Condition(id="place", text="place", values=values, affinity=Affinity(rows=rows))
    return Bank(name="large", labels=labels, conditions=(place,))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    record(kitchen(), tmp_path / "bank.json", by="miner", did="mined")
    return tmp_path / "bank.json"


@pytest.fixture
def running(path: Path) -> Iterator[Server]:
    with served(path) as server:
        yield server


def test_the_server_gives_a_matrix_after_the_edits(running: Server, path: Path) -> None:
    opened = running.good("bank")
    assert opened["about"] == "everyday photos"
    assert [condition["matrix"] for condition in opened["conditions"]] == [{"labels": 2, "corrected": 1}, None, None]
    assert "affinity" not in opened["conditions"][0], "large, and asked for when it is opened"
    never = {"do": "set_cell", "id": "place", "label": "tree", "value": "kitchen", "number": -2}
    back = {"do": "set_cell", "id": "place", "label": "fork", "value": "street"}
    sent = edits(opened["base"], never, back)
    assert running.good("preview", sent)["told"] == [
        "set tree under kitchen to -2",
        "set fork under street to what was mined",
    ]
    assert running.good("affinity", {**sent, "condition": "place"}) == {
        "labels": list(NAMES),
        "values": ["kitchen", "street", "ski slope"],
        "rows": [[1.5, 0.5, 0.1], [-2.5, 2.0, None], [-2.0, None, None]],
        "corrected": [[2, 0, None, ""]],
        "asked": ["yes-no by m"],
    }
    assert running.good("affinity", {**edits(opened["base"]), "condition": "light"})["rows"] == [None, None, None]
    status, answer = running.ask("affinity", {**sent, "condition": "lite"})
    assert status == 422 and "there is no condition 'lite'" in messages(answer)
    for wrong, said in (
        ({"value": "moon"}, "no value 'moon'"),
        ({"number": 1e6}, "at most 100"),
        ({"label": "x"}, "no label"),
    ):
        status, answer = running.ask("preview", edits(opened["base"], {**never, **wrong}))
        assert status == 422 and said in messages(answer), answer
    assert running.good("save", {**sent, "did": "set"})["saved"]["last"]["revision"] == 2
    affinity = load(path).bank.conditions[0].affinity
    assert affinity and affinity.corrected == (Correction(label="tree", value="kitchen", by="ada"),)


def test_a_click_cycles_a_cell_and_the_keys_reach_every_one(browser: Browser, running: Server, path: Path) -> None:
    ada = Reviewer(browser, running)
    page = ada.page
    assert page.locator("#affinity-grid td").count() == 0, "nothing is drawn before it is opened"
    assert page.locator(".card").nth(2).locator("[data-key^='affinity:']").count() == 0, "no values, no matrix"
    page.locator("[data-key='affinity:place']").click()
    first = page.locator("[data-key='heat:0:0']")
    first.wait_for()
    assert page.locator("#affinity-grid tbody th").all_inner_texts() == list(NAMES)
    told = page.locator("#affinity-told")
    for text, said, unsaved in (
        ("+2.0", "very usual, +2.00; set by you, mined +1.50", 1),
        ("−2.0", "never", 2),
        ("+1.5", "usual, +1.50", 3),
    ):
        first.click()
        ada.edits(unsaved)
        page.wait_for_selector(f"[data-key='heat:0:0']:text-is('{text}')")
        assert said in told.inner_text()
    assert "set" not in (first.get_attribute("class") or "").split()
    ada.press("ArrowDown", "ArrowDown", "ArrowRight", "-")
    page.wait_for_selector("[data-key='heat:2:1'].set")
    assert told.inner_text() == "tree under street: never goes together, −2.00; set by you, mining did not ask"
    ada.press("ArrowRight", "ArrowRight", "ArrowRight", "Home", "Control+Home", "ArrowUp", "ArrowRight")
    assert told.inner_text() == "fork under street: unusual, −1.25; set by bo, mined +0.50"
    ada.press("0")
    page.wait_for_selector("[data-key='heat:0:1']:not(.set)")
    ada.press("End", "ArrowDown", "Enter")
    page.wait_for_selector("[data-key='heat:1:2'].set")
    ada.press("Escape")
    page.wait_for_selector("dialog[open]", state="detached")
    page.wait_for_selector("#affinity-grid td", state="detached")  # the event of closing comes after the closing
    assert page.evaluate("document.activeElement.dataset.key") == "affinity:place"
    assert "3 labels × 3 values, 2 set by hand" in page.inner_text("[data-key='affinity:place']")
    ada.press("u")
    ada.edits(5)
    ada.press("U")
    ada.edits(6)
    ada.save()
    ada.told("Saved as revision 2")
    place = load(path).bank.conditions[0]
    assert [
        cell_lift(place, *key) for key in (("tree", "street"), ("fork", "street"), ("<b>car</b>", "ski slope"))
    ] == [
        -2,
        0.5,
        2,
    ]
    assert place.affinity and {c.by for c in place.affinity.corrected} == {"ada"}
    assert ada.complaints == []
    ada.context.close()


def test_an_affinity_can_be_filled_in_by_hand(browser: Browser, running: Server, path: Path) -> None:
    ada = Reviewer(browser, running)
    page = ada.page
    page.get_by_role("button", name="How usual labels are by light: say what is usual").click()
    page.locator("[data-key='heat:1:0']").click()
    page.wait_for_selector("[data-key='heat:1:0'].set")
    assert "No model was asked" in page.inner_text("#affinity-dialog")
    ada.press("Escape")
    ada.save()
    ada.told("Saved as revision 2")
    affinity = load(path).bank.conditions[1].affinity
    assert affinity == Affinity(rows={NAMES[1]: (2.0,)}, corrected=(Correction(label=NAMES[1], value="dim", by="ada"),))
    ada.context.close()


def test_finding_labels_and_values(browser: Browser, running: Server) -> None:
    ada = Reviewer(browser, running)
    page = ada.page
    page.locator("[data-key='affinity:place']").click()
    page.fill("#affinity-label", "CAR")
    page.fill("#affinity-value", "s")
    assert page.locator("#affinity-grid td[role=gridcell]").all_inner_texts() == ["+2.0", "·"]
    assert page.inner_text("#affinity-count") == "1 of 3 labels, 2 of 3 values"
    ada.press("Enter")
    assert page.locator("#affinity-dialog[open]").count() == 1, "looking for a value closes nothing"
    page.fill("#affinity-value", "nothing")
    assert "Nothing matches" in page.inner_text("#affinity-grid")
    page.fill("#affinity-value", "street")
    page.locator("#affinity-grid td[role=gridcell]").click()
    ada.edits(1)
    page.wait_for_selector("[data-key='heat:1:1']:text-is('−2.0')")  # it was at +2 already: a click goes on to never
    ada.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_80_labels_by_200_values_are_usable(browser: Browser, tmp_path: Path, scheme: str, width: int) -> None:
    record(large(), tmp_path / "bank.json", by="miner", did="mined")
    with served(tmp_path / "bank.json") as server:
        ada = Reviewer(browser, server, viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = ada.page
        assert "and 184 more" in page.inner_text(".values")
        page.locator("[data-key='affinity:place']").click()
        page.wait_for_selector("[data-key='heat:79:199']", state="attached")
        grid = page.locator("#affinity-grid")
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
        box = grid.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= 900
        page.locator("[data-key='heat:0:0']").focus()
        ada.press("Control+End")
        assert page.inner_text("#affinity-told").startswith("label 79 under some value 199: ")
        last = page.locator("[data-key='heat:79:199']").bounding_box()
        head = page.locator("#affinity-grid thead th").last.bounding_box()
        row = page.locator("#affinity-grid tbody th").last.bounding_box()
        assert last and head and row
        assert abs(head["y"] - box["y"]) < 3 and abs(row["x"] - box["x"]) < 3, "its names stay in sight"
        assert head["y"] + head["height"] <= last["y"] and row["x"] + row["width"] <= last["x"]
        assert faint(page) == []
        ada.press("Enter")
        page.wait_for_selector("[data-key='heat:79:199'].set")
        assert faint(page) == [] and ada.complaints == []
        ada.context.close()
