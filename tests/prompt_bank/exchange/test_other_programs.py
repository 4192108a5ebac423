"""Spreadsheets that other programs saved: read as they are meant, and problems name the file that a person can mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from prompt_bank.errors import BankError
from prompt_bank.exchange import spreadsheet
from prompt_bank.exchange.files import import_changes
from prompt_bank.exchange.formats import Format
from prompt_bank.recording.store import load, record
from prompt_bank.schema import Bank
from tests.prompt_bank.banks import good


def bank_file(folder: Path) -> Path:
    path = folder / "bank.json"
    record(good(), path, by="miner", did="mined")
    return path


def imported(path: Path, content: str) -> Bank:
    file = path.with_name("sheet.csv")
    file.write_bytes(content.encode())
    return import_changes(path, file, Format.CSV, by="ada", did="taken", remove_missing=False)[0].bank


@pytest.mark.parametrize(
    "content",
    [
        "id|note\n{id}|seen\n",
        "sep=;\r\nid;note\r\n{id};seen\r\n",
        '"sep=|"\nid|note\n{id}|seen\n',
        "sep=,\rid,note\r{id},seen\r",
        "id,note\r{id},seen\r",
        ",id,note,revision\n0,{id},seen,1.0\n",
        "Unnamed: 0,id,text,note,revision\n0,{id},,seen,1.0\n1,,winter,,\n",
    ],
)
def test_sheets_of_other_programs(tmp_path: Path, content: str) -> None:
    path = bank_file(tmp_path)
    wanted = load(path).bank.conditions[0]
    text = content.format(id=wanted.id).replace("{wanted}", wanted.text)
    if "text" in text.splitlines()[0]:
        text = text.replace(f"{wanted.id},,", f"{wanted.id},{wanted.text},")
    assert imported(path, text).conditions[0].note == "seen"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,status\n{id},maybe\n", "must be 'proposed', 'accepted' or 'rejected'"),
        ("id,note\nno-such,x\n", "there is no condition 'no-such'"),
        ("id,note,revision\n{id},x,77\n", "there is no revision '77'"),
        ("id,text\n{id},\n", "text"),
        ("id,note,note\n{id},x,y\n", "the column 'note' occurs twice"),
    ],
)
def test_problems_name_the_imported_file(tmp_path: Path, content: str, said: str) -> None:
    path = bank_file(tmp_path)
    before = path.read_bytes()
    with pytest.raises(BankError, match=said) as caught:
        imported(path, content.format(id=load(path).bank.conditions[0].id))
    assert all(line.startswith(str(tmp_path / "sheet.csv")) for line in str(caught.value).splitlines())
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("cell", "found"), [("1.0", "1"), (" 12.0 ", "12"), ("1.5", "1.5"), ("abc.0", "abc.0"), ("", "")]
)
def test_whole_numbers(cell: str, found: str) -> None:
    assert spreadsheet.whole_number(cell) == found
