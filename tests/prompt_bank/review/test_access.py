"""The page by keyboard alone, in both themes, on a phone and on a wide screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page

from tests.contrast import faint
from tests.local_server import Server
from tests.prompt_bank.review.browser import Reviewer


def focused(page: Page) -> str:
    """The focused element: its id, key or tag."""
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
