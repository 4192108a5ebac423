"""Affinities in files: one line per row and correction, and errors with their places."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from prompt_bank.errors import BankError
from prompt_bank.recording.store import dumps, loads
from tests.prompt_bank.banks import with_affinities


def test_rows_and_corrections_are_single_lines() -> None:
    written = dumps(with_affinities())
    for line in (
        '"fork": [2.5, -1.0, null],',
        '"car": [-2.0, 1.5, 0.25]',
        '{"label": "fork", "value": "Kitchen", "mined": 0.5, "by": "bo"}',
        '"car": [0.25, 1.0]',
    ):
        assert line in [text.strip() for text in written.splitlines()]
    assert loads(written)[0] == with_affinities()


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str, str]] = {
    "a short row": (
        lambda c: c["affinity"]["rows"].update(car=[1]),
        "affinity.rows.car",
        "has 1 numbers, but the condition has 3 values",
    ),
    "no label": (lambda c: c["affinity"]["rows"].update(dog=[1, 2, 3]), "affinity.rows.dog", "no label 'dog'"),
    "no number": (lambda c: c["affinity"]["rows"].update(car=[1, 2, "x"]), "affinity.rows.car[2]", "number"),
    "no rows": (lambda c: c["affinity"].update(rows={}), "affinity.rows", "at least 1"),
    "a value twice": (lambda c: c["values"].append("KITCHEN"), "values[3]", "already used at conditions[0].values[0]"),
    "a cell of no value": (
        lambda c: c["affinity"]["corrected"].append({"label": "car", "value": "moon"}),
        "affinity.corrected[0].value",
        "no value 'moon'",
    ),
    "a cell of no row": (
        lambda c: c["affinity"]["corrected"].append({"label": "tree", "value": "street"}),
        "affinity.corrected[0].label",
        "'tree' has no row",
    ),
    "a cell twice": (
        lambda c: c["affinity"]["corrected"].extend([{"label": "car", "value": "street"}] * 2),
        "affinity.corrected[1]",
        "already corrected",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_an_error_has_its_place(name: str) -> None:
    spoil, place, message = FAULTS[name]
    content = json.loads(dumps(with_affinities()))
    spoil(content["conditions"][0])
    with pytest.raises(BankError) as caught:
        loads(json.dumps(content))
    found = {problem.place: problem.message for problem in caught.value.problems}
    assert message in found[f"conditions[0].{place}"], found


def test_a_control_is_square() -> None:
    content = json.loads(dumps(with_affinities()))
    content["provenance"]["control"]["rows"]["car"] = [1.0]
    with pytest.raises(BankError, match=r"provenance.control.rows.car, line \d+: has 1 numbers, but there are 2 rows"):
        loads(json.dumps(content, indent=2))
