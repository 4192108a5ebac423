"""Affinities by chats: values are listed in words; then each is asked for with each label, by yes or no or by lists.

C labels, V values of a condition, D draws. Yes and no: C·V requests of one token, ordered so that what they share comes
first. Lists: C·D requests, each with the values in another order, since a small model copies what comes first.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from condition_miner.answers.records import Question
from condition_miner.asking.attempts import CheckedQuestion
from condition_miner.model.reading import InvalidAnswer
from condition_miner.stages.affinity.recipe import SOUGHT, Sought
from condition_miner.stages.affinity.ways import parse_yes_no, yes_no_body
from condition_miner.stages.questions import Questions, QuestionSpec, batches
from condition_miner.stages.schemas import AnswerModel, Line, array_schema, object_schema, parse_answer, text_schema
from fedmpt.common.words import fold

if TYPE_CHECKING:
    from condition_miner.stages.affinity.numbers import Matrix, Readings

BATCH = 6
"""Labels for which values are listed together."""
LISTED = 6
"""Values that a list has at the most."""
LONGEST = 30
"""Characters of a value at the most."""
PILOT = 10
"""Labels that are asked first, with half as many values again as are wanted; the values that tell least are dropped."""


class ListAnswer(AnswerModel):
    """An answer to messages values and listed."""

    values: tuple[Line, ...]


def read_yes_no(questions: Questions, labels: Sequence[str]) -> dict[str, Readings]:
    """For each sought condition its values, and the log-odds that a label is usual under one.

    Raises:
        MiningFailed: answers are missing.
    """
    import numpy as np

    from condition_miner.stages.affinity.numbers import Readings, centred

    wanted = questions.settings.affinity_asked_values
    pilot = random.Random(questions.draw_seed("affinities")).sample(list(labels), min(PILOT, len(labels)))
    found = {}
    for sought in SOUGHT:
        values = listed_values(questions, sought, labels, wanted + wanted // 2)
        tried = centred(_log_odds(questions, sought, values, pilot))
        order = np.argsort(-tried.std(axis=0), kind="stable")[:wanted]
        kept = [values[int(v)] for v in sorted(order)]
        found[sought.name] = Readings(tuple(kept), _log_odds(questions, sought, kept, labels))
    return found


def read_lists(questions: Questions, labels: Sequence[str]) -> dict[str, Readings]:
    """For each sought condition its values, and the logarithm of the share of lists in which a label has one.

    Raises:
        MiningFailed: answers are missing.
    """
    import numpy as np

    from condition_miner.stages.affinity.numbers import Readings

    s, seed = questions.settings, questions.draw_seed("affinities")
    found = {}
    for sought in SOUGHT:
        values = listed_values(questions, sought, labels, s.affinity_asked_values)
        specs = []
        for draw in range(s.affinity_draws):
            for label in labels:
                shuffled = random.Random(f"{seed}/{draw}/{label}").sample(values, len(values))
                variables = {"question": sought.question, "values": shuffled, "label": label, "count": LISTED}
                schema = object_schema({"values": array_schema({"type": "string", "enum": shuffled}, 1, LISTED)})
                specs.append(QuestionSpec(variables, schema, partial(parse_listed, values=values), draw))
        answers = questions.answers("listed", specs)
        votes = np.zeros((len(labels), len(values)))
        for number, chosen in enumerate(answers):
            votes[number % len(labels), [values.index(value) for value in chosen]] += 1
        found[sought.name] = Readings(tuple(values), np.log((votes + 0.5) / (s.affinity_draws + 1)))
    return found


def listed_values(questions: Questions, sought: Sought, labels: Sequence[str], most: int) -> list[str]:
    """The values that a condition has for these labels, those named most first; each label is asked for D times.

    Raises:
        MiningFailed: answers are missing.
    """
    count, seed = min(LISTED, max(3, len(labels))), questions.draw_seed("affinities")
    specs = []
    for draw in range(questions.settings.affinity_draws):
        shuffled = random.Random(f"{seed}/values/{draw}").sample(list(labels), len(labels))
        for some in batches(shuffled, BATCH):
            variables = {"question": sought.question, "labels": some, "count": count}
            schema = object_schema({"values": array_schema(text_schema(LONGEST), 2, count)})
            specs.append(QuestionSpec(variables, schema, parse_values, draw))
    names = {fold(label) for label in labels}
    named = Counter(value for answer in questions.answers("values", specs) for value in answer)
    singular = {v: v[:-1] if v.endswith("s") and v[:-1] in named else v for v in named}
    votes: Counter[str] = Counter()
    for value, count_of in named.items():
        votes[singular[value]] += count_of
    return [value for value, _ in votes.most_common() if value not in names][:most]


def parse_values(text: str) -> list[str]:
    """The distinct values in an answer to message values.

    Raises:
        InvalidAnswer: it has another form, or fewer than two values.
    """
    found = (fold(value).strip(" .,;:") for value in parse_answer(ListAnswer, text).values)
    kept = list(dict.fromkeys(value for value in found if value and len(value) <= LONGEST))
    if len(kept) < 2:
        raise InvalidAnswer("fewer than two different values")
    return kept


def parse_listed(text: str, values: Sequence[str]) -> list[str]:
    """The values of the list that an answer to message listed chooses.

    Raises:
        InvalidAnswer: it has another form, or none of them.
    """
    said = {fold(value) for value in parse_answer(ListAnswer, text).values}
    kept = [value for value in values if fold(value) in said]
    if not kept:
        raise InvalidAnswer("none of the values is one of the list")
    return kept


def _log_odds(questions: Questions, sought: Sought, values: Sequence[str], labels: Sequence[str]) -> Matrix:
    """C × V log-odds of yes."""
    import numpy as np

    s = questions.settings
    asked = []
    for value in values:  # what most questions share comes first, for a server's prefix cache
        for label in labels:
            variables = {"question": sought.question, "value": value, "label": label}
            body = yes_no_body(questions.model, questions.templates.messages("usual", variables, s.about), s.seed)
            template = questions.templates.hash("usual", s.about)
            question = Question("usual", questions.asker.address.endpoint, body, template)
            asked.append(CheckedQuestion(question, parse_yes_no))
    answers = questions.raw_answers("usual", asked)
    numbers = [parse_yes_no(answer.text) for answer in answers]
    return np.array(numbers).reshape(len(values), len(labels)).T
