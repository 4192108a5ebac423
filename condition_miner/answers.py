"""What the model's answers must be: read strictly (reading.py) and checked."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from condition_miner.reading import InvalidAnswer, parse

_REASONING = {"type": "string", "maxLength": 300}
"""Bounded, since small models reason in circles; being cut off does it no harm."""

T = TypeVar("T", bound=BaseModel)


def _printable(text: str) -> str:
    text = " ".join(text.split())
    if not text:
        raise ValueError("is empty")
    if any(unicodedata.category(sign) in ("Cc", "Cs", "Co", "Cn") for sign in text):
        raise ValueError("has a control character")
    return text


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Described(_Answer):
    """Stage describe."""

    reasoning: str
    descriptions: tuple[Annotated[str, Field(max_length=600)], ...]

    @field_validator("descriptions")
    @classmethod
    def _texts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_printable(text) for text in value)


class ProposedCondition(_Answer):
    """One condition of stage abstract."""

    name: Annotated[str, Field(max_length=60)]
    definition: Annotated[str, Field(max_length=600)]
    values: tuple[Annotated[str, Field(max_length=80)], ...]

    @field_validator("name", "definition")
    @classmethod
    def _text(cls, value: str) -> str:
        return _printable(value)

    @field_validator("values")
    @classmethod
    def _texts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_printable(text) for text in value)


class Abstracted(_Answer):
    """Stage abstract."""

    reasoning: str
    conditions: tuple[ProposedCondition, ...]


def described(text: str, captions: int, ascii_only: bool) -> Described:
    """An answer of stage describe; a repeated description counts once, and at most one may be a repetition.

    Args:
        text: the raw answer.
        captions: how many were asked for.
        ascii_only: the labels are, so a description in another script is a slip of the model.

    Raises:
        InvalidAnswer: it is not.
    """
    answer = _validated(Described, text)
    different = tuple(dict.fromkeys(answer.descriptions))
    if not max(1, captions - 1) <= len(different) <= captions:
        raise InvalidAnswer(f"{len(different)} different descriptions instead of {captions}")
    answer = answer.model_copy(update={"descriptions": different})
    if ascii_only and any(ord(sign) > 0x2E7F for d in answer.descriptions for sign in d):
        raise InvalidAnswer("a description has signs of another script")
    return answer


def abstracted(text: str) -> Abstracted:
    """An answer of stage abstract.

    Raises:
        InvalidAnswer: it is not, or it has no condition.
    """
    answer = _validated(Abstracted, text)
    if not answer.conditions:
        raise InvalidAnswer("there is no condition in the answer")
    return answer


def attributed(text: str, numbers: list[str], ids: list[str]) -> dict[str, tuple[str, ...]]:
    """An answer of stage attribute: for each numbered description the ids of conditions.

    Raises:
        InvalidAnswer: other numbers, or an id that was not given.
    """
    answer = parse(text)
    if not isinstance(answer, dict) or set(answer) != set(numbers):
        raise InvalidAnswer(f"the answer must be an object with the keys {', '.join(numbers)}")
    for value in answer.values():
        if not isinstance(value, list) or any(item not in ids for item in value):
            raise InvalidAnswer(f"each value must be a list of some of {', '.join(ids)}")
    return {number: tuple(i for i in ids if i in answer[number]) for number in numbers}


def describe_schema(captions: int) -> dict[str, Any]:
    """The JSON schema that the endpoint is asked to obey."""
    texts = {"type": "array", "items": {"type": "string"}, "minItems": captions, "maxItems": captions}
    return _object({"reasoning": _REASONING, "descriptions": texts})


def abstract_schema(conditions: int) -> dict[str, Any]:
    """As `describe_schema`, for stage abstract."""
    values = {"type": "array", "items": {"type": "string"}, "minItems": 3, "maxItems": 5}
    one = _object({"name": {"type": "string"}, "definition": {"type": "string"}, "values": values})
    many = {"type": "array", "items": one, "minItems": conditions, "maxItems": conditions}
    return _object({"reasoning": _REASONING, "conditions": many})


def attribute_schema(numbers: list[str], ids: list[str]) -> dict[str, Any]:
    """As `describe_schema`, for stage attribute."""
    some = {"type": "array", "items": {"type": "string", "enum": ids}, "maxItems": len(ids)}
    return _object(dict.fromkeys(numbers, some))


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _validated(model: type[T], text: str) -> T:
    try:
        return model.model_validate(parse(text))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidAnswer(f"{place or 'the answer'}: {first['msg']}") from error
