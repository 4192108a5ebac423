"""Base classes of all settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Base of all settings: frozen; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MethodSettings(Settings):
    """Base of a method's settings. The subclass declares `name` with a literal type, the method's name."""

    name: str
    """The method's name."""
