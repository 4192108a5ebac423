"""Parsing of answers: text around the JSON is removed, the JSON itself is never repaired."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condition_miner.model.reading import InvalidAnswer, parse, parse_fitting

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


@pytest.mark.parametrize(
    "wrap",
    [
        '[THINK]Maybe {"a": 1} would do.[/THINK]{}',
        "<|channel|>analysis<|message|>We need {x}<|end|><|start|>assistant<|channel|>final<|message|>{}<|return|>",
        'analysisWe need {"a": 2}.assistantfinal{}',
        '<|channel>thought\nMaybe {"a": 1}\n<channel|>{}',
        '<reflection>Maybe {"a": 1}</reflection><output>{}</output>',
        '<think id="1">Maybe {"a": 1}</think>{}',
        "Here is the object with keys {descriptions}:\n```json\n{}\n```",
        "~~~json\n{}\n~~~\nI kept to the form {a, b}.",
        "{}{}",
        "[{}]",
        "\ufeff{}<|im_end|>",
    ],
)
def test_marks_of_many_models(wrap: str) -> None:
    assert parse(wrap.replace("{}", '{"a": [1, "{x}"]}')) == {"a": [1, "{x}"]}


def test_of_several_objects_the_one_that_fits_counts() -> None:
    def fit(value: object) -> object:
        if not isinstance(value, dict) or set(value) != {"answer"}:
            raise InvalidAnswer("another form")
        return value

    assert parse_fitting('First {"draft": 1}, then {"answer": 2}.', fit) == {"answer": 2}
    with pytest.raises(InvalidAnswer, match="several"):
        parse_fitting('{"answer": 1} or {"answer": 2}', fit)
    with pytest.raises(InvalidAnswer, match="another form"):
        parse_fitting('{"draft": 1}', fit)


@pytest.mark.parametrize("number", ["9" * 5000, "1e999", "-" + "9" * 400])
def test_absurd_numbers_are_no_answer(number: str) -> None:
    with pytest.raises(InvalidAnswer, match="number"):
        parse(f'{{"a": {number}}}')


HOSTILE: tuple[str, ...] = ("<think>" * 60_000, "</think>" * 60_000, "```json\n" * 50_000, '{"' * 150_000)
HOSTILE += ("{ " * 150_000, "<|channel|>" * 40_000, '{"a":' * 60_000, "<output>" + " " * 300_000, "{" + " " * 300_000)
HOSTILE += ("{" + ",".join(f'"k{i}":1' for i in range(50_000)) + ',"k0":1}', "analysis" + "assistant " * 40_000)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_are_read_in_linear_time(text: str) -> None:
    began = time.perf_counter()
    with pytest.raises(InvalidAnswer):
        parse(text)
    assert time.perf_counter() - began < 2


def test_problems_are_safe_to_print() -> None:
    with pytest.raises(InvalidAnswer) as caught:
        parse('{"\\u001b[31mred": 1, "\\u001b[31mred": 2}')
    assert str(caught.value).isprintable()
