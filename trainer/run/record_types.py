"""The base of all records of a run folder, and the types of their values: strict, finite and bounded."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(max_length=10_000)]
Name = Annotated[str, Field(min_length=1, max_length=1000)]
Count = Annotated[int, Field(ge=0, le=10**12)]
Rounds = Annotated[int, Field(ge=0, le=10**6)]
Percentage = Annotated[float, Field(ge=0, le=100.001)]
Points = Annotated[float, Field(ge=-100.001, le=100.001)]
"""Percentage points."""
Probability = Annotated[float, Field(ge=0, le=1)]
MemoryName = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
"""See `ClientMemory.elsewhere`; a folder's name at the sites."""
Hash = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class Record(BaseModel):
    """Base of all records."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
