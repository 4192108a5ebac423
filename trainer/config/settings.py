"""Base classes of all settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


def _with_place(template: str) -> str:
    if "{}" not in template:
        raise ValueError("a template needs {} where the name stands; without it all prompts would be the same text")
    return template


NameTemplate = Annotated[str, AfterValidator(_with_place)]
"""A sentence with {} in the place of a name."""


class Settings(BaseModel):
    """Base of all settings: frozen; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MethodSettings(Settings):
    """Base of a method's settings. The subclass declares `name` with a literal type, the method's name."""

    name: str
