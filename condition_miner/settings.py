"""The miner's settings and their defaults: the one place where they stand."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class MinerSettings(BaseModel):
    """What decides which questions are asked. It is written into the bank's provenance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    conditions: int = Field(5, ge=1, le=20)
    """N, how many abstract conditions are wanted."""
    combinations: int = Field(40, ge=1)
    """How many label combinations are described."""
    captions: int = Field(3, ge=1, le=8)
    """Descriptions of each combination, asked for in one request so that they differ."""
    largest: int = Field(3, ge=2, le=4)
    """Labels of a combination at the most; two at the least."""
    abstractions: int = Field(5, ge=1, le=50)
    """How often the conditions are asked for, each time over other descriptions; what recurs wins."""
    sample: int = Field(24, ge=2)
    """Descriptions shown in one such request."""
    describe_temperature: float = Field(0.8, ge=0, le=2)
    abstract_temperature: float = Field(0.4, ge=0, le=2)
    attribute_temperature: float = Field(0.0, ge=0, le=2)
    max_tokens: int = Field(500, ge=16)
    """Room for an answer; an answer that was cut off is asked for again with more."""
    seed: int = Field(0, ge=0)


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
