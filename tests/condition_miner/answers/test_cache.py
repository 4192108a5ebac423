"""The answer cache: keys, exports, damage."""

from __future__ import annotations

import gzip
import json
import random
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from condition_miner.answers.cache import AnswerCache
from condition_miner.answers.files import export_answers, import_answers, verify
from condition_miner.answers.records import Answer, DamagedRow, Question, packed, unpacked
from condition_miner.errors import MinerError
from tests.condition_miner.server import Server
from tests.condition_miner.shell import Shell


def question(**change: object) -> Question:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 0.1}
    return Question(**{"stage": "describe", "endpoint": "local", "body": body, "template": "t", "sample": 0, **change})


class TestCache:
    ANSWER = Answer("{}", "stop", 1, 2, 1, "2026-01-01T00:00:00Z")

    def test_a_key_depends_on_everything(self) -> None:
        base = question()
        others = [
            question(endpoint="https://a/v1"),
            question(template="u"),
            question(sample=1),
            question(body={**base.body, "temperature": 0.2}),
            question(body={**base.body, "messages": [{"role": "system", "content": "x"}]}),
        ]
        assert len({base.key, *(other.key for other in others)}) == 6
        shuffled = dict(reversed(list(base.body.items())))
        assert question(body=shuffled).key == base.key

    def test_export_and_import(self, tmp_path: Path) -> None:
        with AnswerCache(tmp_path / "a") as cache:
            cache.put(question(), self.ANSWER)
            cache.put(question(sample=1), self.ANSWER)
            assert export_answers(cache, tmp_path / "x.jsonl.gz") == (2, [])
            assert export_answers(cache, tmp_path / "y.jsonl.gz") == (2, [])
        assert (tmp_path / "x.jsonl.gz").read_bytes() == (tmp_path / "y.jsonl.gz").read_bytes()
        with AnswerCache(tmp_path / "b") as other:
            assert import_answers(other, tmp_path / "x.jsonl.gz") == (2, 0)
            assert import_answers(other, tmp_path / "x.jsonl.gz") == (0, 2)
            assert other.get(question(sample=1)) == self.ANSWER
            assert other.origins() == [("local", "m")]

    def test_a_bad_line_adds_nothing(self, tmp_path: Path) -> None:
        with AnswerCache(tmp_path / "a") as cache:
            cache.put(question(), self.ANSWER)
            export_answers(cache, tmp_path / "x.jsonl")
        with (tmp_path / "x.jsonl").open("a") as file:
            file.write('{"question": {}}\nnot json\n')
        with AnswerCache(tmp_path / "b") as other:
            with pytest.raises(MinerError) as caught:
                import_answers(other, tmp_path / "x.jsonl")
            assert "line 2" in str(caught.value)
            assert "line 3" in str(caught.value)
            assert len(other) == 0

    def test_nothing_is_pickled(self, tmp_path: Path) -> None:
        with AnswerCache(tmp_path) as cache, pytest.raises(TypeError, match="holds text"):
            cache._cache.set("key", {"not": "text"})


ANSWER = Answer("{}", "stop", 1, 2, 1, "2026-01-01T00:00:00Z")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(text=TEXTS, label=TEXTS, stage=TEXTS, sample=st.integers(0, 9))
def test_any_row_is_read_as_it_was_written(text: str, label: str, stage: str, sample: int) -> None:
    asked = Question(stage, "local", {"model": label, "messages": [{"content": label}]}, "t", sample)
    answer = Answer(text, "stop", 3, 4, 1, "2026-01-01T00:00:00Z")
    assert unpacked(packed(asked, answer)) == (asked, answer)


@given(text=TEXTS, place=st.integers(0, 10_000), bit=st.integers(0, 6))
def test_any_flipped_bit_of_a_row_is_noticed(text: str, place: int, bit: int) -> None:
    row = packed(question(), Answer(text, "stop", 3, 4, 1, "x"))
    place %= len(row)
    flipped = row[:place] + chr(ord(row[place]) ^ (1 << bit)) + row[place + 1 :]
    with pytest.raises(DamagedRow):
        unpacked(flipped)


def filled(folder: Path, count: int = 30) -> None:
    with AnswerCache(folder) as cache:
        for sample in range(count):
            cache.put(question(sample=sample, stage=("describe", "abstract")[sample % 2]), ANSWER)


def database(folder: Path) -> Path:
    return folder / "answers" / "cache.db"


def change(folder: Path, query: str, *values: Any) -> None:
    with sqlite3.connect(database(folder)) as connection:
        connection.execute(query, values)


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
    def test_verify_names_a_damaged_row(self, here: Shell, query: str, said: str) -> None:
        filled(here.folder / "cache")
        change(here.folder / "cache", query)
        done = here.run("cache", "verify")
        assert done.code == 1
        assert "29 answers are whole, 1 rows damaged" in done.out
        assert said in done.out
        found = json.loads(here.run("cache", "verify", "--json").out)
        assert (found["good"], len(found["damaged"])) == (29, 1)
        exported = here.run("cache", "export", "good.jsonl")
        assert exported.code == 1
        assert "1 rows are damaged and were left out" in exported.err
        assert here.run("cache", "verify", "--drop").code == 0
        assert here.run("cache", "verify").out.endswith("29 answers are whole, 0 rows damaged\n")
        assert len((here.folder / "good.jsonl").read_text().splitlines()) == 29

    def test_a_damaged_row_is_asked_again(self, here: Shell, server: Server) -> None:
        assert here.mine(server).code == 0
        sent = len(server.bodies)
        edit = "UPDATE Cache SET value = replace(value, 'In place', 'In') WHERE tag LIKE '%describe%'"
        change(here.folder / "cache", edit)
        done = here.mine(server)
        assert done.code == 0
        assert "4 damaged rows of the answer cache count as missing" in done.err
        assert len(server.bodies) == sent + 4
        assert here.run("cache", "verify").code == 0

    @given(seed=st.integers(0, 2**32), count=st.integers(1, 40))
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_flipped_bytes_of_the_file(self, tmp_path_factory: pytest.TempPathFactory, seed: int, count: int) -> None:
        """Whatever they hit: a clear error, or right answers and damaged rows; never a wrong answer."""
        folder = tmp_path_factory.mktemp("flipped")
        filled(folder)
        rng = random.Random(seed)
        content = bytearray(database(folder).read_bytes())
        for _ in range(count):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        database(folder).write_bytes(content)
        try:
            with AnswerCache(folder) as cache:
                for sample in range(30):
                    asked = question(sample=sample, stage=("describe", "abstract")[sample % 2])
                    assert cache.get(asked) in (None, ANSWER)
                verify(cache)
                export_answers(cache, folder / "x.jsonl")
        except MinerError as error:
            assert str(folder) in str(error)

    def test_a_file_that_is_no_database(self, here: Shell) -> None:
        (here.folder / "cache" / "answers").mkdir(parents=True)
        database(here.folder / "cache").write_bytes(b"not a database, but long enough to be looked at" * 100)
        done = here.run("cache", "info")
        assert done.code == 2
        assert "cannot be used as an answer cache" in done.err
        assert "not a database" in done.err

    def test_a_file_in_the_place_of_the_folder(self, here: Shell) -> None:
        (here.folder / "cache").write_text("")
        done = here.run("cache", "info")
        assert done.code == 2
        assert "cannot be used as an answer cache" in done.err


class TestFullAndReadOnly:
    def test_a_full_disk_ends_the_run_and_loses_nothing(self, here: Shell, server: Server) -> None:
        """The process may write files of 900 kB at the most; what it was told to be kept is there afterwards."""
        script = (
            "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (900_000, 900_000))\n"
            "sys.argv = ['fedmpt', *sys.argv[1:]]\n"
            "from fedmpt.cli import main; main()"
        )
        words = ("mine-conditions", "--labels", "labels.txt", "--combinations", "200", "--base-url", server.url)
        (here.folder / "labels.txt").write_text("".join(f"label {i}\n" for i in range(40)))
        ran = subprocess.run(
            [sys.executable, "-c", script, *words], cwd=here.folder, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 1, ran.stderr
        assert "the answer cache cannot be used" in ran.stderr
        assert "Traceback" not in ran.stderr
        answered = len(server.bodies)
        assert answered > 8
        kept = json.loads(here.run("cache", "verify", "--json").out)
        assert kept["damaged"] == []
        assert 0 < kept["good"] <= answered + 1

    def test_a_folder_that_cannot_be_written(self, here: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        """Root may write anywhere, so sqlite is told to open it as read-only."""
        filled(here.folder / "cache")
        connect = sqlite3.connect

        def read_only(path: str, *args: Any, **kwargs: Any) -> Any:
            return connect(f"file:{path}?mode=ro", *args, **{**kwargs, "uri": True})

        monkeypatch.setattr(sqlite3, "connect", read_only)
        done = here.run("cache", "info")
        assert done.code == 2
        assert "readonly database" in done.err
        assert "name another" in done.err


class TestCommands:
    def test_info_and_clear(self, here: Shell) -> None:
        filled(here.folder / "cache")
        with AnswerCache(here.folder / "cache") as cache:
            cache.put(question(body={"model": "other"}), ANSWER)
            cache.fail(question(sample=99), "declined", 5, "x")
        told = json.loads(here.run("cache", "info", "--json").out)
        assert told["answers"] == 31
        assert [(o["model"], o["stage"], o["answers"]) for o in told["by_origin"]] == [
            ("m", "abstract", 15),
            ("m", "describe", 15),
            ("other", "describe", 1),
        ]
        assert [f["reason"] for f in told["failed"]] == ["declined"]
        done = here.run("cache", "clear", "--model", "m", "--stage", "describe", typed="n\n")
        assert done.code == 1
        assert "Delete 15 answers and 1 failures" in done.err
        assert json.loads(here.run("cache", "info", "--json").out)["answers"] == 31
        done = here.run("cache", "clear", "--model", "m", "--stage", "describe", typed="y\n")
        assert (done.code, "15 answers and 1 failures deleted" in done.out) == (0, True)
        assert here.run("cache", "clear", "--model", "nobody", "--yes").code == 2
        assert json.loads(here.run("cache", "clear", "--yes", "--json").out)["deleted"] == 16
        assert json.loads(here.run("cache", "info", "--json").out)["answers"] == 0

    def test_an_answer_that_is_there_is_not_replaced_by_an_import(self, here: Shell) -> None:
        filled(here.folder / "a", 2)
        assert here.run("cache", "export", "a.jsonl", "--cache-dir", "a").code == 0
        with AnswerCache(here.folder / "b") as cache:
            own = Answer("own", "stop", 1, 1, 1, "x")
            cache.put(question(sample=0), own)
        done = here.run("cache", "import", "a.jsonl", "--cache-dir", "b")
        assert "1 answers added, 1 were there already" in done.out
        with AnswerCache(here.folder / "b") as cache:
            assert cache.get(question(sample=0)) == own

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("x.jsonl", b"\xff\xfe\n", "cannot be read"),
            ("x.jsonl.gz", b"no gzip", "cannot be read"),
            ("x.jsonl.gz", gzip.compress(b"\n" * 1000)[:-9], "cannot be read"),
            ("x.jsonl", b"x" * (17 * 2**20), "line 1: longer than"),
            ("x.jsonl", b'{"question": {}, "answer": {}}', "line 1: not an answer"),
            ("x.jsonl", b"[" * 100_000, "line 1: not an answer"),
            ("x.jsonl", b"\n{}\n" * 100, "and perhaps more"),
        ],
    )
    def test_what_is_no_export(self, here: Shell, name: str, content: bytes, said: str) -> None:
        (here.folder / name).write_bytes(content)
        done = here.run("cache", "import", name)
        assert done.code == 2
        assert said in done.err
        assert json.loads(here.run("cache", "info", "--json").out)["answers"] == 0

    def test_two_writers(self, tmp_path: Path) -> None:
        """Both write all the time; everything of both is there."""

        def write(stage: str) -> None:
            with AnswerCache(tmp_path) as cache:
                for sample in range(60):
                    cache.put(question(stage=stage, sample=sample), ANSWER)

        writers = [threading.Thread(target=write, args=(stage,)) for stage in ("describe", "abstract")]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        with AnswerCache(tmp_path) as cache:
            assert len(cache) == 120
            assert verify(cache) == (120, [])

    def test_nothing_is_evicted(self, tmp_path: Path) -> None:
        """diskcache evicts beyond 1 GiB by default; the limit is checked at each write."""
        with AnswerCache(tmp_path) as cache:
            assert cache._cache.eviction_policy == "none"
            assert cache._cache.cull_limit == 0
            for sample in range(40):
                cache.put(question(sample=sample), Answer("x" * 100_000, "stop", 1, 1, 1, "x"))
            assert len(cache) == 40
