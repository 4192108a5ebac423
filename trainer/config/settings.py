"""Base classes of all settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from fedmpt.common.files import expanded


def _with_place(template: str) -> str:
    if "{}" not in template:
        raise ValueError("a template needs {} where the name stands; without it all prompts would be the same text")
    return template


NameTemplate = Annotated[str, AfterValidator(_with_place)]
"""A sentence with {} in the place of a name."""


class Settings(BaseModel):
    """Base of all settings: frozen; unknown keys and numbers that are not finite are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


SettingsPath = Annotated[Path, AfterValidator(expanded)]
"""A path in settings; ~ and $VARIABLES are expanded, since no shell does it in a settings file."""


class MethodSettings(Settings):
    """Base of a method's settings. The subclass declares `name` with a literal type, the method's name."""

    name: str
    """The method's name."""
