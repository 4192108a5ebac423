"""Parsing of answers: text around the JSON is removed, the JSON itself is never repaired."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condition_miner.model.reading import InvalidAnswer, parse

GOOD = {"a": [1, "</think> {x}"], "b": {"c": None}}


@pytest.mark.parametrize(
    "wrap",
    [
        "{}",
        "```json\n{}\n```",
        "```\n{}\n```\n",
        "Sure! Here it is:\n{}\nI hope that this helps.",
        "Sure:\n\n```json\n{}\n```\nAnything else?",
        "<think>One { brace, and </thin king.</think>\n\n{}",
        "<think>first</think><thinking>then</thinking>```json\n{}\n```",
        "the prompt had the opening tag\n</think>\n{}",
        "<THINK>loud</THINK> {}",
    ],
)
def test_text_around_the_json_is_removed(wrap: str) -> None:
    text = json.dumps({"a": [1, "{x}"], "b": {"c": None}})
    assert parse(wrap.replace("{}", text, 1)) == {"a": [1, "{x}"], "b": {"c": None}}


def test_valid_json_is_not_changed() -> None:
    """A string may contain a tag: inside JSON it is not reasoning."""
    assert parse(json.dumps(GOOD)) == GOOD


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("", "empty"),
        (" \n" * 20_000, "empty"),
        ("<think>I wonder", "empty"),
        ('<think>first I would write {"a": 1} but', "empty"),
        ("plain prose", "no JSON"),
        ("{", "not JSON"),
        ('{"outer": {"inner": 1}, "cut', "not JSON"),
        ('{"a": 1} or {"a": 2}', "several"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ('Well: {"a": 1, "a": 2}', "'a' stands twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "-Infinity"),
        ("[" * 100_000, "nested|JSON"),
        ('{"a":' * 100_000, "nested|JSON"),
    ],
)
def test_nothing_is_guessed(raw: str, said: str) -> None:
    with pytest.raises(InvalidAnswer, match=said):
        parse(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=4)


@given(value=OBJECTS, fenced=st.booleans())
def test_any_object_is_parsed(value: dict[str, object], fenced: bool) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert parse(f"```json\n{text}\n```" if fenced else text) == value


@given(value=OBJECTS.filter(bool), cut=st.integers(1, 400))
def test_a_truncated_object_is_never_an_answer(value: dict[str, object], cut: int) -> None:
    """No prefix of an object is parsed as an object, nor as one of its inner objects."""
    text = json.dumps(value)
    with pytest.raises(InvalidAnswer):
        parse(text[: min(cut, len(text) - 1)])


@given(text=st.text(max_size=300))
def test_any_text_is_json_or_invalid(text: str) -> None:
    try:
        parse(text)
    except InvalidAnswer as error:
        assert str(error)
