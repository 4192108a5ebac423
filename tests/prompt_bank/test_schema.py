"""The exported schema is the models' one, and the file's form is stable."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from prompt_bank.checks import fold
from prompt_bank.schema import SCHEMA_FILE, Bank, Caption, Condition, Label, Prompt, Provenance, json_schema
from prompt_bank.store import content_hash, dumps, loads
from tests.prompt_bank.banks import content, good, text

WORDS = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=12)
PROSE = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | PROSE


@st.composite
def banks(draw: st.DrawFn) -> Bank:
    """Any bank that passes its checks, with awkward prose and parameters."""
    folded = st.lists(WORDS, min_size=1, max_size=4, unique_by=fold)
    labels = draw(folded)
    texts = draw(folded)
    captions = tuple(
        Caption(id=f"cap-{i}", labels=(draw(st.sampled_from(labels)),), text=draw(PROSE) + "x")
        for i in range(draw(st.integers(0, 3)))
    )
    evidence = st.lists(st.sampled_from([c.id for c in captions]), max_size=3) if captions else st.just([])
    conditions = tuple(
        Condition(
            id=f"c{i}",
            text=words,
            definition=draw(PROSE),
            status=draw(st.sampled_from(["proposed", "accepted", "rejected"])),
            support=draw(st.none() | st.floats(0, 1)),
            evidence=tuple(draw(evidence)),
            note=draw(PROSE),
        )
        for i, words in enumerate(texts)
    )
    prompt = Prompt(condition_tokens=draw(st.integers(0, 64)), class_tokens=draw(st.integers(0, 64)))
    provenance = Provenance(
        parameters=draw(st.dictionaries(PROSE, SCALARS, max_size=4)), seed=draw(st.integers(-(2**40), 2**40))
    )
    named = tuple(Label(name=name) for name in labels)
    return Bank(
        name="any", labels=named, conditions=conditions, captions=captions, prompt=prompt, provenance=provenance
    )


@settings(max_examples=80, deadline=None)
@given(banks())
def test_a_file_comes_back_byte_for_byte_and_its_hash_with_it(bank: Bank) -> None:
    written = dumps(bank)
    read, _ = loads(written)
    assert read == bank
    assert dumps(read) == written
    assert content_hash(read) == content_hash(bank)


def test_the_hash_covers_everything_but_the_history() -> None:
    bank = good()
    entry = {"revision": 1, "at": "2026-11-23T00:00:00Z", "by": "me", "did": "it", "hash": "sha256:" + "0" * 64}
    recorded, _ = loads(text({**content(), "history": [entry]}))
    assert content_hash(recorded) == content_hash(bank)
    for key, value in (("name", "other"), ("revision", 9), ("captions", []), ("$schema", "elsewhere.json")):
        changed = content() | {key: value}
        if key == "captions":
            changed["dependencies"] = []
            changed["conditions"][0]["evidence"] = []
        assert content_hash(loads(text(changed))[0]) != content_hash(bank), key


def test_the_hash_does_not_depend_on_the_order_of_keys_or_on_white_space() -> None:
    backwards = json.dumps(dict(reversed(content().items())))
    assert content_hash(loads(backwards)[0]) == content_hash(good())


def test_keys_stand_in_the_order_of_the_design() -> None:
    assert list(content()) == [
        "$schema", "format", "name", "revision", "labels", "conditions", "dependencies", "captions", "prompt",
        "provenance", "history",
    ]  # fmt: skip
    assert list(content()["conditions"][0]) == [
        "id", "text", "definition", "status", "origin", "support", "values", "evidence", "note",
    ]  # fmt: skip


def test_people_read_their_own_letters_in_the_file() -> None:
    written = dumps(good().model_copy(update={"labels": (Label(name="кошка"), Label(name="猫"))}))
    assert '"name": "кошка"' in written and "猫" in written


def test_the_shipped_schema_is_current() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == json_schema(), "run: python -m prompt_bank.schema"


def test_the_schema_closes_every_object_and_lists_the_enumerations() -> None:
    exported: dict[str, Any] = json.loads(json_schema())
    parts = [exported, *exported["$defs"].values()]
    assert all(part["additionalProperties"] is False for part in parts)
    assert exported["$defs"]["Condition"]["properties"]["status"]["enum"] == ["proposed", "accepted", "rejected"]
    assert "in" in exported["$defs"]["Tokens"]["properties"]


def test_a_bank_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        good().conditions[0].text = "other"
