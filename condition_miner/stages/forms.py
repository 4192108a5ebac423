"""What all answers have in common: read strictly (reading.py), checked against a model, one line of printable text."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from condition_miner.model.reading import InvalidAnswer, parse
from fedmpt.common.words import DIRECTION


class Answered(BaseModel):
    """Base of what a stage's answer must be: an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


T = TypeVar("T", bound=Answered)


def _printable(text: str) -> str:
    text = " ".join(text.split())
    if any(unicodedata.category(sign) in ("Cc", "Cs", "Co", "Cn") or sign in DIRECTION for sign in text):
        raise ValueError("has a control character")
    return text


def _written(text: str) -> str:
    if not text:
        raise ValueError("is empty")
    return text


Line = Annotated[str, AfterValidator(_printable)]
"""Text in one line; may be empty."""
Phrase = Annotated[str, AfterValidator(_printable), AfterValidator(_written)]
"""Text in one line that says something."""


def validated(model: type[T], text: str) -> T:
    """An answer of a known form.

    Raises:
        InvalidAnswer: it is not; says what is wrong and where.
    """
    return _checked(model, parse(text))


def numbered(model: type[T], text: str, numbers: list[str]) -> list[T]:
    """An answer that is an object with one entry of the model's form for each number, in the order of the numbers.

    Raises:
        InvalidAnswer: other numbers, or an entry of another form.
    """
    answer = parse(text)
    if not isinstance(answer, dict) or set(answer) != set(numbers):
        raise InvalidAnswer(f"the answer must be an object with the keys {', '.join(numbers)}")
    return [_checked(model, answer[number], number) for number in numbers]


def object_schema(properties: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of an object that has all of these properties and no other."""
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
    """The JSON schema of a text; bounded, since small models run in circles."""
    return {"type": "string", "maxLength": longest}


def _checked(model: type[T], content: Any, number: str | None = None) -> T:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in ((number,) if number else ()) + first["loc"])
        raise InvalidAnswer(f"{place or 'the answer'}: {first['msg']}") from error
