"""A bank's labels and the data's: the same by name or by alias."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from prompt_bank.schema import Bank, Label
from tests.trainer.tiny import LABELS, bank_with_affinities
from trainer.data.bank_labels import match_notes, matched_bank
from trainer.data.registry import load_dataset
from trainer.resolving import resolve


def named(bank: Bank) -> list[str]:
    return [label.name for label in bank.labels]


def bank_of(*labels: tuple[str, ...]) -> Bank:
    return Bank(name="b", labels=tuple(Label(name=x[0], aliases=x[1:]) for x in labels))


def test_a_bank_whose_names_are_the_datas_is_left_as_it_is() -> None:
    bank = bank_with_affinities()
    assert matched_bank(bank, LABELS) == (bank, {})


def test_aliases_of_either_side_match_and_are_told() -> None:
    bank = bank_of(("television", "telly"), ("sofa",), ("Person",))
    found, renamed = matched_bank(bank, ("telly", "couch", "person"), {"couch": ("sofa", "settee")})
    assert named(found) == ["telly", "couch", "person"]
    assert found.labels[0].aliases == ("television",)
    assert renamed == {"television": "telly", "sofa": "couch", "Person": "person"}
    assert "'television' of bank 'b' is the data's 'telly'" in match_notes(bank, renamed)[0]


def test_affinities_follow_their_label() -> None:
    bank = bank_with_affinities()
    found, _ = matched_bank(bank, ("Cat", *LABELS[1:]))
    for before, after in zip(bank.conditions, found.conditions, strict=True):
        assert before.affinity is not None
        assert after.affinity is not None
        assert after.affinity.rows == {"Cat" if k == "cat" else k: v for k, v in before.affinity.rows.items()}


@pytest.mark.parametrize(
    ("bank", "data"),
    [
        (bank_of(("television", "screen"), ("monitor", "screen")), ("screen", "cat")),
        (bank_of(("vehicle", "car", "bus")), ("car", "bus")),
        (bank_of(("television", "telly"), ("telly",)), ("telly", "cat")),
    ],
)
def test_what_is_ambiguous_is_left_alone(bank: Bank, data: tuple[str, ...]) -> None:
    assert matched_bank(bank, data)[1] == {}


def test_aliases_in_a_tables_list_of_labels(tmp_path: Path) -> None:
    rows = [
        "path,labels,split",
        "1.png,telly,train",
        "2.png,Sofa;television,train",
        "3.png,sofa,val",
        "4.png,sofa,test",
    ]
    (tmp_path / "table.csv").write_text("\n".join(rows))
    (tmp_path / "labels.txt").write_text("television, telly\nsofa, settee\n")
    for name in ("1", "2", "3", "4"):
        Image.new("RGB", (80, 40)).save(tmp_path / f"{name}.png")
    overrides = {"data.dataset": "table", "data.data_root": str(tmp_path), "data.partition.kind": "iid"}
    overrides |= {"data.table.labels": str(tmp_path / "labels.txt"), "data.partition.clients": 1}
    found = load_dataset(resolve(overrides=overrides).data)
    assert found.label_names == ("television", "sofa")
    assert found.train.labels.tolist() == [[1, 0], [1, 1]]
    assert found.aliases == {"television": ("telly",), "sofa": ("settee",)}
    assert "'telly' in the table is read as 'television', whose alias it is" in found.notes
    assert found.elongated == 1.0
