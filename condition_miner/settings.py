"""The miner's settings and their defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from prompt_bank.schema import MAX_ATTRIBUTES

STAGES = ("describe", "explain", "abstract", "attribute", "measure", "affinities")
"""The stages of mining, in order."""
MESSAGES_BY_STAGE: dict[str, tuple[str, ...]] = {
    "describe": ("describe",),
    "explain": ("explain",),
    "abstract": ("abstract", "refine"),
    "attribute": ("attribute",),
    "measure": (),
    "affinities": ("values", "usual", "listed", "next-token", "spelling", "affinity-probe", "control"),
    "appearance": ("appearance",),
}
"""The messages that each stage sends. "measure" sends none: it only counts. "appearance" is that of mine-attributes."""
WITHOUT_TEMPLATE = ("next-token", "spelling", "affinity-probe", "control")
"""Messages that are no chat: sentences that the model goes on with (stages/affinity/)."""

AFFINITY_SETTINGS = (
    "about",
    "affinity_values",
    "affinity_draws",
    "affinity_shown",
    "affinity_asked_values",
    "affinities_temperature",
)
"""The settings on which stage affinities depends, besides the seed."""


class MinerSettings(BaseModel):
    """Settings that determine the questions. They are recorded in the bank's provenance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str = Field("", max_length=200)
    """What the images are: "aerial images", "chest X-rays". It stands in every message."""
    conditions: Annotated[int, Field(ge=1, le=20)] | Literal["auto"] = 5
    """N, the number of conditions; "auto" for the smallest set that explains `coverage` of the captions."""
    candidates: int = Field(10, ge=1, le=20)
    """With "auto", the number of conditions from which that set is selected."""
    coverage: float = Field(0.95, gt=0, le=1)
    """With "auto", the share of the captions that the selected set must explain."""
    combinations: int | None = Field(None, ge=1)
    """The number of label combinations to describe; None for the default of `combinations_for`."""
    captions: int = Field(3, ge=1, le=8)
    """Descriptions per combination, requested together so that they differ."""
    largest: int = Field(4, ge=2, le=4)
    """The most labels in a combination; the least is two."""
    factors: int = Field(2, ge=1, le=5)
    """Explaining factors requested per description."""
    batch: int = Field(3, ge=1, le=10)
    """Descriptions per explain request. An attribute request has twice as many kinds of factors."""
    abstractions: int = Field(5, ge=1, le=50)
    """The least number of abstract requests. Each sees another sample of explanations, and their answers are votes."""
    sample: int = Field(16, ge=2, le=200)
    """The most explanations in one abstract request; there are enough requests to show every explanation."""
    describe_temperature: float = Field(0.8, ge=0, le=2)
    explain_temperature: float = Field(0.2, ge=0, le=2)
    abstract_temperature: float = Field(0.4, ge=0, le=2)
    attribute_temperature: float = Field(0.0, ge=0, le=2)
    affinity_values: int = Field(64, ge=2, le=500)
    """The most values of a condition of which the labels' affinities are asked."""
    affinity_draws: int = Field(3, ge=1, le=20)
    """Texts in front of an open sentence, each with other labels, whose log-probabilities are averaged."""
    affinity_shown: int = Field(10, ge=1, le=200)
    """Labels in each of them."""
    affinity_asked_values: int = Field(24, ge=2, le=200)
    """The most values of a condition where each is asked for with each label (yes or no), or stands in a list."""
    affinities_temperature: float = Field(0.2, ge=0, le=2)
    """Of lists in words; log-probabilities are those at 1."""
    overlap: float = Field(0.8, gt=0, le=1)
    """Two conditions whose explained captions have at least this Jaccard index are reported."""
    max_tokens: int = Field(500, ge=16)
    """Output tokens per request; a truncated answer is requested again with a higher limit."""
    seed: int = Field(0, ge=0)

    def temperature(self, stage: str) -> float:
        """The sampling temperature of a stage that sends messages."""
        return float(getattr(self, f"{stage}_temperature"))

    def combinations_for(self, labels: int) -> int:
        """The number of combinations to describe: `combinations`, else 9 per 20 labels but at least 22.

        A combination has two to four labels, so every label is in at least one. At 35 input and 16 output tokens
        per second the default takes 11 minutes for 20 labels and 17 minutes for 80.
        """
        return self.combinations or max(22, -(-9 * labels // 20))

    def proposals(self) -> int:
        """The number of conditions that each abstract request asks for."""
        return self.candidates if self.conditions == "auto" else self.conditions


class AttributeSettings(MinerSettings):
    """Settings of mine-attributes, which uses domain, seed and token limit of the others, too."""

    attributes: int = Field(5, ge=1, le=MAX_ATTRIBUTES)
    """Visual attributes that are asked for of each label."""
    appearance_temperature: float = Field(0.2, ge=0, le=2)


ATTRIBUTE_SETTINGS = ("about", "attributes", "appearance_temperature", "max_tokens")
"""The settings on which attributes depend, besides the seed."""


class ServiceSettings(BaseModel):
    """Settings of how requests are sent. They change no answer and are not recorded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrency: int = Field(16, ge=1, le=1024)
    """The most requests in flight; fewer while the server is overloaded (asking/concurrency.py)."""
    timeout: float = Field(300.0, gt=0, allow_inf_nan=False)
    """Time limit of a request, in seconds."""
    retries: int = Field(6, ge=0)
    """Retries of a request after a transient failure. Retry-After is respected."""
    longest_wait: float = Field(120.0, ge=0, allow_inf_nan=False)
    """The longest Retry-After, in seconds, that is waited for; after a longer one the run stops."""
    attempts: int = Field(5, ge=1)
    """Requests per question until its answer is valid."""
    max_failed: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    """The share of a stage's questions without which the bank is made; None for asking/batch.py's limit."""
    budget_tokens: int | None = Field(None, ge=1)
    """The most input and output tokens of a run; None for no limit."""
