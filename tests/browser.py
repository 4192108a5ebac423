"""A real browser for the local pages: Chromium without a window, through Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.local_server import Server

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with its own profile.

    Skips the calling test where there is none; fails it where CI=true.
    """
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        reason = "no Chromium on this machine (Debian: apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class User:
    """A user with the page open.

    Attributes:
        page: Playwright's page.
        complaints: errors of the page's scripts and of its policy.
        asked: hosts that the page asked for something.
    """

    def __init__(self, browser: Browser, server: Server, **options: Any) -> None:
        options = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options}
        self.server, self.context = server, browser.new_context(**options)
        self.complaints: list[str] = []
        self.asked: set[str] = set()
        self.page = self.tab()

    def tab(self) -> Page:
        """Another tab of the same browser, with the page open in it."""
        page = self.context.new_page()
        page.set_default_timeout(5000)
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.add(request.url.split("/")[2]))
        page.goto(self.server.url)
        page.wait_for_selector("body.ready")
        return page

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def told(self, text: str) -> None:
        """Wait for a message at the bottom of the page."""
        self.page.wait_for_selector(f"#toast:has-text({text!r})")
