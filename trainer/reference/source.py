"""Settings classes read as source, without importing them: the methods' files import torch, which takes seconds.

The docstrings below the fields are the settings' descriptions and exist in the source only. A field is read if its
default is a literal, a constant of a module, or another settings class without arguments.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from trainer.errors import TrainerError

REQUIRED = object()
"""The default of a field without one."""
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
"""Signs of pydantic's constraints."""


@dataclass(frozen=True)
class Definition:
    """A class or a value in a source file."""

    source: Source
    node: ast.AST


@dataclass(frozen=True)
class FieldSource:
    """A field of a settings class.

    Attributes:
        name: of the field.
        annotation: its type, with aliases replaced by what they stand for.
        default: its value; REQUIRED if there is none, and for a group of settings.
        group: the settings class that it holds; None for a value.
        bounds: the constraints, "≥ 1" for instance.
        meaning: the docstring in one line; empty if there is none.
    """

    name: str
    annotation: ast.expr
    default: Any
    group: Definition | None
    bounds: tuple[str, ...]
    meaning: str


class Source:
    """A module's source.

    Args:
        module: its full name; its file is found without running it.

    Raises:
        TrainerError: there is no such module, or no source of it.
    """

    def __init__(self, module: str) -> None:
        found = importlib.util.find_spec(module)
        if found is None or found.origin is None or not found.origin.endswith(".py"):
            raise TrainerError(f"module '{module}' has no source to read settings from")
        self.path = Path(found.origin)
        self.tree = ast.parse(self.path.read_text(encoding="utf-8"))
        self.imported: dict[str, tuple[str, str]] = {}
        self.defined: dict[str, ast.AST] = {}
        for node in self.tree.body:
            match node:
                case ast.ImportFrom(module=str(origin), names=names, level=0):
                    self.imported |= {alias.asname or alias.name: (origin, alias.name) for alias in names}
                case ast.ClassDef(name=name):
                    self.defined[name] = node
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.defined[name] = value
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    self.defined[name] = value

    def definition(self, name: str) -> Definition | None:
        """What a name in this module stands for; None for names of other libraries."""
        if name in self.defined:
            return Definition(self, self.defined[name])
        if name not in self.imported:
            return None
        module, original = self.imported[name]
        if module.partition(".")[0] in {"pydantic", *sys.stdlib_module_names}:
            return None
        try:
            return read_source(module).definition(original)
        except (TrainerError, ImportError):
            return None


@cache
def read_source(module: str) -> Source:
    """A module's source, parsed once."""
    return Source(module)


def registered_settings(source: Source) -> Iterator[Definition]:
    """The settings classes that a method's module registers: `@register(ItsSettings)`."""
    for node in source.tree.body:
        for decorator in node.decorator_list if isinstance(node, ast.ClassDef) else ():
            match decorator:
                case ast.Call(func=ast.Name(id="register"), args=[ast.Name(id=name)]):
                    if found := source.definition(name):
                        yield found


def class_docstring(definition: Definition) -> str:
    """The docstring of a class, in one line."""
    if not isinstance(definition.node, ast.ClassDef):
        return ""
    return _one_line(ast.get_docstring(definition.node) or "")


def fields_of(definition: Definition) -> dict[str, FieldSource]:
    """The fields of a settings class by name, inherited ones first.

    An overridden field without a docstring keeps that of the base class.

    Raises:
        TrainerError: a default that cannot be read.
    """
    fields: dict[str, FieldSource] = {}
    node = definition.node
    if not isinstance(node, ast.ClassDef):
        return fields
    for base in reversed(node.bases):
        parent = definition.source.definition(base.id) if isinstance(base, ast.Name) else None
        fields |= fields_of(parent) if parent else {}
    for position, statement in enumerate(node.body):
        match statement:
            case ast.AnnAssign(annotation=ast.Subscript(value=ast.Name(id="ClassVar"))):
                continue  # of the class, no setting
            case ast.AnnAssign(target=ast.Name(id=name)):
                field = _field(definition.source, name, statement, _docstring_after(node.body, position))
                inherited = fields[name].meaning if name in fields else ""
                fields[name] = replace(field, meaning=field.meaning or inherited)
    return fields


def class_constant(definition: Definition, name: str) -> Any:
    """The literal value of a class variable, `name: ClassVar[…] = value`, of the class or its bases; None without one.

    Raises:
        TrainerError: its value is computed.
    """
    node = definition.node
    if not isinstance(node, ast.ClassDef):
        return None
    for statement in node.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if target == name:
                return _literal(definition.source, value)
    for base in node.bases:
        parent = definition.source.definition(ast.unparse(base))
        found = class_constant(parent, name) if parent else None
        if found is not None:
            return found
    return None


def _field(source: Source, name: str, statement: ast.AnnAssign, meaning: str) -> FieldSource:
    annotation, value = _resolved(source, statement.annotation), statement.value
    bounds: tuple[str, ...] = ()
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "Field":
        keywords = {keyword.arg: keyword.value for keyword in value.keywords}
        bounds = tuple(f"{sign} {ast.unparse(keywords[key])}" for key, sign in BOUNDS.items() if key in keywords)
        value = value.args[0] if value.args else keywords.get("default")
    match value:
        case None:
            return FieldSource(name, annotation, REQUIRED, None, bounds, meaning)
        case ast.Call(func=ast.Name(id=group), args=[], keywords=[]):
            return FieldSource(name, annotation, REQUIRED, source.definition(group), bounds, meaning)
    return FieldSource(name, annotation, _literal(source, value), None, bounds, meaning)


def _resolved(source: Source, annotation: ast.expr) -> ast.expr:
    """The annotation, with an alias (`Pooling`) replaced by its definition."""
    if isinstance(annotation, ast.Name):
        found = source.definition(annotation.id)
        if found is not None and isinstance(found.node, ast.expr):
            return _resolved(found.source, found.node)
    return annotation


def _literal(source: Source, value: ast.expr) -> Any:
    try:
        return ast.literal_eval(value)
    except ValueError:
        found = source.definition(value.id) if isinstance(value, ast.Name) else None
        if found is None or not isinstance(found.node, ast.expr):
            raise TrainerError(
                f"{source.path.name}, line {value.lineno}: the default {ast.unparse(value)} cannot be read; "
                "write it as a literal or as a constant of a module"
            ) from None
        return _literal(found.source, found.node)


def _docstring_after(body: list[ast.stmt], position: int) -> str:
    match body[position + 1 : position + 2]:
        case [ast.Expr(value=ast.Constant(value=str(text)))]:
            return _one_line(text)
    return ""


def _one_line(text: str) -> str:
    return " ".join(inspect.cleandoc(text).split())
