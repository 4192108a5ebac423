"""The search space of a run: that of its method, or what the user says instead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trainer.config.space import Choice, Dimension, Range, SearchSpace
from trainer.errors import TrainerError
from trainer.methods.registry import method_class
from trainer.resolving import changed, parse_assignment
from trainer.run_config import RunConfig

TUNABLE = ("method", "optimiser", "loss", "federation")
"""Groups of settings that can be tuned; the others say what is measured, and on what."""

BUDGET = ("method.name", *(f"federation.{key}" for key in ("rounds", "local_epochs", "participation", "patience")))
"""Settings that are the same for every try: the method, and how long it trains."""


def space_of(config: RunConfig, given: SearchSpace | None = None) -> dict[str, Dimension]:
    """The space that the method declares, with the user's dimensions in place of or beside its own.

    Raises:
        TrainerError: a setting that cannot be tuned, or values that the setting cannot have.
    """
    space = {**method_class(config.method.name).search_space(config.method), **(given or {})}
    for key, dimension in space.items():
        if key.partition(".")[0] not in TUNABLE or key in BUDGET:
            raise TrainerError(f"'{key}' cannot be tuned: every try has the same data, method and budget")
        ends = dimension.options if isinstance(dimension, Choice) else (dimension.low, dimension.high)
        for end in ends:
            changed(config, {key: end})
    return space


def parse_space(texts: Iterable[str], config: RunConfig) -> dict[str, Dimension]:
    """The dimensions of --space: KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=A,B,C.

    Raises:
        TrainerError: another form, or ends in the wrong order.
    """
    found: dict[str, Dimension] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key or not value:
            raise TrainerError(f"--space {text}: write KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=A,B,C")
        found[key.strip()] = _range(text, key.strip(), value, config) if ":" in value else _choice(key, value)
    return found


def _choice(key: str, value: str) -> Choice:
    return Choice(tuple(parse_assignment(f"{key}={one.strip()}")[1] for one in value.split(",")))


def _range(text: str, key: str, value: str, config: RunConfig) -> Range:
    low_text, high_text, *rest = value.split(":")
    try:
        low, high = float(low_text), float(high_text)
    except ValueError:
        raise TrainerError(f"--space {text}: {low_text}:{high_text} are not numbers") from None
    log = rest == ["log"]
    if (rest and not log) or not low < high or (log and low <= 0):
        raise TrainerError(f"--space {text}: write LOW:HIGH or LOW:HIGH:log with LOW < HIGH, for log above 0")
    whole = low.is_integer() and high.is_integer() and not isinstance(value_of(config, key), float)
    return Range(int(low), int(high), log) if whole else Range(low, high, log)


def value_of(config: RunConfig, key: str) -> Any:
    """The value of a setting by its dotted key; None if there is no such setting."""
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part, None)
    return value
