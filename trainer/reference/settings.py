"""All settings of a run, with type, default and meaning."""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from fedmpt.common.words import fold
from trainer.errors import TrainerError, unknown_name
from trainer.reference.source import (
    REQUIRED,
    Definition,
    FieldSource,
    class_constant,
    class_docstring,
    fields_of,
    read_source,
    registered_settings,
)

TYPES = {"int": "integer", "float": "number", "bool": "true or false", "str": "text"}
TYPES |= dict.fromkeys(("Path", "SettingsPath"), "path") | {"NameTemplate": "text with {}"}
"""Types as they are shown to people."""


@dataclass(frozen=True)
class Setting:
    """A setting of a run.

    Attributes:
        key: with dots, "method.rank" for instance.
        method: the method that it belongs to; None for settings of all runs.
        type: for people, with bounds: "integer ≥ 1".
        default: its value; None where it is unset by default.
        meaning: its description.
    """

    key: str
    method: str | None
    type: str
    default: Any
    meaning: str


@dataclass(frozen=True)
class Group:
    """A group of settings: the table of a TOML file.

    Attributes:
        key: "data.partition" for instance; empty for the settings outside of all groups.
        method: see `Setting`.
        meaning: the description of its class.
        settings: those directly in it.
    """

    key: str
    method: str | None
    meaning: str
    settings: tuple[Setting, ...]


@cache
def groups() -> tuple[Group, ...]:
    """All settings by group; a method's own follow each other, and come first.

    Those of all runs have the defaults of runs with the default method; see `groups_of`.

    Raises:
        TrainerError: a settings class that cannot be read.
    """
    run = read_source("trainer.run_config").definition("RunConfig")
    if run is None:
        raise TrainerError("trainer/run_config.py defines no RunConfig")
    methods = [group for name, found in _methods().items() for group in _groups("method", name, found)]
    return (*methods, *_groups("", None, run, without=("method",)))


def groups_of(method: str) -> list[Group]:
    """The settings of runs with a method, with the defaults that it has there (`MethodSettings.usual`)."""
    usual = class_constant(_methods()[method], "usual") or {}
    return [
        replace(group, settings=tuple(replace(s, default=usual.get(s.key, s.default)) for s in group.settings))
        for group in groups()
        if group.method in (None, method)
    ]


def method_names() -> list[str]:
    """The methods with settings of their own, including those of installed packages."""
    return list(_methods())


def default_method() -> str:
    """The method of a run that names none."""
    run = read_source("trainer.run_config").definition("RunConfig")
    found = fields_of(run)["method"].group if run else None
    if found is None:
        raise TrainerError("trainer/run_config.py: RunConfig.method has no default")
    return str(fields_of(found)["name"].default)


def matching(pattern: str | None, method: str | None = None) -> list[Setting]:
    """The settings whose key or meaning contains the pattern, case aside.

    Args:
        pattern: None for all.
        method: only the settings of runs with this method; None for all methods.

    Raises:
        TrainerError: nothing matches; names the nearest keys. Or an unknown method.
    """
    if method is not None and method not in method_names():
        raise unknown_name("method", method, method_names())
    known = [setting for group in (groups() if method is None else groups_of(method)) for setting in group.settings]
    wanted = fold(pattern or "")
    found = [setting for setting in known if wanted in _searched(setting)]
    if not found:
        # A misspelt last word is closer to the last word of its key than to the whole key.
        words = {setting.key.rpartition(".")[2]: setting.key for setting in known}
        near = get_close_matches(wanted.rpartition(".")[2], words, n=3, cutoff=0.0)
        listed = ", ".join(words[word] for word in near)
        raise TrainerError(f"no setting has '{pattern}' in its name or meaning; the nearest are: {listed}")
    return found


def _searched(setting: Setting) -> str:
    """Key, key in words ("learning rate") and meaning, for comparison."""
    return fold(f"{setting.key}\n{setting.key.replace('_', ' ')}\n{setting.meaning}")


@cache
def _methods() -> dict[str, Definition]:
    """The settings classes by method name, as `trainer.methods.registry` finds them; broken packages are left out."""
    folder = importlib.util.find_spec("trainer.methods")
    paths = folder.submodule_search_locations if folder else None
    modules = [f"trainer.methods.{module.name}" for module in pkgutil.iter_modules(paths)]
    modules += [entry.module for entry in entry_points(group="fedmpt.methods")]
    found: dict[str, Definition] = {}
    for module in modules:
        try:
            classes = list(registered_settings(read_source(module)))
        except (TrainerError, ImportError, SyntaxError):
            continue  # its import fails as well, and `fedmpt train` says why
        found |= {str(fields_of(one)["name"].default): one for one in classes}
    return dict(sorted(found.items()))


def _groups(key: str, method: str | None, definition: Definition, without: tuple[str, ...] = ()) -> Iterator[Group]:
    fields = [field for field in fields_of(definition).values() if field.name not in without]
    prefix = f"{key}." if key else ""
    settings = tuple(
        Setting(f"{prefix}{field.name}", method, type_text(field), _default(field), _for_people(field.meaning))
        for field in fields
        if field.group is None
    )
    if settings:
        yield Group(key, method, class_docstring(definition), settings)
    for field in fields:
        if field.group is not None:
            yield from _groups(f"{prefix}{field.name}", method, field.group)


def _default(field: FieldSource) -> Any:
    if field.default is REQUIRED:
        raise TrainerError(f"the setting {field.name} has no default")
    return field.default


def _for_people(meaning: str) -> str:
    """Neither TOML nor --set has None; a setting without a value is left out."""
    return re.sub(r"\bNone\b", "unset", meaning)


def type_text(field: FieldSource) -> str:
    """A field's type for people: "integer ≥ 1", "last | value", "path, or unset"."""
    return " ".join([_type(field.annotation), *field.bounds])


def _type(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            shown = TYPES.get(name, name)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            shown = f"{_type(left)} or {_type(right)}"
        case ast.Constant(value=None):
            shown = "unset"
        case ast.Subscript(value=ast.Name(id="Literal"), slice=values):
            named = values.elts if isinstance(values, ast.Tuple) else [values]
            shown = " | ".join(str(ast.literal_eval(value)) for value in named)
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[first, *_])):
            shown = f"list of {_type(first)}"
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[first, *_])):
            shown = _type(first)
        case _:
            shown = ast.unparse(node)
    return shown
