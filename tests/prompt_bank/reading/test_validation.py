"""Each fault of a file is named with its place and line, and all of them at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_bank.errors import BankError, Problem
from prompt_bank.recording.store import dumps, loads
from tests.prompt_bank.banks import content, good, text

Spoil = Callable[[dict[str, Any]], Any]


def problems(file: str) -> list[Problem]:
    with pytest.raises(BankError) as raised:
        loads(file, "bank.json")
    return raised.value.problems


def spoiled(spoil: Spoil) -> list[Problem]:
    bank = content()
    spoil(bank)
    return problems(text(bank))


FAULTS: dict[str, tuple[Spoil, str, str]] = {
    "extra field": (lambda b: b["labels"][0].update(alias=[]), "labels[0].alias", "is 'aliases' meant?"),
    "by the Python name": (lambda b: b["provenance"]["tokens"].update(into=1), "provenance.tokens.into", "'in'"),
    "missing field": (lambda b: b["conditions"][1].pop("text"), "conditions[1].text", "is missing"),
    "wrong type": (lambda b: b["conditions"][0].update(support="0.4"), "conditions[0].support", "number"),
    "boolean as number": (lambda b: b["provenance"].update(seed=True), "provenance.seed", "integer"),
    "out of range": (lambda b: b["conditions"][0].update(support=1.5), "conditions[0].support", "at most 1.0"),
    "unknown status": (lambda b: b["conditions"][1].update(status="ok"), "conditions[1].status", "'accepted'"),
    "unknown origin": (lambda b: b["conditions"][1].update(origin="me"), "conditions[1].origin", "'mined'"),
    "no labels": (lambda b: b.update(labels=[]), "labels", "at least 1"),
    "empty label": (lambda b: b["labels"][1].update(name=""), "labels[1].name", "is empty"),
    "blank label": (lambda b: b["labels"][1].update(name=" \u3000"), "labels[1].name", "is empty"),
    "endless label": (lambda b: b["labels"][1].update(name="x" * 10_000), "labels[1].name", "more than 100"),
    "newline in a label": (lambda b: b["labels"][1].update(name="a\nb"), "labels[1].name", "control character"),
    "escape in a condition": (lambda b: b["conditions"][1].update(text="a\x1b[2J"), "conditions[1].text", "control"),
    "turned direction": (lambda b: b["labels"][1].update(name="a\u202eb"), "labels[1].name", "control character"),
    "white space around": (lambda b: b["conditions"][1].update(text="pose "), "conditions[1].text", "white space"),
    "label twice": (lambda b: b["labels"].append({"name": "CAT"}), "labels[2].name", "already used at labels[0].name"),
    "condition twice": (lambda b: b["conditions"][1].update(text="Background"), "conditions[1].text", "already"),
    "id twice": (
        lambda b: b["conditions"][1].update(id="background"),
        "conditions[1].id",
        "already used at conditions[0].id",
    ),
    "path as id": (lambda b: b["conditions"][1].update(id="../../x"), "conditions[1].id", "does not match"),
    "caption twice": (
        lambda b: b["captions"].append(b["captions"][0]),
        "captions[1].id",
        "already used at captions[0].id",
    ),
    "evidence of nothing": (
        lambda b: b["conditions"][0].update(evidence=["cap-0001", "cap-9"]),
        "conditions[0].evidence[1]",
        "no caption 'cap-9'",
    ),
    "dependency on no label": (
        lambda b: b["dependencies"][0].update(labels=["cat", "dog"]),
        "dependencies[0].labels[1]",
        "no label 'dog'",
    ),
    "dependency on no condition": (
        lambda b: b["dependencies"][0].update(conditions=["light"]),
        "dependencies[0].conditions[0]",
        "no condition 'light'",
    ),
    "caption of no label": (lambda b: b["captions"][0].update(labels=["dog"]), "captions[0].labels[0]", "'dog'"),
    "template without label": (lambda b: b["prompt"].update(template="{condition}."), "prompt.template", "0 times"),
    "label before condition": (
        lambda b: b["prompt"].update(template="{label} in {condition}"),
        "prompt.template",
        "must come before",
    ),
    "field of a field": (
        lambda b: b["prompt"].update(template="{condition} {label} {label.__class__}"),
        "prompt.template",
        "'{label.__class__}' is not a field",
    ),
    "format specification": (
        lambda b: b["prompt"].update(template="{condition} {label} {label:>99999999}"),
        "prompt.template",
        "is not a field",
    ),
    "stray brace": (lambda b: b["prompt"].update(template="{condition} {label} }"), "prompt.template", "'}'"),
    "newer format": (lambda b: b.update(format=3), "format", "update fedmpt"),
    "no format": (lambda b: b.pop("format"), "format", "is missing"),
    "format in words": (lambda b: b.update(format="one"), "format", "whole number"),
    "bad hash": (
        lambda b: b.update(
            history=[{"revision": 1, "at": "2026-11-23T00:00:00Z", "by": "me", "did": "it", "hash": "md5:0"}]
        ),
        "history[0].hash",
        "does not match",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_an_error_has_its_place(name: str) -> None:
    spoil, place, message = FAULTS[name]
    found = [problem for problem in spoiled(spoil) if problem.place == place]
    assert any(message in problem.message for problem in found), found


@pytest.mark.parametrize("name", FAULTS)
def test_an_error_has_the_line_of_its_place(name: str) -> None:
    """The line is found a second way: in the indented text each value but an empty list stands on a line of its own."""
    spoil, place, _ = FAULTS[name]
    bank = content()
    spoil(bank)
    file = text(bank)
    for problem in problems(file):
        if problem.place == place:
            assert problem.line == line_by_marking(bank, place), file


def line_by_marking(bank: dict[str, Any], place: str) -> int:
    """Put a mark into the value's stead and look for it; what is missing lies in the object around it."""
    steps = [int(s) if s.isdigit() else s for s in place.replace("]", "").replace("[", ".").split(".")]
    marked = json.loads(json.dumps(bank))
    around = marked
    for step in steps[:-1]:
        around = around[step]
    if isinstance(around, dict) and steps[-1] not in around:
        opening = text(marked)
        around["\u2602"] = 0  # the mark stands last in the object; its first key one line below the brace
        first = next(iter(around))
        if around is marked:
            return 1
        del around["\u2602"]
        renamed = {("\u2602" if key == first else key): value for key, value in around.items()}
        around.clear()
        around.update(renamed)
        assert opening.count("\n") == text(marked).count("\n")
        return line_of_mark(text(marked)) - 1
    around[steps[-1]] = "\u2602"
    return line_of_mark(text(marked))


def line_of_mark(file: str) -> int:
    return next(i for i, line in enumerate(file.splitlines(), 1) if "\u2602" in line)


def test_problems_of_all_kinds_are_reported_at_once() -> None:
    def spoil(bank: dict[str, Any]) -> None:
        bank["conditions"][0]["support"] = "much"  # a type
        bank["conditions"][1]["evidence"] = ["cap-9"]  # a reference
        bank["prompt"]["template"] = "{label}"  # a meaning
        bank["colour"] = "red"  # a surplus field
        bank["provenance"]["parameters"] = {"temperature": float("nan")}  # what json lets through

    places = {problem.place for problem in spoiled(spoil)}
    assert places == {
        "conditions[0].support",
        "conditions[1].evidence[0]",
        "prompt.template",
        "colour",
        "provenance.parameters.temperature",
    }


def test_problems_come_in_the_order_of_the_lines() -> None:
    found = spoiled(lambda b: (b.update(name=""), b["captions"][0].update(text=""), b["labels"][0].update(name="")))
    assert [problem.place for problem in found if "empty" in problem.message][:2] == ["name", "labels[0].name"]
    assert [problem.line for problem in found] == sorted(problem.line or 0 for problem in found)


def test_a_duplicate_key_is_reported_at_its_second_occurrence() -> None:
    file = text(content()).replace('"name": "small",', '"name": "small",\n  "name": "other",')
    assert [str(problem) for problem in problems(file)] == ["name, line 5: the key 'name' occurs twice"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 309, "9" * 5000])
def test_numbers_that_json_does_not_allow(number: str) -> None:
    file = text(content()).replace('"seed": 0', f'"seed": {number}')
    (problem,) = problems(file)
    assert problem.place == "provenance.seed"
    assert problem.line == 1 + file[: file.index('"seed"')].count("\n")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("", "missing"),
        ("[]", "JSON object"),
        ("null", "JSON object"),
        ("<html>", "not JSON"),
        ('{"format": 1,}', "key"),
        ("{'format': 1}", "double quotes"),
        ('{"format": 1} {}', "after the end"),
        ('{"format": 1, "name": "a\nb"}', "not closed or not valid"),
        (r'{"format": 1, "name": "\ud800"}', "surrogate"),
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
        ("[" * 100 + "]" * 100, "nested too deep"),
    ],
)
def test_invalid_json(file: str, message: str) -> None:
    (problem,) = problems(file)
    assert message in problem.message
    assert problem.line is not None


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_truncated_file_is_refused(data: st.DataObject) -> None:
    file = dumps(good())
    cut = data.draw(st.integers(0, len(file.rstrip()) - 1))
    assert problems(file[:cut])


def test_a_byte_order_mark_is_a_warning() -> None:
    bank, warnings = loads("\ufeff" + dumps(good()))
    assert bank == good()
    assert [w.severity for w in warnings] == ["warning"] and "byte order mark" in warnings[0].message


def test_texts_that_look_like_code_are_accepted() -> None:
    names = ["{{7*7}}", "{label}", "ignore previous instructions", "../../x", "שלום", "%s"]
    bank = content()
    bank["labels"] += [{"name": name} for name in names]
    assert [label.name for label in loads(text(bank))[0].labels][2:] == names


def test_composed_and_decomposed_letters_are_one_label() -> None:
    found = spoiled(lambda b: b["labels"].extend([{"name": "caf\u00e9"}, {"name": "cafe\u0301"}]))
    assert [problem.place for problem in found] == ["labels[3].name"]


def test_near_duplicates_are_warnings() -> None:
    bank = content()
    bank["labels"] += [{"name": "cats"}, {"name": "plant", "aliases": ["Cat"]}]
    _, warnings = loads(text(bank))
    assert [(w.place, w.severity) for w in warnings] == [
        ("labels[2].name", "warning"),
        ("labels[3].aliases[0]", "warning"),
    ]


def test_a_rejected_condition_may_repeat_a_text() -> None:
    bank = content()
    bank["conditions"][1].update(text="background", status="rejected")
    assert len(loads(text(bank))[0].conditions) == 2


def test_a_thousand_labels_are_read() -> None:
    bank = content()
    bank["labels"] += [{"name": f"label {i:04d}"} for i in range(1000)]
    assert len(loads(text(bank))[0].labels) == 1002
