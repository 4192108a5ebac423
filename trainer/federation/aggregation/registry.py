"""The registry of aggregation rules by name. Rules of this folder are found by a package scan.

Shape letter: K replies of a round.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import torch

import trainer.federation.aggregation
from fedmpt.common.words import format_bytes
from trainer.config.sections import FederationConfig
from trainer.errors import TrainerError, unknown_name
from trainer.federation.replies import Reply, State, checked_replies

Rule = Callable[[Iterable[Reply], State, FederationConfig], State]
"""Maps K ≥ 1 valid replies in ascending order of client ids, the server's state before the round, and the settings to
the new state in float64. A rule that needs all replies at once gets a list; other rules get a stream."""

R = TypeVar("R", bound=Rule)


@dataclass(frozen=True)
class Aggregation:
    """An aggregation rule and its properties.

    Attributes:
        name: of the rule in the settings.
        rule: the function.
        holds_all: whether it needs all replies of a round at once, given the settings.
        weighted: whether it supports weights (`federation.weights`); otherwise all clients count the same.
    """

    name: str
    rule: Rule
    holds_all: Callable[[FederationConfig], bool]
    weighted: bool


_RULES: dict[str, Aggregation] = {}


def register(
    name: str, *, weighted: bool, holds_all: Callable[[FederationConfig], bool] = lambda settings: False
) -> Callable[[R], R]:
    """Register a rule; for the arguments see `Aggregation`.

    Raises:
        TrainerError: the name is taken.
    """

    def add(rule: R) -> R:
        known = _RULES[name].rule if name in _RULES else rule
        if (known.__module__, known.__qualname__) != (rule.__module__, rule.__qualname__):
            raise TrainerError(
                f"two aggregation rules are called '{name}': one of {known.__module__}, one of {rule.__module__}"
            )
        _RULES[name] = Aggregation(name, rule, holds_all, weighted)
        return rule

    return add


def rule_names() -> list[str]:
    """The names of all rules."""
    _import_rules()
    return sorted(_RULES)


def choose_rule(settings: FederationConfig, method_default: str) -> Aggregation:
    """The aggregation rule of a run.

    Args:
        settings: `aggregation` names the rule; "auto" selects the method's.
        method_default: the method's rule, see `FederatedModule.aggregation`.

    Raises:
        TrainerError: an unknown name, or weights that the rule does not support.
    """
    _import_rules()
    name = method_default if settings.aggregation == "auto" else settings.aggregation
    if name not in _RULES:
        raise unknown_name("federation.aggregation", name, sorted(_RULES))
    chosen = _RULES[name]
    if settings.weights != "uniform" and not chosen.weighted:
        raise TrainerError(f"federation.weights={settings.weights}: {name} counts each client the same; leave it out")
    return chosen


def aggregate(chosen: Aggregation, replies: Iterable[Reply], server: State, settings: FederationConfig) -> State:
    """The server's new state, computed in float64 and in the order of client ids, then cast to the dtypes of the old.

    Integers are rounded to the nearest.

    Args:
        chosen: the rule.
        replies: of K ≥ 1 clients, see `checked_replies`.
        server: the state from which the clients started.
        settings: the rule's settings.

    Raises:
        RunFailed: see `checked_replies` and the rule.
    """
    ordered = checked_replies(replies, server)
    merged = chosen.rule(list(ordered) if chosen.holds_all(settings) else ordered, server, settings)
    return {name: _cast(value, server[name].dtype) for name, value in merged.items()}


def memory_note(chosen: Aggregation, server: State, clients: int, settings: FederationConfig) -> str | None:
    """A note for users on the memory for all replies of a round; None if the rule aggregates a stream."""
    if not chosen.holds_all(settings):
        return None
    one = sum(value.nbytes for value in server.values())
    return (
        f"aggregation {chosen.name} holds all replies of a round: {clients:,} clients × {format_bytes(one)} = "
        f"{format_bytes(clients * one)} of memory"
    )


def _cast(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return value.to(dtype) if dtype.is_floating_point else value.round().to(dtype)


@cache
def _import_rules() -> None:
    for module in pkgutil.iter_modules(trainer.federation.aggregation.__path__):
        importlib.import_module(f"{trainer.federation.aggregation.__name__}.{module.name}")
