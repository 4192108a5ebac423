"""fedmpt cache: info, clear, import."""

from __future__ import annotations

import gzip
import json

import pytest

from condition_miner.answers.cache import AnswerCache
from condition_miner.answers.records import Answer
from tests.condition_miner.cached import ANSWER, fill, question
from tests.condition_miner.shell import Shell


def test_info_and_clear(shell: Shell) -> None:
    fill(shell.folder / "cache")
    with AnswerCache(shell.folder / "cache") as cache:
        cache.put(question(body={"model": "other"}), ANSWER)
        cache.put_failure(question(sample=99), "declined", 5, "x")
    told = json.loads(shell.run("cache", "info", "--json").out)
    assert told["answers"] == 31
    assert [(o["model"], o["stage"], o["answers"]) for o in told["by_origin"]] == [
        ("m", "abstract", 15),
        ("m", "describe", 15),
        ("other", "describe", 1),
    ]
    assert [f["reason"] for f in told["failed"]] == ["declined"]
    done = shell.run("cache", "clear", "--model", "m", "--stage", "describe", typed="n\n")
    assert done.code == 1
    assert "Delete 15 answers and 1 failures" in done.err
    assert json.loads(shell.run("cache", "info", "--json").out)["answers"] == 31
    done = shell.run("cache", "clear", "--model", "m", "--stage", "describe", typed="y\n")
    assert (done.code, "15 answers and 1 failures deleted" in done.out) == (0, True)
    assert shell.run("cache", "clear", "--model", "nobody", "--yes").code == 2
    assert json.loads(shell.run("cache", "clear", "--yes", "--json").out)["deleted"] == 16
    assert json.loads(shell.run("cache", "info", "--json").out)["answers"] == 0


def test_import_keeps_existing_answers(shell: Shell) -> None:
    fill(shell.folder / "a", 2)
    assert shell.run("cache", "export", "a.jsonl", "--cache-dir", "a").code == 0
    with AnswerCache(shell.folder / "b") as cache:
        own = Answer("own", "stop", 1, 1, 1, "x")
        cache.put(question(sample=0), own)
    done = shell.run("cache", "import", "a.jsonl", "--cache-dir", "b")
    assert "1 answers added, 1 were there already" in done.out
    with AnswerCache(shell.folder / "b") as cache:
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
def test_import_rejects_invalid_files(shell: Shell, name: str, content: bytes, said: str) -> None:
    (shell.folder / name).write_bytes(content)
    done = shell.run("cache", "import", name)
    assert done.code == 2
    assert said in done.err
    assert json.loads(shell.run("cache", "info", "--json").out)["answers"] == 0
