"""The matrix of dependencies in a real browser."""

from __future__ import annotations

import shutil
from itertools import combinations
from pathlib import Path

from playwright.sync_api import Browser

from prompt_bank.recording.store import load, record
from prompt_bank.schema import SCHEMA_FILE, Bank, Condition, Dependency, Label
from tests.local_server import Server
from tests.prompt_bank.review.browser import Reviewer
from tests.prompt_bank.review.serving import served


def test_the_matrix_of_80_labels_is_usable(browser: Browser, coco: Server) -> None:
    ada = Reviewer(browser, coco, viewport={"width": 1600, "height": 1000})
    page = ada.page
    page.click("#tab-dependencies")
    bank = load(SCHEMA_FILE.with_name("coco80.json")).bank
    pairs = {frozenset(pair) for d in bank.dependencies for pair in combinations(d.labels, 2)}
    labels = frozenset().union(*pairs)
    assert page.inner_text("#matrix-count") == f"{len(pairs)} pairs among {len(labels)} of 80 labels"
    corner = page.locator(".matrix thead th").first
    row = page.locator(".matrix tbody th").nth(40)
    page.locator("#matrix").evaluate("(matrix) => matrix.scrollTo(400, 600)")
    top, left = page.locator("#matrix").bounding_box(), row.bounding_box()
    assert top and left and corner.bounding_box()
    assert abs((corner.bounding_box() or {})["y"] - top["y"]) < 3 and abs(left["x"] - top["x"]) < 3
    page.fill("#find", "stop")
    names = page.locator(".matrix tbody th").all_inner_texts()
    assert names[0] == "stop sign" and set(names) == frozenset().union(*(p for p in pairs if "stop sign" in p))
    page.fill("#find", "no such label")
    page.wait_for_selector("#matrix:has-text('No label is left')")
    page.fill("#find", "")
    page.uncheck("#only-filled")
    assert page.locator(".matrix tbody tr").count() == 80
    page.select_option("#sort", "bank")
    assert page.locator(".matrix tbody th").all_inner_texts()[:3] == ["person", "bicycle", "car"]
    page.select_option("#by-condition", "location")
    governed = sum("location" in d.conditions for d in bank.dependencies)
    assert f"{governed} pairs" in page.inner_text("#matrix-count")
    idle = next(c.id for c in bank.conditions if not any(c.id in d.conditions for d in bank.dependencies))
    page.select_option("#by-condition", idle)
    assert page.locator(".matrix td button").count() == 0
    assert ada.complaints == []
    ada.context.close()


def test_the_matrix_of_20_labels_fits(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    shutil.copy(SCHEMA_FILE.with_name("voc20.json"), path)
    with served(path) as server:
        ada = Reviewer(browser, server)
        ada.press("d")
        ada.page.uncheck("#only-filled")
        assert ada.page.locator(".matrix thead th").count() == 20
        matrix = ada.page.locator("#matrix")
        assert matrix.evaluate("(box) => box.scrollWidth <= box.clientWidth + 1")
        ada.context.close()


def test_with_very_many_labels_the_first_are_drawn_and_all_can_be_found(browser: Browser, tmp_path: Path) -> None:
    names = [f"label {i}" for i in range(400)]
    pairs = zip(names[::2], names[1::2], strict=True)
    many = Bank(
        name="many",
        labels=tuple(Label(name=name) for name in names),
        conditions=(Condition(id="pose", text="pose"),),
        dependencies=tuple(Dependency(labels=pair, conditions=("pose",)) for pair in pairs),
    )
    record(many, tmp_path / "bank.json", by="miner", did="mined")
    with served(tmp_path / "bank.json") as server:
        ada = Reviewer(browser, server)
        ada.press("d")
        assert "200 pairs among 400 of 400 labels; the first 150" in ada.page.inner_text("#matrix-count")
        assert ada.page.locator(".matrix tbody tr").count() == 150
        ada.page.fill("#find", "label 398")
        assert ada.page.locator(".matrix tbody th").all_inner_texts() == ["label 398", "label 399"]
        ada.context.close()


def test_a_dependency_is_read_and_set_from_the_matrix_by_keyboard(reviewer: Reviewer, bank: Path) -> None:
    page = reviewer.page
    page.click("#tab-dependencies")
    page.focus("#find")
    page.focus("#matrix")
    reviewer.press("Tab")
    name = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(name) == "cat and potted plant: 3 – background, object pose, lighting"
    reviewer.press("ArrowRight")
    assert page.evaluate(name) == "cat and sofa: 2 – object pose, lighting"
    reviewer.press("ArrowDown", "ArrowLeft", "Enter")
    page.wait_for_selector("#pair-dialog[open]")
    assert "Cats by a potted plant." in page.inner_text("#pair-dialog")
    page.locator("#pair-dialog section").first.get_by_label("lighting").check()
    page.locator("#pair-dialog section").first.get_by_role("button", name="Apply").click()
    reviewer.edits(1)
    reviewer.close()
    page.click("#pair-add")
    page.select_option("#pair-a", "sofa")
    page.select_option("#pair-b", "cat")
    page.locator("#pair-dialog section").last.get_by_label("object pose").check()
    page.locator("#pair-dialog section").last.get_by_role("button", name="Apply").click()
    reviewer.edits(2)
    reviewer.close()
    reviewer.save()
    reviewer.told("Saved as revision 2")
    dependencies = {d.labels: d.conditions for d in load(bank).bank.dependencies}
    assert dependencies["cat", "potted plant"] == ("background", "lighting")
    assert dependencies["sofa", "cat"] == ("pose",)
    assert dependencies["cat", "potted plant", "sofa"] == ("pose", "lighting")


def test_a_card_links_to_its_dependencies(reviewer: Reviewer) -> None:
    reviewer.card(3).get_by_role("button", name="governs 1 label pair").click()
    assert reviewer.page.input_value("#by-condition") == "lighting"
    assert reviewer.page.inner_text("#matrix-count").startswith("3 pairs among 3")
