"""Base classes of all settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

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

    usual: ClassVar[Mapping[str, Any]] = {}
    """Defaults of other sections that this method needs, by dotted key ("optimiser.learning_rate"). Presets, files and
    options are stronger."""

    name: str
    """The method's name."""


AUTO: Literal["auto"] = "auto"
"""The value of a number that is chosen from the data (`trainer.planning`)."""


def _number_or_auto(least: int, none: bool = False) -> BeforeValidator:
    def check(value: Any) -> Any:
        number = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if number or value == AUTO or (none and value is None):
            return value
        raise ValueError(f"write a whole number of at least {least}, or auto")

    return BeforeValidator(check)


AutoCount = Annotated[int | Literal["auto"], _number_or_auto(0)]
"""A number from 0, or "auto"."""

AutoSize = Annotated[int | Literal["auto"], _number_or_auto(1)]
"""A number from 1, or "auto"."""

AutoLimit = Annotated[int | Literal["auto"] | None, _number_or_auto(1, none=True)]
"""A number from 1, None for no limit, or "auto"."""


def settled(value: int | Literal["auto"], name: str) -> int:
    """The number of a setting that may be "auto".

    Raises:
        ValueError: it is still "auto"; `trainer.planning.settle` chooses it from the data.
    """
    if value == AUTO:
        raise ValueError(f"{name} is auto: it is chosen from the data by trainer.planning.settle")
    return value
