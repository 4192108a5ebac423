"""From labels to a bank by the stages of settings.STAGES, one module each in stages/."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

from condition_miner.added import added_provenance, answered_by, with_labels
from condition_miner.asking.asker import Asker
from condition_miner.asking.batch import Unanswerable
from condition_miner.combinations.choosing import choose_combinations
from condition_miner.errors import MinerError
from condition_miner.messages.templates import MESSAGES, PromptTemplates
from condition_miner.settings import AFFINITY_SETTINGS, MESSAGES_BY_STAGE, STAGES, MinerSettings
from condition_miner.stages.abstract import abstract
from condition_miner.stages.affinities import affinities
from condition_miner.stages.affinity.control import control
from condition_miner.stages.attribute import attribute
from condition_miner.stages.describe import describe
from condition_miner.stages.explain import explain
from condition_miner.stages.measure import condition_warnings, dependencies, smallest_explaining, with_measures
from condition_miner.stages.questions import Questions
from condition_miner.stages.vocabulary import Vocabulary
from condition_miner.stages.voting import ElectedCondition
from prompt_bank.dependencies.observed import Cooccurrence, provenance
from prompt_bank.editing.conditions import make_id
from prompt_bank.editing.measures import explained
from prompt_bank.recording.store import now
from prompt_bank.schema import Bank, Caption, Condition, Dependency, Label, Provenance, Tokens

ASKED = tuple(message for message in MESSAGES if any(message in MESSAGES_BY_STAGE[stage] for stage in STAGES))
"""The messages of these stages that are rendered from templates."""


@dataclass(frozen=True)
class StagePlan:
    """Which stages run, and which of them are asked again from scratch.

    Attributes:
        stages: the stages that may send requests. Earlier stages read the cache only; later stages are skipped.
        takes: for each stage how many times it has been asked again with --from-stage, this run included.
    """

    stages: tuple[str, ...] = STAGES
    takes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_options(cls, stages: str | None, from_stage: str | None, takes: dict[str, int]) -> StagePlan:
        """The plan of a command line.

        Args:
            stages: names, separated by commas; None for all, or for those from `from_stage` on.
            from_stage: this stage and the later ones are asked again: each begins a new take, whose cache keys
                differ from those of the earlier takes. The answers of earlier takes stay in the cache.
            takes: the takes with which the existing bank was mined.

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
        counted = {stage: takes.get(stage, 0) + (stage in anew) for stage in STAGES if MESSAGES_BY_STAGE[stage]}
        ordered = tuple(stage for stage in STAGES if stage in named)
        return cls(ordered, {stage: take for stage, take in counted.items() if take})

    @property
    def alone(self) -> bool:
        """Whether affinities alone are asked. They need no other stage, so a bank that is there takes their place."""
        return self.stages == ("affinities",)

    @property
    def last(self) -> int:
        """The index of the last stage to run."""
        return STAGES.index(self.stages[-1])


@dataclass
class Miner:
    """Mines one bank.

    Attributes:
        labels: the labels of the data set.
        name: the name of the bank.
        model: the name of the language model.
        settings: determine the questions.
        templates: the prompt templates.
        asker: answers questions from the cache or the model.
        observed: co-occurrence counts of annotated images, from which combinations are chosen; None for a design
            that covers all labels evenly.
        plan: the stages to run.
        existing: the bank that is mined again; None if there is none.
    """

    labels: tuple[Label, ...]
    name: str
    model: str
    settings: MinerSettings
    templates: PromptTemplates
    asker: Asker
    observed: Cooccurrence | None = None
    plan: StagePlan = StagePlan()
    existing: Bank | None = None

    def mine(self) -> Bank:
        """Run the planned stages and return the bank. It lacks the results of the skipped stages.

        Raises:
            MiningFailed: answers are missing, or they contain no usable condition.
        """
        questions = Questions(
            self.model, self.settings, self.templates, self.asker, self.plan.takes, frozenset(self.plan.stages)
        )
        mined = self._from_existing() if self.plan.alone else self._from_captions(questions)
        compared = None
        if self.plan.last >= STAGES.index("affinities"):
            mined = self._with_affinities(questions, mined)
            compared = control(questions, [label.name for label in self.labels])
        provenance = self._provenance(questions)
        if compared:
            provenance = provenance.model_copy(update={"control": compared})
        served = answered_by(questions.used).get("answered_by", {})
        others = [name for name in served if name != self.model]
        if others:
            self.asker.notice(f"asked for the model {self.model}, the server says that it ran {', '.join(others[:5])}")
        return mined.model_copy(update={"provenance": provenance})

    def _with_affinities(self, questions: Questions, mined: Bank) -> Bank:
        """The bank with affinities; without them if the model can't be asked for them and there is a bank without."""
        known = self.existing.conditions if self.existing else ()
        try:
            conditions = affinities(questions, self.labels, mined.conditions, known)
        except Unanswerable as error:
            if self.plan.alone:
                raise
            self.asker.leave_out("affinities", str(error).splitlines()[0])
            return mined
        return mined.model_copy(update={"conditions": tuple(conditions)})

    def _from_captions(self, questions: Questions) -> Bank:
        """The bank by all planned stages that rest on captions."""
        s, last = self.settings, self.plan.last
        vocabulary = Vocabulary(name for label in self.labels for name in (label.name, *label.aliases))
        names = tuple(label.name for label in self.labels)
        chosen = choose_combinations(names, s.combinations_for(len(names)), s.largest, s.seed, self.observed)
        captions = describe(questions, self.labels, chosen)
        conditions: list[Condition] = []
        governing: list[Dependency] = []
        if last >= STAGES.index("explain"):
            captions = explain(questions, captions, self.labels, vocabulary)
        if last >= STAGES.index("abstract"):
            conditions = _conditions(abstract(questions, captions, vocabulary))
        if last >= STAGES.index("attribute"):
            conditions = attribute(questions, captions, conditions)
        if last >= STAGES.index("measure"):
            conditions, governing = self._measured(captions, conditions, vocabulary)
        return Bank(
            name=self.name,
            about=s.about,
            labels=self.labels,
            conditions=tuple(conditions),
            dependencies=tuple(governing),
            captions=tuple(captions),
        )

    def _from_existing(self) -> Bank:
        """The bank that is there, or an empty one."""
        return with_labels(self.existing, Bank(name=self.name, about=self.settings.about, labels=self.labels))

    def _measured(
        self, captions: Sequence[Caption], conditions: list[Condition], vocabulary: Vocabulary
    ) -> tuple[list[Condition], list[Dependency]]:
        s = self.settings
        explains = explained(captions, conditions)
        if s.conditions == "auto":
            conditions = smallest_explaining(conditions, explains, s.coverage)
            explains = explained(captions, conditions)
            reached = sum(map(bool, explains.values())) / len(explains)
            if reached < s.coverage:
                self.asker.notice(
                    f"all conditions together explain {reached:.0%} of the captions, not {s.coverage:.0%}"
                )
        for doubt in condition_warnings(conditions, explains, s.overlap):
            self.asker.notice(doubt)
        return (
            with_measures(conditions, captions, explains, vocabulary),
            dependencies(captions, conditions, explains),
        )

    def _provenance(self, questions: Questions) -> Provenance:
        used = questions.used
        if self.plan.alone:
            own = self.settings.model_dump(include=set(AFFINITY_SETTINGS))
            takes = {"takes": self.plan.takes}
            return added_provenance(questions, self.existing, "affinities", own, takes)
        without = {"seed"} if self.settings.about else {"seed", "about"}
        parameters = self.settings.model_dump(exclude=without)
        parameters["combinations"] = self.settings.combinations_for(len(self.labels))
        parameters |= {"stages": list(STAGES[: self.plan.last + 1]), "takes": self.plan.takes}
        return Provenance(
            model=self.model,
            endpoint=self.asker.address.endpoint,
            templates={message: self.templates.hash(message, self.settings.about) for message in ASKED},
            parameters=parameters | provenance(self.observed) | self.asker.provenance() | answered_by(used),
            requests=sum(answer.requests for answer in used),
            tokens=Tokens(into=sum(a.tokens_in for a in used), out=sum(a.tokens_out for a in used)),
            seed=self.settings.seed,
            tool=f"fedmpt {version('fedmpt')}",
            created=max((answer.at for answer in used), default=now()),
        )


def _conditions(elected: Sequence[ElectedCondition]) -> list[Condition]:
    """The elected conditions, each with a unique id made of its text."""
    conditions: list[Condition] = []
    for e in elected:
        name = make_id(e.text, {c.id for c in conditions})
        conditions.append(Condition(id=name, text=e.text, definition=e.definition))
    return conditions
