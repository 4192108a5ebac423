"""Foreign JSON is read whole or refused with its place, whatever it is, and in linear time."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmpt.common.foreign_json import ForeignJsonError, parse_json, read_json, read_json_lines

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=12,
)  # fmt: skip


@given(VALUES, st.booleans())
def test_what_python_writes_is_read(value: object, plain: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=plain).encode()) == value


@given(st.binary(max_size=60) | st.text('[]{}"\\:,0123456789.eE+-NaInfity u d8 \n', max_size=60))
def test_anything_else_is_one_kind_of_error(content: bytes | str) -> None:
    try:
        json.dumps(parse_json(content), allow_nan=False, ensure_ascii=False).encode()
    except ForeignJsonError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": 1e999}', "infinite"),
        (b'{"a": NaN}', "not a number"),
        (b'{"a": -Infinity}', "not a number"),
        (b"9" * 5000, "5,000 digits"),
        (b"0." + b"9" * 5000, "5,002 digits"),
        (b'["\\ud800"]', "lone surrogate"),
        (b"[" * 100_000, "line 1: nested deeper"),
        (b'{"a":\n\n' + b'{"a":' * 70, "line 3: nested deeper"),
        (b'\n{"a": "\xff"}', "line 2: not UTF-8"),
        (b'{"a": 1', "not JSON"),
        (b"", "not JSON"),
    ],
)
def test_what_is_wrong_is_said(content: bytes, said: str) -> None:
    with pytest.raises(ForeignJsonError, match=said):
        parse_json(content)


def test_brackets_in_strings_and_a_byte_order_mark_are_no_fault() -> None:
    assert parse_json(b'\xef\xbb\xbf["' + b"[" * 1000 + b'\\"[", "\\ud83d\\ude00"]') == ["[" * 1000 + '"[', "😀"]


@pytest.mark.parametrize("part", ['\\"', '"', "[]", "{", '"\\', "1", "\\u", '["'])
def test_the_time_is_linear(part: str) -> None:
    """A hundred times as long may take a hundred times as long, not ten thousand; a megabyte passes within seconds."""
    began = time.process_time()
    for start in ("", '"', '["'):
        with pytest.raises(ForeignJsonError):
            parse_json(start + part * (1_000_000 // len(part)))
    assert time.process_time() - began < 10


def test_files_are_named_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"a": 1}\n\n{"a": [}\n')
    lines = read_json_lines(path)
    assert next(lines) == (1, {"a": 1})
    with pytest.raises(ForeignJsonError, match=r"lines\.jsonl, line 3: not JSON"):
        next(lines)
    with pytest.raises(ForeignJsonError, match="there is no such file"):
        read_json(tmp_path / "none.json")
    with pytest.raises(ForeignJsonError, match="not a plain file"):
        read_json(tmp_path)
    with pytest.raises(ForeignJsonError, match="at most 5 are read"):
        read_json(path, max_bytes=5)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ForeignJsonError, match="not a plain file"):
        read_json(tmp_path / "pipe")
