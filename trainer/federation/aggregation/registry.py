"""The registry in which a run finds its aggregation rule by name; the rules of this folder are found by scanning it.

Letter: K replies of a round.
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
from trainer.federation.replies import Reply, State, checked

Rule = Callable[[Iterable[Reply], State, FederationConfig], State]
"""From K ≥ 1 checked replies in ascending order of client ids, the server's state that they began from, and the
settings, to the new state in float64. A rule that holds all replies is given them as a list, any other one by one."""

R = TypeVar("R", bound=Rule)


@dataclass(frozen=True)
class Aggregation:
    """A rule with what is to be known before it is used.

    Attributes:
        name: by which it is chosen.
        rule: the function.
        holds_all: whether it needs all replies of a round at once, by the settings.
        weighted: whether it weighs replies as `federation.weights` says; else each counts the same.
    """

    name: str
    rule: Rule
    holds_all: Callable[[FederationConfig], bool]
    weighted: bool


_RULES: dict[str, Aggregation] = {}


def register(
    name: str, *, weighted: bool, holds_all: Callable[[FederationConfig], bool] = lambda settings: False
) -> Callable[[R], R]:
    """Make a rule known under a name; see `Aggregation`.

    Raises:
        TrainerError: another function has the name.
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
    _load()
    return sorted(_RULES)


def choose(settings: FederationConfig, of_method: str) -> Aggregation:
    """The rule of a run.

    Args:
        settings: `aggregation` names it; "auto" takes the method's.
        of_method: the rule that the method asks for.

    Raises:
        TrainerError: an unknown name, or weights that the rule doesn't look at.
    """
    _load()
    name = of_method if settings.aggregation == "auto" else settings.aggregation
    if name not in _RULES:
        raise unknown_name("federation.aggregation", name, sorted(_RULES))
    chosen = _RULES[name]
    if settings.weights != "uniform" and not chosen.weighted:
        raise TrainerError(f"federation.weights={settings.weights}: {name} counts each client the same; leave it out")
    return chosen


def aggregate(chosen: Aggregation, replies: Iterable[Reply], server: State, settings: FederationConfig) -> State:
    """The server's new state, computed in client-id order and float64; integers are rounded to the nearest.

    Args:
        chosen: the rule.
        replies: of K ≥ 1 clients; see `checked`.
        server: the state that they began from.
        settings: of the rules.

    Raises:
        RunFailed: see `checked`, and the rule.
    """
    ordered = checked(replies, server)
    merged = chosen.rule(list(ordered) if chosen.holds_all(settings) else ordered, server, settings)
    return {name: _as_sent(value, server[name].dtype) for name, value in merged.items()}


def memory_note(chosen: Aggregation, server: State, clients: int, settings: FederationConfig) -> str | None:
    """What a user should know before round 0: how large the replies are that the rule holds; None where it streams."""
    if not chosen.holds_all(settings):
        return None
    one = sum(value.nbytes for value in server.values())
    return (
        f"aggregation {chosen.name} holds all replies of a round: {clients:,} clients × {format_bytes(one)} = "
        f"{format_bytes(clients * one)} of memory"
    )


def _as_sent(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return value.to(dtype) if dtype.is_floating_point else value.round().to(dtype)


@cache
def _load() -> None:
    for module in pkgutil.iter_modules(trainer.federation.aggregation.__path__):
        importlib.import_module(f"{trainer.federation.aggregation.__name__}.{module.name}")
