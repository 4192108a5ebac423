"""Foreign words cannot act on a terminal; every code page, narrow terminal and closed pipe is met quietly."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from fedmpt.common.errors import InputFileError
from fedmpt.common.files import expanded, naming, os_error_text
from fedmpt.common.terminal import cell, clean_lines, json_text
from trainer.evaluation.comparison import evaluation_table
from trainer.run.metric_records import FIGURES

HOSTILE = "\x1b[2J\x9b31m\u202eevil\x07\r[bold]x[/bold]"


@given(st.text(st.characters()))
def test_no_control_character_is_left(text: str) -> None:
    shown = clean_lines(text)
    assert not any(sign in shown for sign in "\x1b\x07\r\x9b\u202e\x00")
    assert json.loads(json_text([text])) == [text]


def test_markup_and_escapes_in_a_table_are_shown_as_they_are() -> None:
    table = Table()
    table.add_column("x")
    table.add_row(cell(HOSTILE))
    console = Console(width=80, force_terminal=True, color_system="truecolor")
    with console.capture() as captured:
        console.print(table)
    assert "[bold]x[/bold]" in captured.get()
    assert "\x9b" not in captured.get()
    assert "\x1b[2J" not in captured.get()


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
def test_no_figure_is_cut_off(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fedmpt.common.terminal import print_table

    monkeypatch.setenv("COLUMNS", str(columns))
    figures = {key: 10.0 + place / 8 for place, key in enumerate(FIGURES)}
    ends = {key: [0.0, 35.5 + place] for place, key in enumerate(figures)}
    values = {**figures, "threshold": 0.31}
    print_table(
        evaluation_table(
            {
                "test": values,
                "test_at_0.5": values,
                "test_oracle_thresholds": values,
                "intervals": {"level": 0.95, **ends},
            }
        )
    )
    shown = capsys.readouterr().out
    assert "…" not in shown
    for place, value in enumerate(figures.values()):
        assert shown.count(f"{value:.2f}") == 3
        assert f"±{(35.5 + place) / 2:.2f}" in shown


PRINT = """
from fedmpt.common.terminal import accept_any_code_page, echo
accept_any_code_page()
echo("a → b ± … – é 😀")
echo("a → b", err=True)
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "latin-1", "utf-8"])
def test_every_code_page_is_written_to(encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", PRINT], env=environment, capture_output=True, check=True)
    # click takes ASCII for a locale that is not set, and writes UTF-8.
    shown = done.stdout.decode("utf-8" if encoding == "ascii" else encoding)
    assert shown.startswith("a → b" if encoding in ("utf-8", "ascii") else "a -> b")


PIPE = """
import sys
from typer import Typer
from fedmpt.common.console import reported
from fedmpt.common.terminal import echo
app = Typer()
@app.command()
def main() -> None:
    with reported(False):
        for number in range(100_000):
            echo("line")
app()
"""


def test_a_reader_that_has_read_enough_is_no_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", PIPE], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait()


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as raised, naming(tmp_path / "out.csv"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert (
        os_error_text(raised.value)
        == f"{tmp_path / 'out.csv'}: No space left on device; make room, or choose another folder"
    )
    unnamed = os_error_text(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert unnamed.startswith("standard output: No space left")
    long = OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300)
    assert os_error_text(long).endswith("File name too long; choose a shorter name")


def test_home_and_variables_in_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from fedmpt.common.console import cache_folder
    from trainer.resolving import resolve

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLACE", "there")
    monkeypatch.setenv("FEDMPT_CACHE_DIR", "~/${PLACE}")
    assert cache_folder(None) == tmp_path / "there"
    assert cache_folder(Path("~/x")) == tmp_path / "x"
    assert resolve(overrides={"data.data_root": "$HOME/a"}).data.data_root == tmp_path / "a"
    with pytest.raises(InputFileError, match="no environment variable NOWHERE"):
        expanded("$NOWHERE/x")
