"""The JSON parser that knows lines: it accepts what json accepts, and reports lines."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_bank.reading.locate import LocatedJson, format_place

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(JSON, st.sampled_from([None, 0, 2]), st.booleans())
def test_the_parser_reads_what_json_reads(value: Any, indent: int | None, ascii_only: bool) -> None:
    file = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    try:
        file.encode()
    except UnicodeEncodeError:  # hypothesis may draw half a surrogate pair, which is refused elsewhere
        return
    read = LocatedJson(file)
    assert read.value == json.loads(file) and not read.problems


@settings(max_examples=200, deadline=None)
@given(st.text('{}[]":,\\ \n0159-+.eEtrufalsn', max_size=30))
def test_the_parser_accepts_exactly_what_json_accepts(file: str) -> None:
    try:
        expected = json.loads(file)
    except ValueError:
        expected = ...
    try:
        located = LocatedJson(file)
    except ValueError:
        assert expected is ...
    else:
        assert located.problems or located.value == expected


def test_places_as_text() -> None:
    assert format_place(("conditions", 2, "text")) == "conditions[2].text"
    assert format_place(("name",)) == "name"
