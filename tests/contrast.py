"""Contrast of the text on a page, as WCAG 2.2 computes it (success criterion 1.4.3)."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page

Colour = tuple[float, float, float, float]

TEXTS = """() => {
  const found = [];
  const root = document.querySelector("dialog[open]") ?? document.body;
  const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode;
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
    if (element.closest(":disabled, script, noscript, option, #toast")) continue;
    const style = getComputedStyle(element);
    const behind = [];
    for (let one = element; one; one = one.parentElement) behind.push(getComputedStyle(one).backgroundColor);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    found.push([node.data.trim().slice(0, 40), style.color, behind, large]);
  }
  return found;
}"""
"""Every visible text with its colour and the backgrounds behind it, the nearest first. Disabled controls are exempt."""


def faint(page: Page) -> list[str]:
    """The texts that have too little contrast with what stands behind them, with the ratio."""
    texts: list[list[Any]] = page.evaluate(TEXTS)
    assert texts
    found = []
    for text, colour, behind, large in texts:
        background = (1.0, 1.0, 1.0, 1.0)
        for layer in reversed(behind):
            background = _over(_parsed(layer), background)
        ratio = contrast(_over(_parsed(colour), background), background)
        if ratio < (3 if large else 4.5):
            found.append(f"{text!r}: {ratio:.2f} ({colour} on {behind[0]})")
    return found


def contrast(a: Colour, b: Colour) -> float:
    """From 1, the same luminance, to 21, black on white."""
    light, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Colour) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _over(top: Colour, under: Colour) -> Colour:
    alpha = top[3]
    mixed = [alpha * t + (1 - alpha) * u for t, u in zip(top[:3], under[:3], strict=True)]
    return (mixed[0], mixed[1], mixed[2], 1.0)


def _parsed(text: str) -> Colour:
    """ "rgb(1, 2, 3)", "rgba(1, 2, 3, 0.5)" or "color(srgb 0.1 0.2 0.3 / 0.5)"."""
    numbers = [float(number) for number in re.findall(r"[\d.]+(?:e-?\d+)?", text)]
    scale = 1.0 if text.startswith("color(srgb") else 255.0
    assert text.startswith(("rgb", "color(srgb")), text
    red, green, blue = (number / scale for number in numbers[:3])
    return (red, green, blue, numbers[3] if len(numbers) == 4 else 1.0)
