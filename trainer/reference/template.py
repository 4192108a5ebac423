"""The template of a settings file (TOML): every setting with its meaning, commented out at its default."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from trainer.errors import unknown_name
from trainer.reference.settings import Group, Setting, default_method, groups_of, method_names

WIDTH = 100
"""Line length of comments."""

HEAD = """\
# Settings of fedmpt train, which reads fedmpt.toml in its folder, or --config FILE.
# A line that begins with # and a space explains; a line that begins with # alone is a setting at its default:
# remove the # and change the value. What stands here is stronger than --preset, and --set is stronger than this file.
"""


def template(method: str | None = None) -> str:
    """A settings file in which every setting of runs with a method is commented out at its default.

    Settings without a default are explained, but have no value to uncomment.

    Args:
        method: whose own settings are included; None for the default method. If it is another one, its name is set.

    Raises:
        TrainerError: an unknown method.
    """
    chosen = default_method() if method is None else method
    if chosen not in method_names():
        raise unknown_name("method", chosen, method_names())
    included = groups_of(chosen)
    # TOML: values outside of tables come before all tables.
    ordered = [group for group in included if not group.key] + [group for group in included if group.key]
    return "\n".join([HEAD, *(_table(group, chosen != default_method()) for group in ordered)])


def _table(group: Group, named: bool) -> str:
    lines = []
    if group.key:
        lines += [*_comment(group.meaning), f"[{group.key}]"]
    for setting in group.settings:
        lines += _lines(setting, named)
    return "\n".join(lines) + "\n"


def _lines(setting: Setting, named: bool) -> list[str]:
    name = setting.key.rpartition(".")[2]
    described = _comment(f"{name} ({setting.type}): {setting.meaning}")
    if setting.default is None:
        return [*described, f"# {name} is not set."]
    active = named and setting.key == "method.name"
    return [*described, f"{'' if active else '#'}{name} = {to_toml(setting.default)}"]


def to_toml(value: Any) -> str:
    """A value in TOML; strings are quoted as in JSON, which is valid TOML for text without control characters."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(to_toml(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False)


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)]
