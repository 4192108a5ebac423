"""What tuning varies: ranges and choices of settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Range:
    """A range of numbers, both ends included.

    Attributes:
        low, high: its ends; if both are of type int, only whole numbers are tried.
        log: whether numbers are drawn evenly in their logarithm.
    """

    low: float
    high: float
    log: bool = False

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', log' if self.log else ''}"

    def holds(self, value: Any) -> bool:
        """Whether a value is in the range."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choice:
    """Some values."""

    options: tuple[Any, ...]

    def __str__(self) -> str:
        return " or ".join(str(option) for option in self.options)

    def holds(self, value: Any) -> bool:
        """Whether a value is among them."""
        return value in self.options


Dimension = Range | Choice
"""What one setting may be."""

SearchSpace = Mapping[str, Dimension]
"""What tuning varies, by the settings' dotted keys."""

LEARNING_RATE = "optimiser.learning_rate"
"""The setting that every method that trains has in its space."""


def logarithmic(low: float, high: float) -> Range:
    """A range of numbers drawn evenly in their logarithm."""
    return Range(low, high, log=True)
