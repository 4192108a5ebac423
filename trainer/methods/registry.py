"""The registry in which the command line, the configuration and the tests find a method by its name.

The methods of this package are found by scanning it, those of other packages by the entry-point group
`fedmpt.methods`, each entry of which names a module (or a class in it) that registers a method when it is imported.
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

GROUP = "fedmpt.methods"
"""Entry-point group by which an installed package adds a method."""

M = TypeVar("M", bound=type[Method])

_METHODS: dict[str, type[Method]] = {}
_SETTINGS: dict[str, type[MethodSettings]] = {}
_BROKEN: dict[str, str] = {}


def register(settings: type[MethodSettings]) -> Callable[[M], M]:
    """Make a method known under the name that its settings have by default.

    Raises:
        TrainerError: settings without a name, or a name that another class has.
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
    """The names of all methods, those of installed packages included."""
    _load()
    return sorted(_METHODS)


def settings_classes() -> dict[str, type[MethodSettings]]:
    """Each method's settings by the method's name."""
    _load()
    return dict(sorted(_SETTINGS.items()))


def method_class(name: str) -> type[Method]:
    """The class of a method.

    Raises:
        TrainerError: an unknown name, or one whose package cannot be imported.
    """
    _load()
    if name in _BROKEN:
        raise TrainerError(f"method '{name}' cannot be imported: {_BROKEN[name]}")
    if name not in _METHODS:
        raise unknown_name("method", name, sorted(_METHODS))
    return _METHODS[name]


def build(name: str, context: MethodContext) -> Method:
    """The method of that name, with its parameters drawn.

    Raises:
        TrainerError: an unknown name, or a context that lacks what the method needs (a bank, for instance).
    """
    return method_class(name)(context)


@cache
def _load() -> None:
    """Import every module that registers a method. A broken package costs its own method, not the others."""
    for module in pkgutil.iter_modules(trainer.methods.__path__):
        importlib.import_module(f"trainer.methods.{module.name}")
    for entry in entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:  # somebody else's code: whatever it raises, the other methods work
            _BROKEN[entry.name] = f"{type(error).__name__}: {error} (entry point {entry.value})"
            warnings.warn(f"the method '{entry.name}' is left out: {_BROKEN[entry.name]}", stacklevel=2)
