"""Lists of names in cells: read in every common notation, or refused; never a bracket as part of a name."""

from __future__ import annotations

import contextlib
import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmpt.common.cells import MAX_CELL, CellError, split_names

names = (
    st.text("abcdefghij KLM'\"-äß", min_size=1, max_size=12)
    .map(str.strip)
    .filter(lambda name: name and name.strip("'\"") == name)
)


@settings(max_examples=300)
@given(st.lists(names, min_size=1, max_size=6, unique=True))
def test_every_notation_gives_the_names(written: list[str]) -> None:
    for cell in (repr(written), repr(tuple(written)), json.dumps(written), json.dumps(written, ensure_ascii=False)):
        assert split_names(cell) == written
    assert sorted(split_names(repr(set(written)))) == sorted(written)
    assert sorted(split_names(repr(frozenset(written)))) == sorted(written)
    assert split_names(str(np.array(written, dtype=object))) == written
    assert split_names(repr(np.array(written))) == written
    assert split_names(";".join(written)) == written
    postgres = ",".join(
        '"' + name.replace('"', '\\"') + '"' if " " in name or '"' in name else name for name in written
    )
    if not any("'" in name for name in written):
        assert split_names("{" + postgres + "}") == written


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("", []),
        *((empty, []) for empty in ("[]", "{}", "()", "set()", "frozenset()", "[ ]")),
        ("cat", ["cat"]),
        ("hot dog, box", ["hot dog", "box"]),
        ("cup, red; cat", ["cup, red", "cat"]),
        ("{cat,hot dog}", ["cat", "hot dog"]),
        ("[cat, dog]", ["cat", "dog"]),
        ("('cat',)", ["cat"]),
        ("['cat'\n 'dog']", ["cat", "dog"]),
        ("'cat', 'dog'", ["cat", "dog"]),
        ("(un)healthy; dog", ["(un)healthy", "dog"]),
        ("crane (bird)", ["crane (bird)"]),
        ('["\\ud83d\\ude00"]', ["😀"]),
    ],
)
def test_written_by_hand(cell: str, found: list[str]) -> None:
    assert split_names(cell) == found


@pytest.mark.parametrize(
    "cell",
    [
        "[0, 3]",
        "[1.5]",
        "{1,2}",
        "[nan]",
        "[None, 'a']",
        "{'cat': 1}",
        "{cat: 1}",
        "[['a'], ['b']]",
        "['a'; 'b']",
        "[a;b]",
    ],
)
def test_what_is_no_list_of_names(cell: str) -> None:
    with pytest.raises(CellError):
        split_names(cell)


@settings(max_examples=300)
@given(st.text("[](){}'\",;| \\abu0", max_size=40))
def test_any_cell_is_read_or_refused(cell: str) -> None:
    try:
        assert all(name == name.strip() and name for name in split_names(cell))
    except CellError as error:
        assert str(error)


@pytest.mark.parametrize(
    "cell", ["[" * 50_000, "[" * 40_000 + "]" * 40_000, "['" + "a' '" * 20_000, "[" + "a " * 40_000 + "'"]
)
def test_long_cells_take_linear_time(cell: str) -> None:
    began = time.process_time()
    with contextlib.suppress(CellError):
        split_names(cell)
    assert time.process_time() - began < 2
    with pytest.raises(CellError, match="at most"):
        split_names("a" * (MAX_CELL + 1))
