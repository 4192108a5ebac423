"""Answer caches filled with known answers, and ways to damage them."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from condition_miner.answers.cache import AnswerCache
from condition_miner.answers.records import Answer, Question

ANSWER = Answer("{}", "stop", 1, 2, 1, "2026-01-01T00:00:00Z")


def question(**change: object) -> Question:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 0.1}
    return Question(**{"stage": "describe", "endpoint": "local", "body": body, "template": "t", "sample": 0, **change})


def fill(folder: Path, count: int = 30) -> None:
    with AnswerCache(folder) as cache:
        for sample in range(count):
            cache.put(question(sample=sample, stage=("describe", "abstract")[sample % 2]), ANSWER)


def database_file(folder: Path) -> Path:
    return folder / "answers" / "cache.db"


def execute_sql(folder: Path, query: str, *values: Any) -> None:
    with sqlite3.connect(database_file(folder)) as connection:
        connection.execute(query, values)
