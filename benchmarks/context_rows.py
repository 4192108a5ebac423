"""The rows of benchmarks/context.py: their settings and search spaces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scenes_runs import Settings


@dataclass(frozen=True)
class LogUniform:
    """A number, uniform in its logarithm."""

    low: float
    high: float

    def sample(self, generator: np.random.Generator) -> float:
        """A number with two significant digits."""
        return float(f"{self.low * (self.high / self.low) ** generator.uniform():.2g}")


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    values: tuple[str, ...]

    def sample(self, generator: np.random.Generator) -> str:
        """A value, all equally likely."""
        return self.values[generator.integers(len(self.values))]


SPACES: dict[str, LogUniform | Choice] = {
    "method.context_strength": LogUniform(0.03, 3.0),
    "method.context_temperature": LogUniform(0.5, 3.0),
    "method.context_rate": LogUniform(1.0, 30.0),
    "optimiser.learning_rate": LogUniform(3e-3, 3e-2),
    "method.share_temperature": LogUniform(1.5, 5.0),
    "method.pooling": Choice(("max", "image")),
    "method.template": Choice(("a photo of a {}.", "a picture of a {}.", "a drawing of a {}.", "a {}.")),
}

PREDICTION = ("method.context_strength", "method.context_temperature")
LEARNED = ("method.context_rate", "method.context_temperature")
TRAINING = ("optimiser.learning_rate", "method.share_temperature")
ZERO_SHOT = ("method.pooling", "method.template")

METHODS = {"fedmpt": "", "zero-shot": "zero-shot: "}
"""The prefix of the rows' names, by method."""
SOURCES = ("oracle", "bank", "shuffled", "sites")
FORMS = {"front-door": "front-door", "posterior": "posterior", "label graph": "label-graph", "compounds": "compound"}
"""`method.context_form` by its name in the rows."""


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        settings: by dotted key.
        tuned: keys of SPACES.
        method: its name.
    """

    settings: Settings
    tuned: tuple[str, ...]
    method: str = "fedmpt"


def _rows() -> dict[str, Row]:
    zero_shot: Settings = {"method.name": "zero-shot"}
    rows = {
        "none": Row({"method.context": "none"}, TRAINING),
        "values as prompts": Row({"method.context": "none", "method.conditions": "values"}, TRAINING),
        "zero-shot: none": Row(zero_shot, ZERO_SHOT, "zero-shot"),
    }
    for source in SOURCES:
        for name, form in FORMS.items():
            settings: Settings = {"method.context": source, "method.context_form": form, "method.context_strength": 0.3}
            rows[f"{source}, {name}"] = Row(settings, PREDICTION)
            rows[f"zero-shot: {source}, {name}"] = Row({**zero_shot, **settings}, PREDICTION, "zero-shot")
            if form == "front-door":
                chosen: Settings = {**settings, "method.context_strength": "auto"}
                rows[f"{source}, {name}, chosen"] = Row(chosen, ())
                rows[f"zero-shot: {source}, {name}, chosen"] = Row({**zero_shot, **chosen}, (), "zero-shot")
            if form in ("front-door", "label-graph"):
                from_zero: Settings = {"method.context_learned": True, "method.context_strength": 0.0}
                rows[f"{source}, {name}, learned"] = Row({**settings, **from_zero}, LEARNED)
    return rows


ROWS = _rows()
"""All rows by name."""


def paired_rows() -> Iterator[tuple[str, str, str, str, str]]:
    """For each method and form: its name, and the rows of none, bank, shuffled and oracle."""
    for prefix in METHODS.values():
        for form in (f"{name}{how}" for name in FORMS for how in ("", ", chosen", ", learned")):
            bank, shuffled, oracle = (f"{prefix}{source}, {form}" for source in ("bank", "shuffled", "oracle"))
            if bank in ROWS:
                yield f"{prefix}{form}", f"{prefix}none", bank, shuffled, oracle
