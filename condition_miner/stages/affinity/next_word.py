"""Affinities from the next word: values and log p(value | label) come out of the same answers.

C labels, D draws of labels in front, S sentences: C·D·S short requests; a model in this process answers C in one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from condition_miner.model.address import IN_PROCESS
from condition_miner.model.next_tokens import NextTokens
from condition_miner.stages.affinity.recipe import SOUGHT, fronts, sentence
from condition_miner.stages.questions import Questions

if TYPE_CHECKING:
    from condition_miner.stages.affinity.numbers import Readings

TOP_IN_PROCESS = 40
"""Most likely tokens of each label whose log-probabilities are kept for all labels, by a model in this process."""
SPELLING_STEPS = 3
"""Tokens at the most that a value's first token is completed with."""
_REST_OF_WORD = re.compile(r"[^\W\d_]+")


def read_next_words(questions: Questions, labels: Sequence[str], top: int) -> dict[str, Readings]:
    """For each sought condition its values, and log p(value | label).

    Args:
        questions: asks.
        labels: C names.
        top: the most likely tokens that a server gives.

    Raises:
        MiningFailed: answers are missing.
    """
    from condition_miner.stages.affinity.numbers import averaged, by_words, telling, united

    s = questions.settings
    alone = questions.asker.address.endpoint != IN_PROCESS
    before = fronts(labels, s.about, s.affinity_draws, s.affinity_shown, questions.draw_seed("affinities"))
    groups, keys = [], []
    for text in before:  # what most questions share comes first, for a server's prefix cache
        for sought in SOUGHT:
            for wording in sought.sentences:
                prompts = [f"{text} {sentence(wording, label)}" for label in labels]
                groups += [[prompt] for prompt in prompts] if alone else [prompts]
                keys.append(sought.name)
    texts = questions.next_tokens("next-token", groups, top if alone else TOP_IN_PROCESS)
    each, size = (len(labels), 1) if alone else (1, len(labels))
    found = {}
    for sought in SOUGHT:  # one condition at a time, for the memory's sake
        own = [texts[at * each : (at + 1) * each] for at, name in enumerate(keys) if name == sought.name]
        several = [by_words([NextTokens.parse(text, size) for text in reading]) for reading in own]
        found[sought.name] = telling(averaged(several), s.affinity_values)
    return {name: united(told) for name, told in _spelled(questions, labels, before[0], found).items()}


def _spelled(
    questions: Questions, labels: Sequence[str], before: str, found: dict[str, Readings]
) -> dict[str, Readings]:
    """The readings with whole words: "gir" is completed behind the label that it fits best.

    Args:
        questions: asks.
        labels: C names.
        before: the text before each sentence.
        found: readings whose words may be first tokens of words.
    """
    from condition_miner.stages.affinity.numbers import Readings, centred

    alone = questions.asker.address.endpoint != IN_PROCESS
    wordings = {sought.name: sought.sentences[0] for sought in SOUGHT}
    open_words = []
    for name, told in found.items():
        best = centred(told.numbers).argmax(axis=0)
        open_words += [
            (name, at, f"{before} {sentence(wordings[name], labels[int(best[at])])} {word}")
            for at, word in enumerate(told.words)
        ]
    words = {name: list(told.words) for name, told in found.items()}
    for _ in range(SPELLING_STEPS):
        if not open_words:
            break
        prompts = [prompt for _, _, prompt in open_words]
        groups = [[prompt] for prompt in prompts] if alone else [prompts]
        texts = questions.next_tokens("spelling", groups, 1)
        answers = (NextTokens.parse(text, len(group)) for text, group in zip(texts, groups, strict=True))
        rest = [token for answer in answers for token in answer.most_likely()]
        still = [(*one, more) for one, more in zip(open_words, rest, strict=True) if _REST_OF_WORD.fullmatch(more)]
        for name, at, _, more in still:
            words[name][at] += more.lower()
        open_words = [(name, at, prompt + more) for name, at, prompt, more in still]
    return {name: Readings(tuple(words[name]), told.numbers) for name, told in found.items()}
