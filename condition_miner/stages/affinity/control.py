"""The control: how alike the labels are as words to the model, whatever any condition says.

What is derived from affinities must beat it to have told anything. Only a model in this process shows its states.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

from condition_miner.answers.records import Question
from condition_miner.asking.attempts import CheckedQuestion
from condition_miner.model.address import IN_PROCESS
from condition_miner.model.reading import InvalidAnswer
from condition_miner.stages.affinity.recipe import sentence
from condition_miner.stages.questions import Questions
from prompt_bank.schema import Control

SENTENCE = "A photo of {label}"
HOW = f"cosine of the model's last states behind '{SENTENCE}', less their mean"


def control(questions: Questions, labels: Sequence[str]) -> Control | None:
    """The cosines of all labels; None where the model is a server's.

    Raises:
        MiningFailed: the answer is missing.
    """
    endpoint = questions.asker.address.endpoint
    if endpoint != IN_PROCESS:
        return None
    body = {"model": questions.model, "prompt": [sentence(SENTENCE, label) for label in labels], "cosines": True}
    read = partial(parse_cosines, count=len(labels))
    asked = CheckedQuestion(Question("control", endpoint, body, ""), read)
    (answer,) = questions.raw_answers("control", [asked])
    rows = read(answer.text)
    return Control(how=HOW, rows={label: tuple(row) for label, row in zip(labels, rows, strict=True)})


def parse_cosines(text: str, count: int) -> list[list[float]]:
    """A square matrix of cosines.

    Raises:
        InvalidAnswer: it is none, or of another size.
    """
    try:
        rows = json.loads(text)
        square = [[float(x) for x in row] for row in rows]
    except (ValueError, TypeError) as error:
        raise InvalidAnswer("the answer is no matrix") from error
    if len(square) != count or any(len(row) != count or not all(-1 <= x <= 1 for x in row) for row in square):
        raise InvalidAnswer(f"the answer is no matrix of {count} × {count} cosines")
    return square
