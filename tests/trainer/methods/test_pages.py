"""The commands on the methods' pages are understood."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from trainer.resolving import parse_assignment, resolve

PAGES = sorted((Path(__file__).resolve().parents[3] / "docs" / "methods").glob("*.md"))


def commands(page: str) -> list[list[str]]:
    """The words of all `fedmpt train` commands in a page, without comments."""
    lines = page.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[2:] for line in lines if line.startswith("    fedmpt train ")]


def settings(words: list[str]) -> tuple[str | None, dict[str, Any]]:
    """The preset, and all other settings of a command."""
    pairs = list(zip(words[::2], words[1::2], strict=True))
    assert {option for option, _ in pairs} <= {"--method", "--preset", "--set"}
    named = [("method.name", value) for option, value in pairs if option == "--method"]
    presets = [value for option, value in pairs if option == "--preset"]
    chosen = [parse_assignment(value) for option, value in pairs if option == "--set"]
    return (presets[0] if presets else None), dict([*named, *chosen])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_gives_settings(page: Path) -> None:
    """Some of them those of the page's method, and of its released variant, where there is one."""
    found = [resolve(preset=preset, overrides=chosen) for preset, chosen in map(settings, commands(page.read_text()))]
    own = [config.method for config in found if config.method.name == page.stem]
    assert own
    if "variant" in type(own[0]).model_fields:
        assert {method.variant for method in own} == {"clean", "released"}  # type: ignore[attr-defined]
