"""From labels to a bank: describe → explain → abstract → attribute → measure, one file each in stages/."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

from condition_miner.asking.asker import Asker
from condition_miner.combinations.choosing import choose_combinations
from condition_miner.errors import MinerError
from condition_miner.messages.templates import MESSAGES, Templates
from condition_miner.settings import MESSAGES_OF, STAGES, MinerSettings
from condition_miner.stages.abstract import abstract
from condition_miner.stages.attribute import attribute
from condition_miner.stages.describe import describe
from condition_miner.stages.explain import explain
from condition_miner.stages.measure import dependencies, doubts, measured, smallest
from condition_miner.stages.questions import Questions
from condition_miner.stages.vocabulary import Vocabulary
from condition_miner.stages.voting import Elected
from prompt_bank.dependencies.observed import Cooccurrence, recorded
from prompt_bank.editing.conditions import identifier
from prompt_bank.editing.measures import explained
from prompt_bank.recording.store import now
from prompt_bank.schema import Bank, Caption, Condition, Dependency, Label, Provenance, Tokens


@dataclass(frozen=True)
class Course:
    """Which stages are carried out, and which of them anew.

    Attributes:
        stages: those that may send; earlier ones take their answers from the cache alone, later ones are left out.
        takes: how often a stage was asked anew before or is now; see `from_stage`.
    """

    stages: tuple[str, ...] = STAGES
    takes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, stages: str | None, from_stage: str | None, takes: dict[str, int]) -> Course:
        """From the options and what a bank records.

        Args:
            stages: names with commas; None for all, or for those from `from_stage` on.
            from_stage: this stage and the later ones are asked anew: each in a take of its own, whose answers the
                cache doesn't know yet, while all earlier takes stay in it.
            takes: the takes that the bank was mined with; they go on to be used.

        Raises:
            MinerError: there is no such stage.
        """
        named = tuple(part.strip() for part in stages.split(",")) if stages is not None else STAGES
        for name in (*named, *([from_stage] if from_stage is not None else [])):
            if name not in STAGES:
                raise MinerError(f"'{name}' is not a stage; there are {', '.join(STAGES)}")
        if from_stage is None:
            anew: tuple[str, ...] = ()
        else:
            anew = STAGES[STAGES.index(from_stage) :]
            named = anew if stages is None else named
        counted = {stage: takes.get(stage, 0) + (stage in anew) for stage in STAGES if MESSAGES_OF[stage]}
        ordered = tuple(stage for stage in STAGES if stage in named)
        return cls(ordered, {stage: take for stage, take in counted.items() if take})

    @property
    def last(self) -> int:
        """The number of the last stage that is carried out."""
        return STAGES.index(self.stages[-1])


@dataclass
class Miner:
    """Mines one bank.

    Attributes:
        labels: what the images may show.
        name: the bank's.
        model: asked for every answer.
        settings: which questions are asked.
        templates: their messages.
        asker: gets the answers.
        observed: how often the labels occur together in somebody's images; chooses the combinations.
        course: which stages are carried out.
    """

    labels: tuple[Label, ...]
    name: str
    model: str
    settings: MinerSettings
    templates: Templates
    asker: Asker
    observed: Cooccurrence | None = None
    course: Course = Course()

    def mine(self) -> Bank:
        """Ask everything and put the bank together; what is left out of the course is missing in it.

        Raises:
            MiningFailed: answers could not be had, or no condition came out of them.
        """
        s, last = self.settings, self.course.last
        ask = Questions(self.model, s, self.templates, self.asker, self.course.takes, frozenset(self.course.stages))
        vocabulary = Vocabulary(name for label in self.labels for name in (label.name, *label.aliases))
        names = tuple(label.name for label in self.labels)
        chosen = choose_combinations(names, s.combinations_for(len(names)), s.largest, s.seed, self.observed)
        captions = describe(ask, self.labels, chosen)
        conditions: list[Condition] = []
        governing: list[Dependency] = []
        if last >= STAGES.index("explain"):
            captions = explain(ask, captions, self.labels, vocabulary)
        if last >= STAGES.index("abstract"):
            conditions = _conditions(abstract(ask, captions, vocabulary))
        if last >= STAGES.index("attribute"):
            conditions = attribute(ask, captions, conditions)
        if last >= STAGES.index("measure"):
            conditions, governing = self._measured(captions, conditions, vocabulary)
        return Bank(
            name=self.name,
            labels=self.labels,
            conditions=tuple(conditions),
            dependencies=tuple(governing),
            captions=tuple(captions),
            provenance=self._provenance(ask),
        )

    def _measured(
        self, captions: Sequence[Caption], conditions: list[Condition], vocabulary: Vocabulary
    ) -> tuple[list[Condition], list[Dependency]]:
        s = self.settings
        explains = explained(captions, conditions)
        if s.conditions == "auto":
            conditions = smallest(conditions, explains, s.coverage)
            explains = explained(captions, conditions)
            reached = sum(map(bool, explains.values())) / len(explains)
            if reached < s.coverage:
                self.asker.notice(
                    f"all conditions together explain {reached:.0%} of the captions, not {s.coverage:.0%}"
                )
        for doubt in doubts(conditions, explains, s.overlap):
            self.asker.notice(doubt)
        return (
            measured(conditions, captions, explains, vocabulary),
            dependencies(captions, conditions, explains),
        )

    def _provenance(self, ask: Questions) -> Provenance:
        used = ask.used
        parameters = self.settings.model_dump(exclude={"seed"})
        parameters["combinations"] = self.settings.combinations_for(len(self.labels))
        parameters |= {"stages": list(STAGES[: self.course.last + 1]), "takes": self.course.takes}
        return Provenance(
            model=self.model,
            endpoint=self.asker.address.endpoint,
            templates={message: self.templates.hash(message) for message in MESSAGES},
            parameters=parameters | recorded(self.observed) | self.asker.recorded(),
            requests=sum(answer.requests for answer in used),
            tokens=Tokens(into=sum(a.tokens_in for a in used), out=sum(a.tokens_out for a in used)),
            seed=self.settings.seed,
            tool=f"fedmpt {version('fedmpt')}",
            created=max((answer.at for answer in used), default=now()),
        )


def _conditions(elected: Sequence[Elected]) -> list[Condition]:
    conditions: list[Condition] = []
    for e in elected:
        name = identifier(e.text, {c.id for c in conditions})
        conditions.append(Condition(id=name, text=e.text, definition=e.definition))
    return conditions
