"""The bases of all settings classes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MethodSettings(Settings):
    """Base of a method's own settings; a subclass gives `name` a literal type, by which it is chosen."""

    name: str
