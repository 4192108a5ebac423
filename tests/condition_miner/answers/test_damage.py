"""Damage to the answer cache: rows, files, a full disk, a read-only folder. No wrong answer is ever read."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from condition_miner.answers.cache import AnswerCache
from condition_miner.answers.files import export_answers, verify
from condition_miner.answers.records import Answer, DamagedRow, Question, pack_row, unpack_row
from condition_miner.errors import MinerError
from tests.condition_miner.cached import ANSWER, database_file, execute_sql, fill, question
from tests.condition_miner.server import Server
from tests.condition_miner.shell import Shell

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(text=TEXTS, label=TEXTS, stage=TEXTS, sample=st.integers(0, 9))
def test_rows_round_trip(text: str, label: str, stage: str, sample: int) -> None:
    asked = Question(stage, "local", {"model": label, "messages": [{"content": label}]}, "t", sample)
    answer = Answer(text, "stop", 3, 4, 1, "2026-01-01T00:00:00Z")
    assert unpack_row(pack_row(asked, answer)) == (asked, answer)


@given(text=TEXTS, place=st.integers(0, 10_000), bit=st.integers(0, 6))
def test_any_flipped_bit_of_a_row_is_detected(text: str, place: int, bit: int) -> None:
    row = pack_row(question(), Answer(text, "stop", 3, 4, 1, "x"))
    place %= len(row)
    flipped = row[:place] + chr(ord(row[place]) ^ (1 << bit)) + row[place + 1 :]
    with pytest.raises(DamagedRow):
        unpack_row(flipped)


class TestDamage:
    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ("UPDATE Cache SET value = replace(value, 'stop', 'stap') WHERE rowid = 1", "checksum"),
            ("UPDATE Cache SET value = substr(value, 1, 100) WHERE rowid = 1", "checksum"),
            ("UPDATE Cache SET value = x'80049500' WHERE rowid = 1", "not text"),
            ("UPDATE Cache SET value = x'80049500', mode = 4 WHERE rowid = 1", "not text"),
            ("UPDATE Cache SET filename = '../../x', value = NULL, mode = 2 WHERE rowid = 1", "not text"),
            ("UPDATE Cache SET value = (SELECT value FROM Cache WHERE rowid = 2) WHERE rowid = 1", "another one"),
            ("UPDATE Cache SET key = 'x' || key WHERE rowid = 1", "another one"),
        ],
    )
    def test_verify_names_a_damaged_row(self, shell: Shell, query: str, said: str) -> None:
        fill(shell.folder / "cache")
        execute_sql(shell.folder / "cache", query)
        done = shell.run("cache", "verify")
        assert done.code == 1
        assert "29 answers are whole, 1 rows damaged" in done.out
        assert said in done.out
        found = json.loads(shell.run("cache", "verify", "--json").out)
        assert (found["good"], len(found["damaged"])) == (29, 1)
        exported = shell.run("cache", "export", "good.jsonl")
        assert exported.code == 1
        assert "1 rows are damaged and were left out" in exported.err
        assert shell.run("cache", "verify", "--drop").code == 0
        assert shell.run("cache", "verify").out.endswith("29 answers are whole, 0 rows damaged\n")
        assert len((shell.folder / "good.jsonl").read_text().splitlines()) == 29

    def test_a_damaged_row_is_asked_again(self, shell: Shell, server: Server) -> None:
        assert shell.mine(server).code == 0
        sent = len(server.bodies)
        edit = "UPDATE Cache SET value = replace(value, 'In place', 'In') WHERE tag LIKE '%describe%'"
        execute_sql(shell.folder / "cache", edit)
        done = shell.mine(server)
        assert done.code == 0
        assert "4 damaged rows of the answer cache count as missing" in done.err
        assert len(server.bodies) == sent + 4
        assert shell.run("cache", "verify").code == 0

    @given(seed=st.integers(0, 2**32), count=st.integers(1, 40))
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_flipped_bytes_of_the_file(self, tmp_path_factory: pytest.TempPathFactory, seed: int, count: int) -> None:
        """The result is a clear error, or correct answers and damaged rows; never a wrong answer."""
        folder = tmp_path_factory.mktemp("flipped")
        fill(folder)
        rng = random.Random(seed)
        content = bytearray(database_file(folder).read_bytes())
        for _ in range(count):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        database_file(folder).write_bytes(content)
        try:
            with AnswerCache(folder) as cache:
                for sample in range(30):
                    asked = question(sample=sample, stage=("describe", "abstract")[sample % 2])
                    assert cache.get(asked) in (None, ANSWER)
                verify(cache)
                export_answers(cache, folder / "x.jsonl")
        except MinerError as error:
            assert str(folder) in str(error)

    def test_a_file_that_is_not_a_database(self, shell: Shell) -> None:
        (shell.folder / "cache" / "answers").mkdir(parents=True)
        database_file(shell.folder / "cache").write_bytes(b"not a database, but long enough to be looked at" * 100)
        done = shell.run("cache", "info")
        assert done.code == 2
        assert "cannot be used as an answer cache" in done.err
        assert "not a database" in done.err

    def test_a_file_in_the_place_of_the_folder(self, shell: Shell) -> None:
        (shell.folder / "cache").write_text("")
        done = shell.run("cache", "info")
        assert done.code == 2
        assert "cannot be used as an answer cache" in done.err


class TestFullAndReadOnly:
    def test_a_full_disk_ends_the_run_and_loses_nothing(self, shell: Shell, server: Server) -> None:
        """The process may write files of at most 900 kB; every answer that was stored is there afterwards."""
        script = (
            "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (900_000, 900_000))\n"
            "sys.argv = ['fedmpt', *sys.argv[1:]]\n"
            "from fedmpt.cli import main; main()"
        )
        words = ("mine-conditions", "--labels", "labels.txt", "--combinations", "200", "--base-url", server.url)
        (shell.folder / "labels.txt").write_text("".join(f"label {i}\n" for i in range(40)))
        ran = subprocess.run(
            [sys.executable, "-c", script, *words], cwd=shell.folder, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 1, ran.stderr
        assert "the answer cache cannot be used" in ran.stderr
        assert "Traceback" not in ran.stderr
        answered = len(server.bodies)
        assert answered > 8
        kept = json.loads(shell.run("cache", "verify", "--json").out)
        assert kept["damaged"] == []
        assert 0 < kept["good"] <= answered + 1

    def test_a_folder_that_cannot_be_written(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        """Root may write anywhere, so the database is opened read-only."""
        fill(shell.folder / "cache")
        connect = sqlite3.connect

        def read_only(path: str, *args: Any, **kwargs: Any) -> Any:
            return connect(f"file:{path}?mode=ro", *args, **{**kwargs, "uri": True})

        monkeypatch.setattr(sqlite3, "connect", read_only)
        done = shell.run("cache", "info")
        assert done.code == 2
        assert "readonly database" in done.err
        assert "name another" in done.err
