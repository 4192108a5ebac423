"""From log-probabilities of tokens to the numbers of a bank."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from condition_miner.model.next_tokens import NextTokens, most_likely_of
from condition_miner.model.reading import InvalidAnswer
from condition_miner.stages.affinity.numbers import Readings, averaged, by_words, centred, telling, united


def answer(**tokens: float) -> NextTokens:
    """Of one prompt; a name's underscores are spaces."""
    names = [name.replace("_", " ") for name in tokens]
    return NextTokens(tuple(names), (tuple(tokens.values()),))


def test_words_are_told_from_other_tokens_and_forms_of_one_word_are_added() -> None:
    found = by_words(
        [answer(_Street=-2.0, _streets=-2.0, _at=-1.0, kitchen=-1.0, _kitchen=-3.0), answer(_kitchen=-1.0)]
    )
    assert found.words == ("street", "kitchen"), "' at' is short, 'kitchen' the middle of a word"
    assert found.numbers[0] == pytest.approx([np.log(2 * np.exp(-2.0)), -3.0])
    assert found.numbers[1, 0] == pytest.approx(np.log(2 * np.exp(-2.0))), "a nat below the label's least, twice"


def test_tokens_without_spaces_are_words_where_no_token_has_one() -> None:
    assert by_words([answer(kitchen=-1.0, ing=-2.0, s=-1.0)]).words == ("kitchen", "ing")
    sentencepiece = NextTokens(("▁kitchen", "en"), ((-1.0, -2.0),))
    assert by_words([sentencepiece]).words == ("kitchen",)


def test_readings_are_averaged_over_their_common_words() -> None:
    several = [Readings(("a", "b"), np.array([[-1.0, -2.0]])), Readings(("b", "c"), np.array([[-4.0, -9.0]]))]
    found = averaged(several)
    assert found.words == ("b",) and found.numbers.tolist() == [[-3.0]]


@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(1, 12))
def test_the_words_that_tell_labels_apart_come_first(seed: int, labels: int, words: int) -> None:
    """Their parts add up to the mutual information of label and word, computed here from the joint distribution."""
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.ones(words + 1), size=labels)
    joint = chances / labels
    independent = joint.sum(0) * joint.sum(1, keepdims=True)
    parts = (joint * np.log(joint / independent)).sum(0)[:words]
    names = tuple(f"w{i}" for i in range(words))
    found = telling(Readings(names, np.log(chances[:, :words])), most=words)
    order = [names[i] for i in np.argsort(-parts, kind="stable") if parts[i] > max(1e-3 * parts.max(), 0)]
    assert list(found.words) == order
    assert telling(Readings(names, np.log(chances[:, :words])), 3).words == tuple(order[:3])


def test_words_that_say_nothing_are_no_values() -> None:
    numbers = np.log(np.array([[0.5, 0.3, 0.2], [0.1, 0.7, 0.2]]))
    found = telling(Readings(("the", "kitchen", "street"), numbers), 5)
    assert found.words == ("kitchen",), "'the' is a stop word, 'street' tells nothing apart"
    assert telling(Readings((), np.zeros((2, 0))), 5).words == ()


def test_numbers_are_centred_by_labels_and_values() -> None:
    numbers = np.random.default_rng(0).normal(size=(4, 3))
    shifted = numbers + np.arange(4)[:, None] + np.arange(3)
    assert centred(numbers).mean(0) == pytest.approx(0) and centred(numbers).mean(1) == pytest.approx(0)
    assert centred(shifted) == pytest.approx(centred(numbers)), "how likely a label or value is as a whole says nothing"


def test_one_word_stands_once() -> None:
    found = united(Readings(("gir", "giraffe", "giraffe"), np.log(np.array([[0.1, 0.2, 0.3]]))))
    assert found.words == ("gir", "giraffe") and found.numbers[0, 1] == pytest.approx(np.log(0.5))


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_whatever_a_server_sends_is_read_or_refused(content: object) -> None:
    choice = {"logprobs": {"content": content, "top_logprobs": content}}
    found = most_likely_of(choice)
    assert found is None or NextTokens.parse(found.text(), 1).tokens == found.tokens
    with pytest.raises(InvalidAnswer):
        NextTokens.parse(str(content), 1)


@pytest.mark.parametrize("number", ["null", "NaN", "-Infinity", "1e999", "9" * 400, "true", '"-1.0"', "[]"])
def test_numbers_that_are_none_are_refused(number: str) -> None:
    """In a kept answer, which may be imported from anybody, and in a server's."""
    with pytest.raises(InvalidAnswer):
        NextTokens.parse(f'{{"tokens": [" a"], "rows": [[{number}]]}}', 1)
    choice = json.loads(f'{{"logprobs": {{"top_logprobs": [{{" a": {number}}}]}}}}')
    assert most_likely_of(choice) is None


def test_the_three_forms_of_log_probabilities() -> None:
    tops = [{"token": " a", "logprob": -1.0}, {"token": " b", "logprob": -2.0}]
    chat = most_likely_of({"logprobs": {"content": [{"token": " a", "top_logprobs": tops}]}})
    legacy = most_likely_of({"logprobs": {"tokens": [" a"], "top_logprobs": [{" a": -1.0, " b": -2.0}]}})
    assert chat == legacy == NextTokens((" a", " b"), ((-1.0, -2.0),))
    assert chat is not None and chat.most_likely() == [" a"]
    assert most_likely_of({"logprobs": None}) is most_likely_of({"logprobs": {"content": []}}) is None
