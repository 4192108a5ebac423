"""The records of the answer cache, and the text of a row: a question and its answer."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from condition_miner.errors import MinerError


class DamagedRow(MinerError):
    """A row whose content is not what was written."""


@dataclass(frozen=True)
class Question:
    """A request and everything else on which its answer depends.

    Attributes:
        stage: name of the message, "describe" or "refine" for instance; "probe" for the dialect probe.
        endpoint: identity of the endpoint, see `address.endpoint_identity`.
        body: JSON body of the request.
        template: hash of the prompt templates.
        sample: number that distinguishes repetitions of the same question.
    """

    stage: str
    endpoint: str
    body: dict[str, Any]
    template: str
    sample: int = 0

    @cached_property
    def cache_key(self) -> str:
        """The cache key: SHA-256 of the canonical JSON of all attributes."""
        return hashlib.sha256(canonical_json(self.content()).encode(errors="surrogatepass")).hexdigest()

    def content(self) -> dict[str, Any]:
        """All attributes, as JSON values."""
        return {name: self.__dict__[name] for name in ("stage", "endpoint", "body", "template", "sample")}


@dataclass(frozen=True)
class Answer:
    """A valid answer.

    Attributes:
        text: the raw text.
        finish_reason: the reason for which the model stopped.
        tokens_in, tokens_out: input and output tokens of all attempts.
        requests: the number of attempts.
        at: time of the answer, UTC.
        served: the model that the server says it ran; "" if it didn't say.
    """

    text: str
    finish_reason: str
    tokens_in: int
    tokens_out: int
    requests: int
    at: str
    served: str = ""

    def content(self) -> dict[str, Any]:
        """All attributes, as JSON values; without `served` if it is empty, as rows were before it was kept."""
        return {name: value for name, value in self.__dict__.items() if value or name != "served"}


class Origin(NamedTuple):
    """The endpoint and model that gave an answer, and the stage that asked."""

    endpoint: str
    model: str
    stage: str


@dataclass(frozen=True)
class Failure:
    """A question that the model could not answer validly.

    Attributes:
        key: the question's cache key.
        stage, model: the question's stage and model.
        reason: the last problem, in one line.
        requests: the number of attempts that failed.
        at: time of the last attempt, UTC.
    """

    key: str
    stage: str
    model: str
    reason: str
    requests: int
    at: str


def pack_row(question: Question, answer: Answer) -> str:
    """The text of a row: checksum and JSON."""
    content = row_json(question, answer)
    return f"{_checksum(content)} {content}"


def unpack_row(text: str) -> tuple[Question, Answer]:
    """The question and the answer of a row.

    Raises:
        DamagedRow: the checksum or the content is wrong.
    """
    checksum, _, content = text.partition(" ")
    if _checksum(content) != checksum:
        raise DamagedRow("its content doesn't match its checksum")
    return parse_row(content)


def row_json(question: Question, answer: Answer) -> str:
    """A question and its answer as canonical JSON."""
    return canonical_json({"question": question.content(), "answer": answer.content()})


def parse_row(text: str) -> tuple[Question, Answer]:
    """A question and its answer from JSON.

    Raises:
        DamagedRow: it is not JSON, or has other fields or types.
    """
    try:
        content = json.loads(text)
        question, answer = Question(**content["question"]), Answer(**content["answer"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedRow("not an answer of this cache's form") from error
    texts = [question.stage, question.endpoint, question.template]
    texts += [answer.text, answer.finish_reason, answer.at, answer.served]
    counts = (question.sample, answer.tokens_in, answer.tokens_out, answer.requests)
    typed = all(isinstance(v, str) for v in texts) and all(type(v) is int and v >= 0 for v in counts)
    if not typed or not isinstance(question.body, dict):
        raise DamagedRow("not an answer of this cache's form")
    return question, answer


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no white space: equal values have equal texts."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
