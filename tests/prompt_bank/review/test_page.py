"""The review page in a real browser, as a person uses it."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser

from prompt_bank.recording.store import load, record
from prompt_bank.schema import Bank, Caption, Condition, Dependency, Label
from tests.prompt_bank.review.browser import Reviewer
from tests.prompt_bank.review.serving import served


def test_a_card_shows_words_support_values_and_captions(reviewer: Reviewer) -> None:
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
    page.wait_for_selector("[data-key='card:lighting']:focus")
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


def test_no_key_press_is_lost_while_the_server_answers(reviewer: Reviewer) -> None:
    reviewer.press("j", "r", "r", "j", "a", "j", "a", "u", "r", "k")
    reviewer.page.wait_for_selector("[data-id=lighting] .status.rejected")
    reviewer.edits(4)
    assert reviewer.page.locator(".card .status").all_inner_texts() == ["Proposed", "Accepted", "Rejected"]


def test_the_same_button_reverts_a_decision(reviewer: Reviewer) -> None:
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


def test_a_refused_edit_is_reported_in_the_dialog_and_the_input_kept(reviewer: Reviewer) -> None:
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


def test_a_dialog_with_input_closes_only_at_the_second_attempt(reviewer: Reviewer) -> None:
    page = reviewer.page
    reviewer.press("j", "e")
    page.fill("#edit-note", "a long thought")
    reviewer.press("Escape")
    page.wait_for_selector("#edit-dialog .problem:has-text('not applied')")
    assert page.input_value("#edit-note") == "a long thought"
    reviewer.close()
    reviewer.press("e")
    page.wait_for_selector("#edit-dialog[open]")
    assert page.input_value("#edit-note") == ""
    page.fill("#edit-note", "again")
    page.click("text=Cancel")
    page.click("#edit-dialog button[type=submit]")
    reviewer.edits(1)
    assert "again" in reviewer.card(1).inner_text()


HOSTILE = "<img src=x onerror=alert(1)>"


def test_labels_and_model_answers_are_shown_as_text(browser: Browser, tmp_path: Path) -> None:
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
