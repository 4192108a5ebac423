"""The miner's settings and their defaults: the one place where they stand."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

STAGES = ("describe", "explain", "abstract", "attribute", "measure")
"""In their order."""
MESSAGES_OF: dict[str, tuple[str, ...]] = {
    "describe": ("describe",),
    "explain": ("explain",),
    "abstract": ("abstract", "refine"),
    "attribute": ("attribute",),
    "measure": (),
}
"""The messages that a stage sends; "measure" only counts."""


class MinerSettings(BaseModel):
    """What decides which questions are asked. It is written into the bank's provenance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    conditions: Annotated[int, Field(ge=1, le=20)] | Literal["auto"] = 5
    """N, how many abstract conditions are wanted; "auto": the smallest set that explains `coverage` of the captions."""
    candidates: int = Field(10, ge=1, le=20)
    """With "auto", conditions among which that set is found."""
    coverage: float = Field(0.95, gt=0, le=1)
    """With "auto", the share of the captions that the set must explain."""
    combinations: int | None = Field(None, ge=1)
    """How many label combinations are described; None for `combinations_for` the number of labels."""
    captions: int = Field(3, ge=1, le=8)
    """Descriptions of each combination, asked for in one request so that they differ."""
    largest: int = Field(4, ge=2, le=4)
    """Labels of a combination at the most; two at the least."""
    factors: int = Field(2, ge=1, le=5)
    """Factors that explain each description."""
    batch: int = Field(3, ge=1, le=10)
    """Descriptions that are explained, or twice as many kinds of factors that are attributed, in one request."""
    abstractions: int = Field(5, ge=1, le=50)
    """Requests for the conditions at the least, over other explanations each; what recurs wins."""
    sample: int = Field(16, ge=2, le=200)
    """Explanations shown in one such request; there are as many requests as it takes to show them all."""
    describe_temperature: float = Field(0.8, ge=0, le=2)
    explain_temperature: float = Field(0.2, ge=0, le=2)
    abstract_temperature: float = Field(0.4, ge=0, le=2)
    attribute_temperature: float = Field(0.0, ge=0, le=2)
    overlap: float = Field(0.8, gt=0, le=1)
    """Two conditions that explain so much in common (Jaccard) are pointed out."""
    max_tokens: int = Field(500, ge=16)
    """Room for an answer; an answer that was cut off is asked for again with more."""
    seed: int = Field(0, ge=0)

    def temperature(self, stage: str) -> float:
        """Of a stage that sends messages."""
        return float(getattr(self, f"{stage}_temperature"))

    def combinations_for(self, labels: int) -> int:
        """How many combinations are described: as set, else 9 for 20 labels, and 22 at the least.

        Of two to four labels, so every label is in one or more. The default costs a server that reads 35 and writes
        16 tokens a second 11 minutes for 20 labels, 17 for 80.
        """
        return self.combinations or max(22, -(-9 * labels // 20))

    def proposals(self) -> int:
        """How many conditions each abstract request asks for."""
        return self.candidates if self.conditions == "auto" else self.conditions


class ServiceSettings(BaseModel):
    """How requests are sent. Nothing here changes an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrency: int = Field(16, ge=1, le=1024)
    """Requests at once at the most; fewer while the server is overloaded (pacing.py)."""
    timeout: float = Field(300.0, gt=0, allow_inf_nan=False)
    """Seconds that one request may take."""
    retries: int = Field(6, ge=0)
    """Of a request that the server refused or lost for now; Retry-After is obeyed."""
    longest_wait: float = Field(120.0, ge=0, allow_inf_nan=False)
    """Seconds that a server may ask to wait; where it asks for more, the run stops."""
    attempts: int = Field(5, ge=1)
    """Of a request whose answer was not valid."""
    budget_tokens: int | None = Field(None, ge=1)
    """Tokens, in and out, that a run may use at the most; None for no limit."""
