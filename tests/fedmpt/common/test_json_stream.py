"""Large foreign JSON: what other programs write is read; what would take all memory is refused before it is parsed."""

from __future__ import annotations

import codecs
import gzip
import json
import math
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmpt.common import json_scan
from fedmpt.common.errors import InputFileError
from fedmpt.common.json_stream import items

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats()
    | st.text('aNInf"\\ []{}\n-9ity', max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('aNIn"\\', max_size=4), inner, max_size=4),
    max_leaves=20,
)


def finite(value: object) -> object:
    """The value with None for NaN and infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [finite(item) for item in value]
    return {key: finite(item) for key, item in value.items()} if isinstance(value, dict) else value


@settings(max_examples=200, deadline=None)
@given(st.lists(values, max_size=5), st.sampled_from([b"", codecs.BOM_UTF8]), st.sampled_from([7, 450, 2**16]))
def test_what_python_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, written: list[object], mark: bytes, chunk: int
) -> None:
    """Whatever stands in strings, and wherever a chunk ends; with a byte order mark; NaN and infinities are None."""
    path = tmp_path_factory.mktemp("json") / "x.json"
    path.write_bytes(mark + json.dumps(written).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_scan, "CHUNK", chunk)
        assert list(items(path, "item")) == [finite(value) for value in written]


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":["]]]]]]]]",'])
@pytest.mark.parametrize("suffix", ["json", "json.gz"])
def test_deep_nesting_is_refused_in_little_memory(tmp_path: Path, opening: bytes, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    content = opening * 100_000
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    tracemalloc.start()
    with pytest.raises(InputFileError, match="nested deeper than"):
        list(items(path, "item"))
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" + b"9" * 5000 + b"]", "a number of more than"),
        ("[1]".encode("utf-16"), "save the file as UTF-8"),
        (b"[1", "not JSON, or cut off"),
        (b'["\xff"]', "not JSON"),
        (b"[nan]", "not JSON"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InputFileError, match=said):
        list(items(tmp_path / "x.json", "item"))
