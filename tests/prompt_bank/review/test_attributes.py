"""What labels look like, on the page: shown, edited, undone, saved; hostile text stays text."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser

from prompt_bank.recording.store import load, record
from prompt_bank.schema import Bank, Condition, Label
from tests.prompt_bank.review.browser import Reviewer
from tests.prompt_bank.review.serving import served

HOSTILE = "<img src=x onerror=alert(1)>"


def attributed(folder: Path) -> Path:
    labels = (Label(name="fork", attributes=("four tines", HOSTILE)), Label(name="<b>car</b>"))
    bank = Bank(name="kitchen", labels=labels, conditions=(Condition(id="place", text="place"),))
    path = folder / "bank.json"
    record(bank, path, by="miner", did="mined")
    return path


def test_attributes_are_shown_edited_undone_and_saved(browser: Browser, tmp_path: Path) -> None:
    path = attributed(tmp_path)
    with served(path, by="ada") as server:
        ada = Reviewer(browser, server)
        ada.press("d", "d")
        ada.page.wait_for_selector("#labels:not([hidden])")
        assert ada.page.locator("#labels-list h2").all_inner_texts() == ["fork", "<b>car</b>"]
        assert ada.page.locator("#labels-list .values li").all_inner_texts() == ["four tines", HOSTILE]
        ada.page.get_by_role("button", name="Edit the attributes of fork").click()
        ada.page.fill("#attributes-text", "four tines\nlong handle\n")
        ada.page.get_by_role("button", name="Apply").click()
        ada.edits(1)
        assert ada.page.locator("#labels-list .values li").all_inner_texts() == ["four tines", "long handle"]
        ada.press("u")
        ada.edits(0)
        assert ada.page.locator("#labels-list .values li").all_inner_texts() == ["four tines", HOSTILE]
        ada.press("U")
        ada.edits(1)
        ada.press("s")
        assert "long handle" in ada.page.inner_text("#save-changes")
        ada.press("Enter")
        ada.edits(0)
        assert ada.page.locator("body img").count() == 0
        assert ada.complaints == []
        ada.context.close()
    fork = load(path).bank.labels[0]
    assert (fork.attributes, fork.attributes_edited) == (("four tines", "long handle"), True)


def test_a_refused_attribute_is_reported_in_the_dialog(browser: Browser, tmp_path: Path) -> None:
    with served(attributed(tmp_path)) as server:
        ada = Reviewer(browser, server)
        ada.press("d", "d")
        ada.page.get_by_role("button", name="Edit the attributes of fork").click()
        ada.page.fill("#attributes-text", "\n".join(f"attribute {number}" for number in range(30)))
        ada.page.get_by_role("button", name="Apply").click()
        ada.page.wait_for_selector("#attributes-dialog .problem:not([hidden])")
        assert ada.page.input_value("#attributes-text").startswith("attribute 0")
        ada.context.close()


def test_a_bank_without_attributes_has_no_tab(reviewer: Reviewer) -> None:
    assert reviewer.page.locator("#tab-labels").is_hidden()
    reviewer.press("d", "d")
    assert reviewer.page.locator("#conditions").is_visible()
