"""A user of the review page in a real browser."""

from __future__ import annotations

from typing import Any

from tests.browser import User


class Reviewer(User):
    """A user with the review page open."""

    def close(self) -> None:
        """Close the dialog that is open, by its key."""
        self.press("Escape")
        self.page.wait_for_selector("dialog[open]", state="detached")

    def save(self) -> None:
        """Save by keyboard: open the changes, then confirm."""
        self.press("s")
        self.page.wait_for_selector("#save-dialog[open]")
        self.press("Enter")

    def edits(self, count: int) -> None:
        """Wait for a number of unsaved edits."""
        if count:
            self.page.wait_for_selector(f"#save .count:text-is('{count}')")
        else:
            self.page.wait_for_selector("#save:disabled")

    def titles(self) -> list[str]:
        """The words of the conditions, in order."""
        return self.page.locator(".card .words").all_inner_texts()

    def card(self, number: int) -> Any:
        """The card at a position, from 1."""
        return self.page.locator(".card").nth(number - 1)

    def choose(self, number: int, word: str) -> None:
        """An entry of the menu of a card."""
        self.card(number).locator(".menu summary").click()
        self.card(number).locator(".menu-items button", has_text=word).click()
