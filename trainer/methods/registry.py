"""The registry of methods by name.

Methods of this package are found by a package scan; those of other packages by the entry-point group `fedmpt.methods`,
whose entries name a module (or a class in it) that registers a method on import.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import TypeVar

import trainer.methods
from trainer.config.settings import MethodSettings
from trainer.errors import TrainerError, unknown_name
from trainer.methods.base import Method, MethodContext

ENTRY_POINT_GROUP = "fedmpt.methods"
"""The entry-point group through which an installed package adds a method."""

M = TypeVar("M", bound=type[Method])

_METHODS: dict[str, type[Method]] = {}
_SETTINGS: dict[str, type[MethodSettings]] = {}
_BROKEN: dict[str, str] = {}


def register(settings: type[MethodSettings]) -> Callable[[M], M]:
    """Register a method class under the default `name` of its settings class.

    Raises:
        TrainerError: settings without a name, or a name that is taken.
    """
    name = settings.model_fields["name"].default

    def add(method: M) -> M:
        known = _METHODS.get(name)
        if not isinstance(name, str):
            raise TrainerError(f"{settings.__qualname__} needs a name: name: Literal['…'] = '…'")
        if known is not None and (known.__module__, known.__qualname__) != (method.__module__, method.__qualname__):
            raise TrainerError(
                f"two methods are called '{name}': one of {known.__module__}, one of {method.__module__}"
            )
        _METHODS[name], _SETTINGS[name] = method, settings
        return method

    return add


def method_names() -> list[str]:
    """The names of all methods, including those of installed packages."""
    _import_methods()
    return sorted(_METHODS)


def settings_classes() -> dict[str, type[MethodSettings]]:
    """The settings classes by method name."""
    _import_methods()
    return dict(sorted(_SETTINGS.items()))


def method_class(name: str) -> type[Method]:
    """The class of a method.

    Raises:
        TrainerError: an unknown name, or a method whose package cannot be imported.
    """
    _import_methods()
    if name in _BROKEN:
        raise TrainerError(f"method '{name}' cannot be imported: {_BROKEN[name]}")
    if name not in _METHODS:
        raise unknown_name("method", name, sorted(_METHODS))
    return _METHODS[name]


def build(name: str, context: MethodContext) -> Method:
    """Construct and initialise a method.

    Raises:
        TrainerError: an unknown name, or a context that lacks something the method needs, such as a bank.
    """
    return method_class(name)(context)


@cache
def _import_methods() -> None:
    """Import all modules that register a method. A package that fails to import affects its own method only."""
    for module in pkgutil.iter_modules(trainer.methods.__path__):
        importlib.import_module(f"trainer.methods.{module.name}")
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            entry.load()
        except Exception as error:  # third-party code can raise anything
            _BROKEN[entry.name] = f"{type(error).__name__}: {error} (entry point {entry.value})"
            warnings.warn(f"the method '{entry.name}' is left out: {_BROKEN[entry.name]}", stacklevel=2)
