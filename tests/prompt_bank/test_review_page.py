"""The review page in a real browser, as a person uses it: by pointer, by keyboard alone, in two tabs, on a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from prompt_bank import editing
from prompt_bank.schema import SCHEMA_FILE, Bank, Caption, Condition, Dependency, Label
from prompt_bank.store import load, record
from tests.prompt_bank.browser import Reviewer, chromium
from tests.prompt_bank.contrast import faint
from tests.prompt_bank.reviewing import Server, recorded, served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    return recorded(tmp_path)


@pytest.fixture
def server(bank: Path) -> Iterator[Server]:
    with served(bank) as running:
        yield running


@pytest.fixture
def reviewer(browser: Browser, server: Server) -> Iterator[Reviewer]:
    ada = Reviewer(browser, server)
    yield ada
    assert ada.complaints == []
    assert ada.asked == {f"127.0.0.1:{server.port}"}
    ada.context.close()


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The shipped bank of COCO's 80 labels; nothing is saved to it."""
    path = tmp_path_factory.mktemp("coco") / "bank.json"
    shutil.copy(SCHEMA_FILE.with_name("coco80.json"), path)
    with served(path) as running:
        yield running


COME_BACK = "() => window.dispatchEvent(new Event('focus'))"
"""What a window tells its page when a person comes back to it; without a window every tab has the focus."""


def test_a_card_shows_what_a_person_needs_to_decide(reviewer: Reviewer) -> None:
    assert reviewer.titles() == ["background", "object pose", "lighting"]
    card = reviewer.card(1).inner_text()
    for text in ("Proposed", "room", "explains 50 % of 2 descriptions", "governs 1 label pair", "A cat in a room."):
        assert text in card
    assert reviewer.card(1).locator("mark").all_inner_texts() == ["cat"]
    assert reviewer.card(3).locator("mark").all_inner_texts() == ["Cats", "potted plant"]
    assert "Where the light comes from." in reviewer.card(3).inner_text()
    assert "revision 1" in reviewer.page.inner_text("#bank-origin")


def test_the_token_leaves_the_address_and_a_reload_still_works(reviewer: Reviewer) -> None:
    assert "#" not in reviewer.page.url
    assert reviewer.page.evaluate("document.cookie") == ""
    reviewer.page.reload()
    reviewer.page.wait_for_selector("body.ready")
    stranger = reviewer.context.new_page()
    stranger.goto(f"http://127.0.0.1:{reviewer.server.port}/")
    stranger.wait_for_selector("text=Open the address that the terminal shows")
    assert "background" not in stranger.inner_text("#cards")


def test_a_whole_review_by_keyboard_alone(reviewer: Reviewer, bank: Path) -> None:
    page = reviewer.page
    reviewer.press("j", "a")
    reviewer.edits(1)
    reviewer.press("j", "r")
    reviewer.edits(2)
    reviewer.press("j", "e")
    page.wait_for_selector("#edit-dialog[open]")
    assert page.evaluate("document.activeElement.id") == "edit-text"
    reviewer.press("Control+a")
    page.keyboard.type("light")
    reviewer.press("Tab", "Tab", "Tab")
    page.keyboard.type("is it weather?")
    reviewer.press("Tab", "Tab", "Enter")
    reviewer.edits(3)
    reviewer.press("s")
    page.wait_for_selector("#save-dialog[open]")
    changes = page.inner_text("#save-changes")
    for text in ("background", "accepted", "rejected", "lighting", "light", "is it weather?"):
        assert text in changes
    assert not load(bank).bank.history[1:]
    reviewer.press("Enter")
    reviewer.told("Saved as revision 2")
    written = load(bank).bank
    assert [c.status for c in written.conditions] == ["accepted", "rejected", "proposed"]
    assert (written.conditions[2].text, written.conditions[2].note) == ("light", "is it weather?")
    assert written.history[-1].by == "ada" and "accepted background" in written.history[-1].did
    reviewer.edits(0)


def test_undo_and_redo_walk_through_all_edits(reviewer: Reviewer) -> None:
    page = reviewer.page
    reviewer.press("j", "a")
    reviewer.edits(1)
    reviewer.press("]")
    reviewer.edits(2)
    assert reviewer.titles() == ["object pose", "background", "lighting"]
    assert "moved background to place 2" in (page.get_attribute("#undo", "title") or "")
    reviewer.press("u")
    reviewer.edits(1)
    assert reviewer.titles()[0] == "background"
    reviewer.press("u")
    reviewer.edits(0)
    reviewer.press("u")
    reviewer.told("There is nothing to undo")
    reviewer.press("Shift+U")
    reviewer.edits(1)
    page.click("#redo")
    reviewer.edits(2)
    assert reviewer.titles() == ["object pose", "background", "lighting"]
    reviewer.press("k", "a")
    reviewer.edits(3)
    assert page.is_disabled("#redo")


def test_keys_pressed_faster_than_the_server_answers_all_count(reviewer: Reviewer) -> None:
    reviewer.press("j", "a", "j", "a", "j", "r", "u", "r", "k")
    reviewer.edits(3)
    assert reviewer.page.locator(".card .status").all_inner_texts() == ["Accepted", "Accepted", "Rejected"]


def test_decisions_are_taken_back_by_the_same_button(reviewer: Reviewer) -> None:
    accept = reviewer.card(1).get_by_role("button", name="Accept background")
    accept.click()
    reviewer.edits(1)
    assert accept.get_attribute("aria-pressed") == "true"
    assert reviewer.page.evaluate("document.activeElement.dataset.key") == "accept:background"
    accept.click()
    reviewer.edits(2)
    assert accept.get_attribute("aria-pressed") == "false"


def test_merge_split_add_move_and_remove(reviewer: Reviewer, bank: Path) -> None:
    page = reviewer.page
    reviewer.choose(1, "Merge with…")
    page.click("#merge-dialog button[type=submit]")
    page.wait_for_selector("#merge-dialog .problem:has-text('at least one')")
    page.check("#merge-lighting")
    page.fill("#merge-text", "place and light")
    page.click("#merge-dialog button[type=submit]")
    reviewer.edits(1)
    reviewer.choose(2, "Split…")
    page.fill("#split-text-2", "viewpoint")
    page.fill("#split-values-2", "from above\n\n from the side ")
    page.click("#split-dialog button[type=submit]")
    reviewer.edits(2)
    page.click("#add")
    page.fill("#edit-text", "season")
    page.click("#edit-dialog button[type=submit]")
    reviewer.edits(3)
    reviewer.choose(4, "Move up")
    reviewer.edits(4)
    reviewer.choose(2, "Remove")
    reviewer.edits(5)
    assert reviewer.titles() == ["place and light", "season", "viewpoint"]
    reviewer.save()
    reviewer.told("Saved as revision 2")
    written = load(bank).bank.conditions
    assert [(c.id, c.text) for c in written] == [
        ("background", "place and light"),
        ("season", "season"),
        ("viewpoint", "viewpoint"),
    ]
    assert written[2].values == ("from above", "from the side") and written[1].status == "accepted"


def test_what_the_bank_refuses_is_said_in_the_dialog_and_nothing_typed_is_lost(reviewer: Reviewer) -> None:
    page = reviewer.page
    reviewer.press("j", "e")
    page.fill("#edit-text", "Object  Pose")
    page.fill("#edit-note", "a long thought")
    page.click("#edit-dialog button[type=submit]")
    page.wait_for_selector("#edit-dialog .problem:has-text('conditions[0].text')")
    assert page.input_value("#edit-note") == "a long thought"
    reviewer.edits(0)
    page.fill("#edit-text", "place")
    page.click("#edit-dialog button[type=submit]")
    reviewer.edits(1)
    reviewer.complaints.clear()  # the browser logs the refused request


def test_unsaved_edits_survive_a_reload_and_leaving_warns(reviewer: Reviewer) -> None:
    page = reviewer.page
    reviewer.press("j", "a", "j", "r", "u")
    reviewer.edits(1)
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.reload()
    page.wait_for_selector("body.ready")
    reviewer.edits(1)
    assert asked == ["beforeunload"]
    assert not page.is_disabled("#redo")
    assert page.locator("#notices").inner_text() == ""


def test_edits_of_a_page_that_is_gone_are_offered_and_taken_up(browser: Browser, bank: Path) -> None:
    with served(bank) as first:
        ada = Reviewer(browser, first)
        ada.press("j", "a", "j", "r")
        ada.edits(2)
        ada.context.close()
    with served(bank) as second:
        bob = Reviewer(browser, second)
        bob.page.wait_for_selector(".notice:has-text('2 unsaved edits by ada')")
        bob.edits(0)
        bob.page.click("text=Go on with them")
        bob.edits(2)
        assert bob.page.locator(".card .status").all_inner_texts()[:2] == ["Accepted", "Rejected"]
        bob.page.wait_for_selector(".notice", state="detached")
        bob.save()
        bob.told("Saved as revision 2")
        assert bob.complaints == []
        bob.context.close()


def test_edits_of_a_page_that_is_open_are_not_offered_to_the_next_tab(reviewer: Reviewer) -> None:
    reviewer.press("j", "a")
    reviewer.edits(1)
    other = reviewer.tab()
    assert other.locator(".notice").count() == 0 and other.is_disabled("#save")


def conflicting(reviewer: Reviewer) -> None:
    """A second tab saves first; then the first one tries."""
    reviewer.press("j", "a", "j", "r")
    reviewer.edits(2)
    first, second = reviewer.page, reviewer.tab()
    reviewer.page = second
    reviewer.press("j", "j", "e")
    second.fill("#edit-text", "posture")
    second.click("#edit-dialog button[type=submit]")
    reviewer.edits(1)
    reviewer.save()
    reviewer.told("Saved as revision 2")
    reviewer.page = first
    first.evaluate(COME_BACK)
    first.wait_for_selector(".notice:has-text('The file has changed')")
    reviewer.save()
    first.wait_for_selector("#conflict-dialog[open]")


@pytest.mark.parametrize("choice", ["rebase", "over", "theirs"])
def test_two_pages_cannot_overwrite_each_other(reviewer: Reviewer, bank: Path, choice: str) -> None:
    conflicting(reviewer)
    page = reviewer.page
    assert load(bank).bank.revision == 2
    row = page.locator("#conflict-differences tr:has-text('words')").inner_text()
    assert "posture" in row and "object pose" in row
    assert "by ada" in page.inner_text("#conflict-lead")
    page.click(f"#conflict-{choice}")
    if choice == "rebase":
        reviewer.told("on top of the file's content")
        reviewer.edits(2)
        reviewer.save()
    if choice == "theirs":
        reviewer.told("your edits were dropped")
    else:
        reviewer.told("Saved as revision 3")
    reviewer.edits(0)
    written = load(bank).bank
    decided = [(c.text, c.status) for c in written.conditions[:2]]
    assert (
        decided
        == {
            "rebase": [("background", "accepted"), ("posture", "rejected")],
            "over": [("background", "accepted"), ("object pose", "rejected")],
            "theirs": [("background", "proposed"), ("posture", "proposed")],
        }[choice]
    )
    assert page.locator(".notice").count() == 0


def test_a_page_without_edits_shows_what_was_saved_elsewhere(reviewer: Reviewer, bank: Path) -> None:
    record(editing.accept(load(bank).bank, ["pose"]), bank, by="bob", did="pose")
    reviewer.page.evaluate(COME_BACK)
    reviewer.page.wait_for_selector("#bank-origin:has-text('revision 2')")
    assert reviewer.card(2).locator(".status").inner_text() == "Accepted"


def test_a_server_that_has_ended_is_said_and_the_edits_that_were_applied_are_kept(browser: Browser, bank: Path) -> None:
    with served(bank) as server:
        ada = Reviewer(browser, server)
        ada.press("j", "a")
        ada.edits(1)
    ada.press("j", "a")
    ada.told("The server does not answer")
    ada.edits(1)
    ada.context.close()


HOSTILE = "<img src=x onerror=alert(1)>"


def test_labels_and_a_model_s_words_are_text_and_nothing_else(browser: Browser, tmp_path: Path) -> None:
    other = "</script><script>alert(2)</script>"
    hostile = Bank(
        name=HOSTILE,
        labels=(Label(name=HOSTILE), Label(name=other), Label(name="{{7*7}}")),
        conditions=(
            Condition(id="a", text=HOSTILE, definition=other, values=(HOSTILE,), note=other, evidence=("c",)),
            Condition(id="b", text="javascript:alert(3)", definition="\u202eabc"),
        ),
        dependencies=(Dependency(labels=(HOSTILE, other), conditions=("a",), because=HOSTILE, evidence=("c",)),),
        captions=(Caption(id="c", labels=(HOSTILE, other), text=f"A {HOSTILE} by {other}."),),
    )
    path = tmp_path / "bank.json"
    record(hostile, path, by=HOSTILE, did=other)
    with served(path, by=HOSTILE) as server:
        ada = Reviewer(browser, server)
        alerts: list[str] = []
        ada.page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.accept()))
        assert ada.titles()[0] == HOSTILE
        ada.press("j", "a")
        ada.edits(1)
        ada.press("s")
        assert HOSTILE in ada.page.inner_text("#save-dialog")
        ada.close()
        ada.press("m")
        ada.close()
        ada.press("d")
        ada.page.locator("#matrix td button").first.click()
        assert HOSTILE in ada.page.inner_text("#pair-dialog")
        assert ada.page.locator("body img, main script, dialog script").count() == 0
        assert alerts == [] and ada.complaints == []
        ada.context.close()


def test_the_matrix_of_80_labels_is_usable(browser: Browser, coco: Server) -> None:
    ada = Reviewer(browser, coco, viewport={"width": 1600, "height": 1000})
    page = ada.page
    page.click("#tab-dependencies")
    assert page.inner_text("#matrix-count") == "52 pairs among 60 of 80 labels"
    corner = page.locator(".matrix thead th").first
    row = page.locator(".matrix tbody th").nth(40)
    page.locator("#matrix").evaluate("(matrix) => matrix.scrollTo(400, 600)")
    top, left = page.locator("#matrix").bounding_box(), row.bounding_box()
    assert top and left and corner.bounding_box()
    assert abs((corner.bounding_box() or {})["y"] - top["y"]) < 3 and abs(left["x"] - top["x"]) < 3
    page.fill("#find", "stop")
    names = page.locator(".matrix tbody th").all_inner_texts()
    assert names[0] == "stop sign" and set(names) == {"stop sign", "chair", "oven", "tennis racket"}
    page.fill("#find", "no such label")
    page.wait_for_selector("#matrix:has-text('No label is left')")
    page.fill("#find", "")
    page.uncheck("#only-filled")
    assert page.locator(".matrix tbody tr").count() == 80
    page.select_option("#sort", "bank")
    assert page.locator(".matrix tbody th").all_inner_texts()[:3] == ["person", "bicycle", "car"]
    page.select_option("#by-condition", "location")
    assert "34 pairs" in page.inner_text("#matrix-count")
    page.select_option("#by-condition", "subject")
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


def test_a_dependency_is_read_and_set_from_the_matrix_by_keyboard(reviewer: Reviewer, bank: Path) -> None:
    page = reviewer.page
    page.click("#tab-dependencies")
    page.focus("#find")
    page.focus("#matrix")
    reviewer.press("Tab")
    first = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert first == "cat and potted plant: background, object pose, lighting"
    reviewer.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "cat and sofa: object pose, lighting"
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


def test_from_a_card_to_what_it_governs(reviewer: Reviewer) -> None:
    reviewer.card(3).get_by_role("button", name="governs 1 label pair").click()
    assert reviewer.page.input_value("#by-condition") == "lighting"
    assert reviewer.page.inner_text("#matrix-count").startswith("3 pairs among 3")


def focused(page: Page) -> str:
    """What has the focus: its id, its key or its kind."""
    return page.evaluate("(({ id, dataset, tagName }) => id || dataset.key || tagName)(document.activeElement)")


def test_the_tab_key_reaches_everything_and_is_never_trapped(reviewer: Reviewer) -> None:
    page = reviewer.page
    seen: list[str] = []
    for _ in range(60):
        reviewer.press("Tab")
        seen.append(focused(page))
        if seen[-1] == "BODY":
            break
    for wanted in ("help", "theme", "tab-dependencies", "card:background", "accept:pose", "edit:lighting", "add"):
        assert wanted in seen, wanted
    assert seen[-1] == "BODY" or seen.count("help") == 2
    page.focus("[data-key='more:pose']")
    reviewer.press("Enter", "Tab")
    assert focused(page) == "Merge with…:pose"
    reviewer.press("Escape")
    assert focused(page) == "more:pose"
    reviewer.press("e")
    page.wait_for_selector("#edit-dialog[open]")
    reviewer.press("Escape")
    assert focused(page) == "more:pose"


def test_single_keys_can_be_turned_off_and_help_is_one_key_away(reviewer: Reviewer) -> None:
    page = reviewer.page
    reviewer.press("?")
    page.wait_for_selector("#help-dialog[open]")
    reviewer.press("j", "a")
    page.uncheck("#keys-on")
    reviewer.close()
    reviewer.press("j", "a", "?")
    assert page.locator("dialog[open]").count() == 0
    page.reload()
    page.wait_for_selector("body.ready")
    reviewer.press("j", "a")
    assert reviewer.page.is_disabled("#save")


def test_the_theme_follows_the_system_until_a_person_chooses(browser: Browser, server: Server) -> None:
    ada = Reviewer(browser, server, color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = ada.page.evaluate(background)
    ada.page.click("#theme")
    light = ada.page.evaluate(background)
    assert light != dark
    ada.page.reload()
    ada.page.wait_for_selector("body.ready")
    assert ada.page.evaluate(background) == light
    ada.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_every_view_is_readable(browser: Browser, coco: Server, scheme: str, width: int) -> None:
    """Contrast as WCAG 2.2 AA asks, and nothing that makes the page scroll sideways."""
    ada = Reviewer(browser, coco, color_scheme=scheme, viewport={"width": width, "height": 900})
    page = ada.page

    def look(view: str) -> None:
        assert faint(page) == [], view
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view

    look("cards")
    ada.press("j", "a", "j", "r", "j", "e")
    page.fill("#edit-text", "")
    page.click("#edit-dialog button[type=submit]")
    page.wait_for_selector("#edit-dialog .problem:visible")
    look("edit, with a problem")
    page.fill("#edit-text", "a word that is extraordinarilylongandhasnospaceanywhereinitatallwhichhappens")
    page.fill("#edit-note", "A note.")
    page.click("#edit-dialog button[type=submit]")
    ada.edits(3)
    look("edited cards")
    for key, view in (("?", "help"), ("m", "merge"), ("p", "split"), ("s", "save")):
        ada.press(key)
        page.wait_for_selector(f"#{view}-dialog[open]")
        look(view)
        ada.close()
    ada.press("d")
    look("matrix")
    page.locator("#matrix td button").first.click()
    look("pair")
    ada.context.close()
