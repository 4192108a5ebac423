"""The distinct questions of one call, what has become of them, and what their failures mean for the run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from condition_miner.answers.records import Answer
from condition_miner.asking.attempts import CheckedQuestion
from condition_miner.errors import MiningFailed
from condition_miner.model.dialect import OutputMode, wants_json
from condition_miner.settings import ServiceSettings

MAX_REASONS = 5
"""Different reasons of failure that a message lists."""
MAX_SUBJECTS = 6
"""Subjects of failed questions that a message lists for a reason."""
SHARE, AT_LEAST = 0.05, 3
"""Without --max-failed so many questions of a stage may fail for good: this share, or this number of which one answer
is left; a label that a filter refuses stands in several questions."""


class AnswersMissing(MiningFailed):
    """Answers are missing; those received so far are kept."""


class Unanswerable(AnswersMissing):
    """Answers are missing that the server cannot give, now or in an earlier run; to send again would not help."""


@dataclass(frozen=True)
class Missing:
    """A question without an answer.

    Attributes:
        stage: name of its message.
        about: what it asks about, for people; "" if nothing tells it from the others.
        reason: why there is no answer.
        passing: whether it may be answered if it is sent again.
        kept: whether the failure is remembered, so that only --retry-failed asks again.
    """

    stage: str
    about: str
    reason: str
    passing: bool
    kept: bool


class Batch:
    """The distinct questions of one call, and their state.

    Attributes:
        questions: each once.
        stage: of the first one.
        found: answers by cache key.
        modes: the output modes of answers in JSON, by cache key.
        missing: questions without an answer in the cache.
        failures: questions that have no answer, with the reason.
        budget_exceeded: whether the token budget ended the run.
        overloaded: whether a question failed because the server was overloaded, or is down.
        later: how many questions are answered by the next batch of requests.
    """

    def __init__(self, questions: list[CheckedQuestion]) -> None:
        self.questions = list({checked.question.cache_key: checked for checked in questions}.values())
        self.stage = questions[0].question.stage
        self.found: dict[str, Answer] = {}
        self.modes: dict[str, str] = {}
        self.missing: list[CheckedQuestion] = []
        self.failures: list[Missing] = []
        self.budget_exceeded = self.overloaded = False
        self.later = 0

    def keep(self, checked: CheckedQuestion, answer: Answer, mode: OutputMode) -> None:
        """Note the answer to a question."""
        key = checked.question.cache_key
        self.found[key] = answer
        if wants_json(checked.question.body):
            self.modes[key] = str(mode)

    def fail(self, checked: CheckedQuestion, reason: str, passing: bool, kept: bool) -> None:
        """Note why a question has no answer."""
        self.failures.append(Missing(checked.question.stage, checked.about, reason, passing, kept))

    def tolerable(self, service: ServiceSettings) -> bool:
        """Whether so few questions failed that the bank can be made without them.

        Failures that may pass count only where --max-failed says so: the same command may still mend them.
        """
        if any(failure.passing for failure in self.failures) and service.max_failed is None:
            return False
        return len(self.failures) <= self._limit(service.max_failed)

    def summary(self) -> str:
        """What is missing and why, in one line."""
        told = "; ".join(_by_reason(self.failures))
        return f"{len(self.failures)} of {len(self.questions)} questions of stage {self.stage} have no answer: {told}"

    def error(self, budget: str) -> MiningFailed:
        """The error of a run that ends for its missing answers.

        Args:
            budget: words about the token budget.
        """
        lines = []
        count, stage = len(self.questions), self.stage
        if self.budget_exceeded:
            lines.append(
                f"{budget}: stage {stage} lacks {count - len(self.found)} of {count} answers. The others are kept; "
                "run the same command again for the rest"
            )
        for earlier in (False, True):
            some = [failure for failure in self.failures if failure.kept == earlier]
            if some:
                again = "--retry-failed asks them again" if earlier else "run the same command again for the rest"
                remembered = ", and are remembered (fedmpt cache info lists them)" if earlier else ""
                lines.append(
                    f"{len(some)} of {count} questions of stage {stage} failed{remembered}: "
                    f"{'; '.join(_by_reason(some))}. The other answers are kept; {again}, "
                    f"or go on without them: --max-failed {self._share()}"
                )
        kind = AnswersMissing if self.budget_exceeded or any(f.passing for f in self.failures) else Unanswerable
        return kind("\n".join(lines))

    def _limit(self, share: float | None) -> int:
        count = len(self.questions)
        if share is not None:
            return int(share * count + 1e-9)
        return max(1, min(AT_LEAST, count - 1), int(SHARE * count))

    def _share(self) -> str:
        """The share that would have let the run go on, rounded up."""
        return f"{-(-100 * len(self.failures) // len(self.questions)) / 100:g}"


def _by_reason(failures: list[Missing]) -> list[str]:
    """For each reason how many failed for it, and what they asked about."""
    most = Counter(failure.reason for failure in failures).most_common()
    told = []
    for reason, count in most[:MAX_REASONS]:
        about = [failure.about for failure in failures if failure.reason == reason and failure.about]
        more = f" and {len(about) - MAX_SUBJECTS} more" if len(about) > MAX_SUBJECTS else ""
        named = f" ({', '.join(about[:MAX_SUBJECTS])}{more})" if about else ""
        told.append(f"{count} × {reason}{named}")
    return [*told, f"and {len(most) - MAX_REASONS} other reasons"] if len(most) > MAX_REASONS else told
