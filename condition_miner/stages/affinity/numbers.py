"""From log-probabilities of tokens to the numbers of an affinity. C labels, W words, V values.

Imported only where numbers are computed, for numpy's sake.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from condition_miner.model.next_tokens import NextTokens
from fedmpt.common.words import fold

Matrix = NDArray[np.float64]

WORD = re.compile(r"[ ▁Ġ][^\W\d_]{3,}")
"""A token that begins a word of three letters or more; servers write the space before it in several ways."""
UNMARKED = re.compile(r"[^\W\d_]{3,}")
"""The same where a server leaves the spaces out."""
BELOW_LEAST = 1.0
"""Nats below a label's least known log-probability at which one is taken to be that the answer does not have."""
LEAST = -60.0
"""A lower log-probability says no more."""
LEAST_SHARE = 1e-3
"""A value is dropped if it tells less than this share of what the condition's best value tells of the labels."""

_STOP_WORDS = """
the and for with from near this that these those while his her its their our your one two other another all any each
most more some such same own who which what where when how not but also very just only about into over under
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that are no value by themselves."""


@dataclass(frozen=True)
class Readings:
    """Log-probabilities of words behind each label.

    Attributes:
        words: W words, in lower case.
        numbers: C × W, log p(word | label).
    """

    words: tuple[str, ...]
    numbers: Matrix

    def of(self, words: Sequence[str]) -> Matrix:
        """C × len(words): the columns of some words, in their order."""
        at = {word: column for column, word in enumerate(self.words)}
        return self.numbers[:, [at[word] for word in words]]


def by_words(answers: Sequence[NextTokens]) -> Readings:
    """The words in the answers for C labels, one label a row.

    Args:
        answers: one of C prompts, or C of one prompt each.
    """
    tokens = list(dict.fromkeys(token for answer in answers for token in answer.tokens))
    rows = []
    for answer in answers:
        at = {token: column for column, token in enumerate(answer.tokens)}
        places = [at.get(token) for token in tokens]
        rows += [[np.nan if p is None or row[p] is None else row[p] for p in places] for row in answer.rows]
    numbers = np.clip(np.array(rows, dtype=np.float64), LEAST, 0.0)
    least = np.nanmin(numbers, axis=1, keepdims=True) - BELOW_LEAST
    pattern = WORD if any(map(WORD.fullmatch, tokens)) else UNMARKED
    kept = [column for column, token in enumerate(tokens) if pattern.fullmatch(token)]
    words = [fold(tokens[column].lstrip("▁Ġ")) for column in kept]
    return united(Readings(tuple(words), np.where(np.isnan(numbers), least, numbers)[:, kept]))


def united(readings: Readings) -> Readings:
    """Words that are one, such as street and streets, as one column: their probabilities are added."""
    known = set(readings.words)
    names = [
        word[:-1] if word.endswith("s") and len(word) > 4 and word[:-1] in known else word for word in readings.words
    ]
    words = tuple(dict.fromkeys(names))
    columns = {word: column for column, word in enumerate(words)}
    numbers = np.full((len(readings.numbers), len(words)), -np.inf)
    for column, name in enumerate(names):
        numbers[:, columns[name]] = np.logaddexp(numbers[:, columns[name]], readings.numbers[:, column])
    return Readings(words, numbers)


def averaged(several: Sequence[Readings]) -> Readings:
    """The mean log-probabilities of the words that all readings of the same labels have."""
    common = set(several[0].words).intersection(*(readings.words for readings in several))
    words = tuple(word for word in several[0].words if word in common)
    return Readings(words, np.mean([readings.of(words) for readings in several], axis=0))


def telling(readings: Readings, most: int, banned: Collection[str] = STOP_WORDS) -> Readings:
    """The words that tell labels apart, at most `most`, the one that tells most first.

    A word v tells its part of the mutual information of label and word: the mean over the labels c of
    p(v|c) log p(v|c)/p(v), with p(v) the mean of p(v|c).
    """
    chances = np.exp(readings.numbers)
    mean = chances.mean(axis=0)
    told = (chances * (readings.numbers - np.log(mean))).mean(axis=0)
    told *= [word not in banned for word in readings.words]
    order = np.argsort(-told, kind="stable")[:most]
    kept = [int(v) for v in order if told[v] > max(LEAST_SHARE * told[order[0]], 0.0)]
    return Readings(tuple(readings.words[v] for v in kept), readings.numbers[:, kept])


def centred(numbers: Matrix) -> Matrix:
    """Log-probabilities less the means of their row and column: how much more usual than elsewhere."""
    if not numbers.size:
        return numbers
    return numbers - numbers.mean(axis=0, keepdims=True) - numbers.mean(axis=1, keepdims=True) + numbers.mean()
