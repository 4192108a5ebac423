"""What the page may ask for. An edit is data until it is replayed on a bank, so undo is leaving the last one out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from prompt_bank.editing import edits as editing
from prompt_bank.editing.cells import correct
from prompt_bank.editing.dependencies import set_dependency
from prompt_bank.schema import MAX_VALUES, Bank

MAX_OPERATIONS = 2000
"""Operations that a page may hold unsaved."""

ShortText = Annotated[str, Field(max_length=200)]
LongText = Annotated[str, Field(max_length=4000)]
Id = Annotated[str, Field(max_length=64)]
Values = Annotated[list[ShortText], Field(max_length=MAX_VALUES)]


class Operation(BaseModel):
    """Base of the operations: an unknown field is an error, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def apply(self, bank: Bank) -> Bank:
        """The changed bank.

        Raises:
            BankError: the bank does not allow it.
        """
        raise NotImplementedError

    def told(self) -> str:
        """What was done, for the message of a revision."""
        raise NotImplementedError


class Decide(Operation):
    """Accept or reject a condition, or make it a proposal again."""

    do: Literal["accept", "reject", "propose"]
    id: Id

    def apply(self, bank: Bank) -> Bank:
        """See editing.accept, reject and propose."""
        decide = {"accept": editing.accept, "reject": editing.reject, "propose": editing.propose}[self.do]
        return decide(bank, [self.id])

    def told(self) -> str:
        """ "accepted background" """
        return {"accept": "accepted", "reject": "rejected", "propose": "reopened"}[self.do] + f" {self.id}"


class Edit(Operation):
    """Other words, definition, values or note for a condition; what is None stays."""

    do: Literal["edit"]
    id: Id
    text: ShortText | None = None
    definition: LongText | None = None
    values: Values | None = None
    note: LongText | None = None

    def apply(self, bank: Bank) -> Bank:
        """See editing.edit."""
        changes = self.model_dump(exclude={"do", "id"})
        return editing.edit(bank, self.id, **changes)

    def told(self) -> str:
        """ "renamed pose to object pose", or "edited pose" """
        return f"edited {self.id}" if self.text is None else f"renamed {self.id} to {self.text}"


class Merge(Operation):
    """Several conditions become one."""

    do: Literal["merge"]
    ids: Annotated[list[Id], Field(max_length=200)]
    text: ShortText
    definition: LongText | None = None

    def apply(self, bank: Bank) -> Bank:
        """See editing.merge."""
        return editing.merge(bank, self.ids, text=self.text, definition=self.definition)

    def told(self) -> str:
        """ "merged weather into lighting" """
        return f"merged {', '.join(self.ids[1:])} into {self.ids[0]}" if self.ids else "merged"


class SplitPart(BaseModel):
    """One of the conditions that a split makes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    text: ShortText
    definition: LongText = ""
    values: Values = []


class Split(Operation):
    """One condition becomes several."""

    do: Literal["split"]
    id: Id
    parts: Annotated[list[SplitPart], Field(max_length=50)]

    def apply(self, bank: Bank) -> Bank:
        """See editing.split."""
        return editing.split(bank, self.id, [(part.text, part.definition, part.values) for part in self.parts])

    def told(self) -> str:
        """ "split scene into background, layout" """
        return f"split {self.id} into {', '.join(part.text for part in self.parts)}"


class Move(Operation):
    """Another place in the order."""

    do: Literal["move"]
    id: Id
    position: Annotated[int, Field(ge=0)]

    def apply(self, bank: Bank) -> Bank:
        """See editing.move."""
        return editing.move(bank, self.id, self.position)

    def told(self) -> str:
        """ "moved pose to place 2" """
        return f"moved {self.id} to place {self.position + 1}"


class Add(Operation):
    """A condition of a person's own."""

    do: Literal["add"]
    text: ShortText
    definition: LongText = ""
    values: Values = []
    note: LongText = ""

    def apply(self, bank: Bank) -> Bank:
        """See editing.add; who adds a condition wants it, so it is accepted."""
        return editing.add(bank, self.text, self.definition, self.values, note=self.note, status="accepted")

    def told(self) -> str:
        """ "added season" """
        return f"added {self.text}"


class Remove(Operation):
    """A condition goes, for good."""

    do: Literal["remove"]
    id: Id

    def apply(self, bank: Bank) -> Bank:
        """See editing.remove."""
        return editing.remove(bank, self.id)

    def told(self) -> str:
        """ "removed pose" """
        return f"removed {self.id}"


class SetDependency(Operation):
    """Which conditions govern whether some labels occur together; none takes the dependency away."""

    do: Literal["set_dependency"]
    labels: Annotated[list[ShortText], Field(max_length=100)]
    conditions: Annotated[list[Id], Field(max_length=200)]

    def apply(self, bank: Bank) -> Bank:
        """See dependencies.set_dependency."""
        return set_dependency(bank, self.labels, self.conditions)

    def told(self) -> str:
        """ "set what governs cat and sofa" """
        return f"set what governs {' and '.join(self.labels)}"


class SetCell(Operation):
    """How usual a label is under a value; without a number as it was mined."""

    do: Literal["set_cell"]
    id: Id
    label: ShortText
    value: ShortText
    number: float | None = None

    def apply(self, bank: Bank) -> Bank:
        """See cells.correct."""
        return correct(bank, self.id, self.label, self.value, self.number)

    def told(self) -> str:
        """ "set fork under street to -2" """
        number = "what was mined" if self.number is None else f"{self.number:+g}"
        return f"set {self.label} under {self.value} to {number}"


AnyOperation = Annotated[
    Decide | Edit | Merge | Split | Move | Add | Remove | SetDependency | SetCell, Field(discriminator="do")
]
Operations = Annotated[list[AnyOperation], Field(max_length=MAX_OPERATIONS)]


def summary(operations: Sequence[Operation]) -> str:
    """What a list of operations did, as a revision's message: at most 200 characters, each thing once."""
    told = list(dict.fromkeys(_shorten(operation.told()) for operation in operations))
    text = "; ".join(told)
    while len(text) > 200:
        told.pop()
        text = "; ".join([*told, "and more"])
    return text


def _shorten(text: str) -> str:
    return text if len(text) <= 80 else text[:79] + "…"
