"""Unsaved edits that survive a page, and two pages of one bank."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from prompt_bank.editing import edits as editing
from prompt_bank.recording.store import load, record
from tests.prompt_bank.review.browser import Reviewer
from tests.prompt_bank.review.serving import served

COME_BACK = "() => window.dispatchEvent(new Event('focus'))"
"""Simulates the user's return to the page, as all tabs of a headless browser have the focus."""


def test_unsaved_edits_survive_a_reload_and_leaving_warns(reviewer: Reviewer) -> None:
    page = reviewer.page
    reviewer.press("j", "a", "j", "r")
    reviewer.edits(2)
    reviewer.press("u")
    reviewer.edits(1)
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.reload()
    page.wait_for_selector("body.ready")
    reviewer.edits(1)
    assert asked == ["beforeunload"]
    assert not page.is_disabled("#redo")
    assert page.locator("#notices").inner_text() == ""


def test_edits_of_a_closed_page_are_offered_and_resumed(browser: Browser, bank: Path) -> None:
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


def test_edits_of_an_open_page_are_not_offered_to_another_tab(reviewer: Reviewer) -> None:
    reviewer.press("j", "a")
    reviewer.edits(1)
    other = reviewer.tab()
    assert other.locator(".notice").count() == 0 and other.is_disabled("#save")


def test_a_duplicated_tab_has_its_own_edits(reviewer: Reviewer) -> None:
    reviewer.press("j", "a")
    reviewer.edits(1)
    with reviewer.page.expect_popup() as opened:
        reviewer.page.evaluate("() => void window.open('/')")  # it takes over the tab's session, as a duplicate does
    double = opened.value
    double.wait_for_selector("body.ready")
    assert double.is_disabled("#save") and double.locator(".notice").count() == 0
    double.keyboard.press("n")
    double.fill("#edit-text", "season")
    double.click("#edit-dialog button[type=submit]")
    double.wait_for_selector("#save .count")
    reviewer.page.reload()
    reviewer.page.wait_for_selector("body.ready")
    reviewer.edits(1)
    assert reviewer.titles() == ["background", "object pose", "lighting"]


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


def test_the_page_reports_an_ended_server_and_applied_edits_are_kept(browser: Browser, bank: Path) -> None:
    with served(bank) as server:
        ada = Reviewer(browser, server)
        ada.press("j", "a")
        ada.edits(1)
    ada.press("j", "a")
    ada.told("The server does not answer")
    ada.edits(1)
    ada.context.close()
