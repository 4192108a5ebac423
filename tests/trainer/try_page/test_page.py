"""The page in a real browser, as the person uses it who judges a model."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import User
from tests.contrast import faint
from tests.local_server import TOKEN, Server, serving
from tests.trainer.try_page.models import LABELS, MARKUP, content, picture, small_model
from trainer.inference.model import Model
from trainer.methods.coop import CoOpConfig
from trainer.try_page.answering import Answerer
from trainer.try_page.server import application

PIXELS = "canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"
DROP = """files => {
  const held = new DataTransfer();
  for (const [name, text] of files) {
    held.items.add(new File([Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0))], name));
  }
  for (const kind of ["dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: held, bubbles: true, cancelable: true }));
  }
}"""


def put_in(page: Page, paths: list[Path]) -> None:
    """Choose files, and wait for their answers."""
    before = page.locator(".card .why, .card .problem").count()
    page.set_input_files("#files", paths)
    page.locator(".card .why, .card .problem").nth(before + len(paths) - 1).wait_for()


def card(page: Page, number: int) -> Any:
    """The card at a position, from 1."""
    return page.locator(".card").nth(number - 1)


def found(page: Page, number: int) -> list[str]:
    """The labels above the threshold on a card."""
    return card(page, number).locator("button.label.found .name").all_inner_texts()


def slide(page: Page, selector: str, value: float) -> None:
    page.locator(selector).fill(str(value))


def test_several_pictures_get_the_models_labels(user: User, model: Model, photos: list[Path]) -> None:
    page = user.page
    assert page.is_visible("#drop") and MARKUP in page.inner_text("#lead")
    put_in(page, photos)
    assert page.locator(".card h2").all_inner_texts() == [path.name for path in photos]
    for number, probabilities in enumerate(model.predict(photos), 1):
        ranked = sorted(probabilities, key=lambda name: -probabilities[name])
        assert found(page, number) == [name for name in ranked if probabilities[name] > model.threshold]
        first = card(page, number).locator("button.label").first
        assert first.locator(".name").inner_text() == ranked[0] and first.get_attribute("aria-pressed") == "true"
        assert f"{100 * probabilities[ranked[0]]:.0f}\u00a0%" in first.inner_text()
    assert "on 3 pictures" in page.inner_text("#summary") and page.is_hidden("#start")


def test_a_label_shows_its_places_and_conditions(user: User, model: Model, photos: list[Path]) -> None:
    page = user.page
    put_in(page, photos[:1])
    user.press("a")
    for name in ("boat", MARKUP):
        card(page, 1).locator("button.label", has_text=name).click()
        why = card(page, 1).locator(".why").inner_text()
        (evidence,) = model.explain(photos[0], [name]).labels
        assert evidence.conditions is not None and f"Why {name}" in why and f"{abs(evidence.logit):.2f}" in why
        for share in evidence.conditions:
            assert share.condition in why and f"{abs(share.adds):.2f}" in why
    canvas = card(page, 1).locator("canvas")
    assert evidence.places is not None
    drawn = canvas.evaluate(PIXELS)
    brightest = max(range(16), key=lambda patch: drawn[4 * patch + 3])
    assert brightest == int(evidence.places.argmax())
    page.uncheck("#heat")
    canvas.wait_for(state="hidden")


def test_thresholds_for_all_labels_and_for_one(user: User, photos: list[Path]) -> None:
    page = user.page
    put_in(page, photos)
    start = [found(page, number) for number in (1, 2, 3)]
    slide(page, "#threshold", 0)
    page.wait_for_selector("#summary:has-text('21 labels')")
    assert found(page, 1)[-1] in LABELS and len(found(page, 1)) == len(LABELS)
    slide(page, "#threshold", 1)
    page.wait_for_selector("#summary:has-text('3 without a label')")
    assert card(page, 1).locator("button.label").count() == 5
    first = card(page, 1).locator("button.label .name").first.inner_text()
    slide(page, ".card:first-child .own input", 0)
    page.wait_for_selector("#summary:has-text('3 labels')")
    assert [found(page, number) for number in (1, 2, 3)] == [[first]] * 3
    card(page, 1).locator(".own button").click()
    page.wait_for_selector("#summary:has-text('0 labels')")
    page.click("#reset")
    page.wait_for_selector("#reset", state="hidden")
    assert [found(page, number) for number in (1, 2, 3)] == start


@pytest.mark.parametrize("selector", ["#threshold", ".card:first-child .own input"])
def test_a_slider_can_be_dragged(user: User, photos: list[Path], selector: str) -> None:
    """All the way, although the cards are redrawn in between."""
    page = user.page
    put_in(page, photos[:2])
    slide(page, "#threshold", 0.1)
    slider = page.locator(selector)
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.1 * box["width"], middle)
    page.mouse.down()
    for part in range(2, 10):
        page.mouse.move(box["x"] + part / 10 * box["width"], middle)
        page.evaluate("new Promise(requestAnimationFrame)")
    page.mouse.up()
    assert 0.85 < float(slider.input_value()) < 1


def test_by_keyboard_alone(user: User, model: Model, photos: list[Path]) -> None:
    page = user.page
    put_in(page, photos)
    user.press("j", "j")
    assert page.evaluate("document.activeElement.ariaLabel") == photos[1].name
    user.press("ArrowDown")
    labels = card(page, 2).locator("button.label")
    assert labels.nth(1).get_attribute("aria-pressed") == "true"
    user.press("ArrowUp", "ArrowUp")
    assert labels.nth(0).get_attribute("aria-pressed") == "true"
    assert labels.count() < len(LABELS)
    user.press("a")
    assert labels.count() == len(LABELS)
    user.press("]", "]", "[")
    page.wait_for_selector(f"#threshold-value:has-text('{round(100 * model.threshold) + 1}')")
    user.press("t", "h")
    assert not page.is_checked("#heat")
    user.press("x")
    assert page.locator(".card h2").all_inner_texts() == [photos[0].name, photos[2].name]
    user.press("?")
    page.wait_for_selector("#help-dialog[open]")
    user.press("Escape", "Tab")
    page.click("#clear")
    assert page.locator(".card").count() == 0 and page.is_visible("#drop")


def test_dropped_files_and_one_that_is_no_picture(browser: Browser, server: Server) -> None:
    ada = User(browser, server)
    files = [("<b>one</b>.png", content(picture(1))), ("two.txt", b"no image"), ("three.png", content(picture(2)))]
    ada.page.evaluate(DROP, [[name, base64.b64encode(text).decode()] for name, text in files])
    ada.page.locator(".card .why").nth(1).wait_for()
    assert ada.page.locator(".card h2").all_inner_texts() == [name for name, _ in files]
    assert card(ada.page, 2).locator(".problem").inner_text() == "not an image that can be read"
    assert "on 2 pictures" in ada.page.inner_text("#summary")
    assert all("422" in text for text in ada.complaints)
    ada.context.close()


def test_a_file_over_the_limit_is_not_sent(browser: Browser, model: Model, photos: list[Path]) -> None:
    class Strict(Answerer):
        def describe(self) -> dict[str, Any]:
            return {**super().describe(), "max_bytes": 10}

    with serving(application(Strict(model), TOKEN)) as server:
        ada = User(browser, server)
        put_in(ada.page, photos[:1])
        assert "the limit is" in card(ada.page, 1).inner_text() and ada.complaints == []
        ada.context.close()


def test_a_method_without_conditions_and_places(browser: Browser, photos: list[Path]) -> None:
    with serving(application(Answerer(small_model(CoOpConfig(context_tokens=2))), TOKEN)) as server:
        ada = User(browser, server)
        put_in(ada.page, photos[:1])
        text = card(ada.page, 1).inner_text()
        assert "no conditions" in text and "scored as a whole" in text
        assert not card(ada.page, 1).locator("canvas").is_visible() and ada.complaints == []
        ada.context.close()


def test_the_token_leaves_the_address_and_a_stranger_sees_nothing(user: User) -> None:
    assert "#" not in user.page.url
    stranger = user.context.new_page()
    stranger.goto(f"http://127.0.0.1:{user.server.port}/")
    stranger.wait_for_selector("text=Open the address that the terminal shows")
    assert "dining table" not in stranger.inner_text("body") and stranger.is_disabled("#choose")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 900, 1600])
def test_every_view_is_readable(browser: Browser, server: Server, photos: list[Path], scheme: str, width: int) -> None:
    """Contrast as WCAG 2.2 AA asks, and nothing that makes the page scroll sideways."""
    ada = User(browser, server, color_scheme=scheme, viewport={"width": width, "height": 800})
    page = ada.page

    def look(view: str) -> None:
        assert faint(page) == [], view
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view

    look("start")
    put_in(page, [*photos, Path(__file__)])
    look("cards")
    ada.press("a")
    slide(page, "#threshold", 0.01)
    slide(page, ".card:first-child .own input", 0.9)
    look("all labels, moved thresholds")
    ada.press("?")
    page.wait_for_selector("#help-dialog[open]")
    look("help")
    ada.context.close()
