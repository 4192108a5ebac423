"""Validation of answers against pydantic models, and the JSON schemas that requests ask for."""

from __future__ import annotations

import unicodedata
from functools import partial
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from condition_miner.model.reading import InvalidAnswer, parse_fitting
from fedmpt.common.words import BIDI_CONTROLS


class AnswerModel(BaseModel):
    """Base class of answers. Unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


T = TypeVar("T", bound=AnswerModel)


def _printable(text: str) -> str:
    text = " ".join(text.split())
    if any(unicodedata.category(sign) in ("Cc", "Cs", "Co", "Cn") or sign in BIDI_CONTROLS for sign in text):
        raise ValueError("has a control character")
    return text


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("is empty")
    return text


Line = Annotated[str, AfterValidator(_printable)]
"""One line of printable text, possibly empty."""
Phrase = Annotated[str, AfterValidator(_printable), AfterValidator(_not_empty)]
"""One line of printable text, not empty."""


def parse_answer(model: type[T], text: str) -> T:
    """An answer, parsed as this model.

    Raises:
        InvalidAnswer: it is not JSON of this form; says where.
    """
    return parse_fitting(text, partial(_validate, model))


def parse_numbered(model: type[T], text: str, numbers: list[str]) -> list[T]:
    """An answer that is an object with one entry per number, each parsed as this model, in the order of the numbers.

    Raises:
        InvalidAnswer: it has other numbers, or an entry of another form.
    """

    def fit(answer: Any) -> list[T]:
        return [
            _validate(model, entry, number) for number, entry in zip(numbers, entries(answer, numbers), strict=True)
        ]

    return parse_fitting(text, fit)


def entries(answer: Any, numbers: list[str]) -> list[Any]:
    """The values of an object with these keys, in their order.

    Raises:
        InvalidAnswer: it is no object, or has other keys.
    """
    if not isinstance(answer, dict) or set(answer) != set(numbers):
        raise InvalidAnswer(f"the answer must be an object with the keys {', '.join(numbers)}")
    return [answer[number] for number in numbers]


def object_schema(properties: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def array_schema(items: dict[str, Any], least: int, most: int) -> dict[str, Any]:
    """The JSON schema of an array."""
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def text_schema(longest: int) -> dict[str, Any]:
    """The JSON schema of a string; limited, since small models may repeat themselves without end."""
    return {"type": "string", "maxLength": longest}


def _validate(model: type[T], content: Any, number: str | None = None) -> T:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in ((number,) if number else ()) + first["loc"])
        raise InvalidAnswer(f"{place or 'the answer'}: {first['msg']}") from error
