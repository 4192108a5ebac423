"""Ways in which a run ends before there is a bank, though nothing failed."""

from __future__ import annotations

from condition_miner.answers.records import Question


class AnswersLater(Exception):
    """Ends a run at the first stage with answers that the next batch of requests brings."""

    def __init__(self, stage: str, count: int) -> None:
        self.stage, self.count = stage, count
        super().__init__(f"{count} questions of stage {stage}")


class DryRunStop(Exception):
    """Ends a dry run at the first stage with questions to send; has these questions as they would be sent."""

    def __init__(self, stage: str, questions: list[Question]) -> None:
        self.stage, self.questions = stage, questions
        super().__init__(f"{len(questions)} questions of stage {stage}")
