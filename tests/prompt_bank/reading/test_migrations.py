"""Migrations from older file formats."""

from __future__ import annotations

import json
from typing import Any

import pytest

from prompt_bank.reading import migrations
from prompt_bank.recording.store import content_hash, dumps, load, loads
from prompt_bank.schema import Bank, Condition, Label
from prompt_bank.shipped import FOLDER


def test_an_older_format_is_migrated_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(bank: dict[str, Any]) -> dict[str, Any]:
        return {("title" if key == "name" else key): value for key, value in bank.items()} | {"format": 2}

    def count(bank: dict[str, Any]) -> dict[str, Any]:
        return bank | {"format": 3, "size": len(bank["title"])}

    monkeypatch.setattr(migrations, "FORMAT", 3)
    monkeypatch.setattr(migrations, "MIGRATIONS", {1: rename, 2: count})
    assert migrations.migrate({"format": 1, "name": "abc"}) == {"format": 3, "title": "abc", "size": 3}
    assert migrations.migrate({"format": 3}) == {"format": 3}
    with pytest.raises(migrations.UnknownFormat, match="is 4, newer"):
        migrations.migrate({"format": 4})


def test_there_is_a_migration_from_each_older_format() -> None:
    assert sorted(migrations.MIGRATIONS) == list(range(1, migrations.FORMAT))


def test_format_1_is_read_and_keeps_its_hash() -> None:
    """Values may be duplicated in format 1, and the hashes of its revisions are still valid."""
    plain = Bank(name="old", labels=(Label(name="a"),), conditions=(Condition(id="c", text="c", values=("x", "y")),))
    content = json.loads(dumps(plain)) | {"format": 1}
    assert loads(json.dumps(content))[0] == plain
    content["conditions"][0]["values"] = ["x", "X ", "y", "x"]
    assert loads(json.dumps(content))[0] == plain
    for shipped in ("voc20", "coco80", "scenes24"):
        loaded = load(FOLDER / f"{shipped}.json")
        if loaded.bank.history and not any(c.affinity for c in loaded.bank.conditions):
            assert content_hash(loaded.bank) == loaded.bank.history[-1].hash and not loaded.edited
