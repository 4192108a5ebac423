"""The exported JSON schema is current, and the file format is stable."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from pydantic import ValidationError

from prompt_bank.recording.store import content_hash, dumps, loads
from prompt_bank.schema import SCHEMA_FILE, Bank, Label, json_schema
from tests.prompt_bank.banks import content, good, text
from tests.prompt_bank.strategies import banks


@settings(max_examples=80, deadline=None)
@given(banks())
def test_a_file_round_trips_with_its_bytes_and_hash(bank: Bank) -> None:
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


def test_keys_are_in_the_order_of_the_schema() -> None:
    assert list(content()) == [
        "$schema", "format", "name", "revision", "labels", "conditions", "dependencies", "captions", "prompt",
        "provenance", "history",
    ]  # fmt: skip
    assert list(content()["conditions"][0]) == [
        "id", "text", "definition", "status", "origin", "support", "values", "evidence", "note",
    ]  # fmt: skip


def test_files_contain_letters_unescaped() -> None:
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
