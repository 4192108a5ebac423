"""What the answer cache keeps: a question, its answer, and the text that a row of both is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from condition_miner.errors import MinerError


class DamagedRow(MinerError):
    """A row that is not what was written; says how."""


@dataclass(frozen=True)
class Question:
    """A request as it goes on the wire, and what else its answer depends on.

    Attributes:
        stage: "describe", "abstract" …; "probe" for the question how a server is to be asked.
        endpoint: identity of the place that answers, see `address.identity`.
        body: the JSON body.
        template: hash of the templates that the messages came from.
        sample: tells apart questions that are asked several times.
    """

    stage: str
    endpoint: str
    body: dict[str, Any]
    template: str
    sample: int = 0

    @cached_property
    def key(self) -> str:
        """sha256 over the canonical JSON of everything above."""
        return hashlib.sha256(canonical(self.content()).encode(errors="surrogatepass")).hexdigest()

    def content(self) -> dict[str, Any]:
        """Everything above, as JSON values."""
        return {name: self.__dict__[name] for name in ("stage", "endpoint", "body", "template", "sample")}


@dataclass(frozen=True)
class Answer:
    """An answer that was found valid.

    Attributes:
        text: as it came.
        finish_reason: why the model stopped.
        tokens_in, tokens_out: all attempts together.
        requests: how many attempts there were.
        at: UTC.
    """

    text: str
    finish_reason: str
    tokens_in: int
    tokens_out: int
    requests: int
    at: str


class Origin(NamedTuple):
    """Who gave an answer, to which stage."""

    endpoint: str
    model: str
    stage: str


@dataclass(frozen=True)
class Failure:
    """A question to which the model has no valid answer.

    Attributes:
        key: of the question.
        stage, model: its.
        reason: why, in a line.
        requests: how many answers were asked for and found invalid.
        at: UTC.
    """

    key: str
    stage: str
    model: str
    reason: str
    requests: int
    at: str


def packed(question: Question, answer: Answer) -> str:
    """The text of a row."""
    content = row_text(question, answer)
    return f"{_checksum(content)} {content}"


def unpacked(text: str) -> tuple[Question, Answer]:
    """What a row's text says.

    Raises:
        DamagedRow: it is not what was written.
    """
    checksum, _, content = text.partition(" ")
    if _checksum(content) != checksum:
        raise DamagedRow("its content doesn't match its checksum")
    return read_row(content)


def row_text(question: Question, answer: Answer) -> str:
    """A question and its answer as JSON, the same for the same content."""
    return canonical({"question": question.content(), "answer": answer.__dict__})


def read_row(text: str) -> tuple[Question, Answer]:
    """A question and its answer out of JSON.

    Raises:
        DamagedRow: it is something else.
    """
    try:
        content = json.loads(text)
        question, answer = Question(**content["question"]), Answer(**content["answer"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedRow("not an answer of this cache's form") from error
    texts = (question.stage, question.endpoint, question.template, answer.text, answer.finish_reason, answer.at)
    counts = (question.sample, answer.tokens_in, answer.tokens_out, answer.requests)
    typed = all(isinstance(v, str) for v in texts) and all(type(v) is int and v >= 0 for v in counts)
    if not typed or not isinstance(question.body, dict):
        raise DamagedRow("not an answer of this cache's form")
    return question, answer


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal texts."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
