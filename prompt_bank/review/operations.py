"""The operations of the page. An edit is data until it is applied to a bank, so undo removes it from the list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from prompt_bank.editing import edits as editing
from prompt_bank.editing.cells import correct
from prompt_bank.editing.dependencies import set_dependency
from prompt_bank.editing.labels import set_attributes
from prompt_bank.schema import MAX_ATTRIBUTES, MAX_VALUES, Bank

MAX_OPERATIONS = 2000
"""The maximum number of unsaved operations of a page."""

ShortText = Annotated[str, Field(max_length=200)]
LongText = Annotated[str, Field(max_length=4000)]
Id = Annotated[str, Field(max_length=64)]
Values = Annotated[list[ShortText], Field(max_length=MAX_VALUES)]


class Operation(BaseModel):
    """Base of the operations: unknown fields are errors, and types are strict."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def apply(self, bank: Bank) -> Bank:
        """The changed bank.

        Raises:
            BankError: the operation is invalid for this bank.
        """
        raise NotImplementedError

    def description(self) -> str:
        """A short description, for the message of a revision."""
        raise NotImplementedError


class Decide(Operation):
    """Accept or reject a condition, or revert the decision."""

    do: Literal["accept", "reject", "propose"]
    id: Id

    def apply(self, bank: Bank) -> Bank:
        """See edits.accept, reject and propose."""
        decide = {"accept": editing.accept, "reject": editing.reject, "propose": editing.propose}[self.do]
        return decide(bank, [self.id])

    def description(self) -> str:
        """For example "accepted background"."""
        return {"accept": "accepted", "reject": "rejected", "propose": "reopened"}[self.do] + f" {self.id}"


class Edit(Operation):
    """Change words, definition, values or note of a condition; None leaves a field unchanged."""

    do: Literal["edit"]
    id: Id
    text: ShortText | None = None
    definition: LongText | None = None
    values: Values | None = None
    note: LongText | None = None

    def apply(self, bank: Bank) -> Bank:
        """See edits.edit."""
        changes = self.model_dump(exclude={"do", "id"})
        return editing.edit(bank, self.id, **changes)

    def description(self) -> str:
        """For example "renamed pose to object pose", or "edited pose"."""
        return f"edited {self.id}" if self.text is None else f"renamed {self.id} to {self.text}"


class Merge(Operation):
    """Merge conditions."""

    do: Literal["merge"]
    ids: Annotated[list[Id], Field(max_length=200)]
    text: ShortText
    definition: LongText | None = None

    def apply(self, bank: Bank) -> Bank:
        """See edits.merge."""
        return editing.merge(bank, self.ids, text=self.text, definition=self.definition)

    def description(self) -> str:
        """For example "merged weather into lighting"."""
        return f"merged {', '.join(self.ids[1:])} into {self.ids[0]}" if self.ids else "merged"


class SplitPart(BaseModel):
    """One of the conditions that result from a split."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    text: ShortText
    definition: LongText = ""
    values: Values = []


class Split(Operation):
    """Split a condition."""

    do: Literal["split"]
    id: Id
    parts: Annotated[list[SplitPart], Field(max_length=50)]

    def apply(self, bank: Bank) -> Bank:
        """See edits.split."""
        return editing.split(bank, self.id, [(part.text, part.definition, part.values) for part in self.parts])

    def description(self) -> str:
        """For example "split scene into background, layout"."""
        return f"split {self.id} into {', '.join(part.text for part in self.parts)}"


class Move(Operation):
    """Move a condition in the order."""

    do: Literal["move"]
    id: Id
    position: Annotated[int, Field(ge=0)]

    def apply(self, bank: Bank) -> Bank:
        """See edits.move."""
        return editing.move(bank, self.id, self.position)

    def description(self) -> str:
        """For example "moved pose to place 2"."""
        return f"moved {self.id} to place {self.position + 1}"


class Add(Operation):
    """Add a condition."""

    do: Literal["add"]
    text: ShortText
    definition: LongText = ""
    values: Values = []
    note: LongText = ""

    def apply(self, bank: Bank) -> Bank:
        """See edits.add. A condition added by a person is accepted at once."""
        return editing.add(bank, self.text, self.definition, self.values, note=self.note, status="accepted")

    def description(self) -> str:
        """For example "added season"."""
        return f"added {self.text}"


class Remove(Operation):
    """Remove a condition."""

    do: Literal["remove"]
    id: Id

    def apply(self, bank: Bank) -> Bank:
        """See edits.remove."""
        return editing.remove(bank, self.id)

    def description(self) -> str:
        """For example "removed pose"."""
        return f"removed {self.id}"


class SetDependency(Operation):
    """Set the conditions of a dependency; an empty list removes it."""

    do: Literal["set_dependency"]
    labels: Annotated[list[ShortText], Field(max_length=100)]
    conditions: Annotated[list[Id], Field(max_length=200)]

    def apply(self, bank: Bank) -> Bank:
        """See dependencies.set_dependency."""
        return set_dependency(bank, self.labels, self.conditions)

    def description(self) -> str:
        """For example "set what governs cat and sofa"."""
        return f"set what governs {' and '.join(self.labels)}"


class SetCell(Operation):
    """Correct a cell of an affinity; without a number, revert the correction."""

    do: Literal["set_cell"]
    id: Id
    label: ShortText
    value: ShortText
    number: float | None = None

    def apply(self, bank: Bank) -> Bank:
        """See cells.correct."""
        return correct(bank, self.id, self.label, self.value, self.number)

    def description(self) -> str:
        """For example "set fork under street to -2"."""
        number = "what was mined" if self.number is None else f"{self.number:+g}"
        return f"set {self.label} under {self.value} to {number}"


class SetAttributes(Operation):
    """Set the attributes of a label."""

    do: Literal["set_attributes"]
    label: ShortText
    attributes: Annotated[list[ShortText], Field(max_length=MAX_ATTRIBUTES)]

    def apply(self, bank: Bank) -> Bank:
        """See labels.set_attributes."""
        return set_attributes(bank, self.label, self.attributes)

    def description(self) -> str:
        """For example "set what fork looks like"."""
        return f"set what {self.label} looks like"


AnyOperation = Annotated[
    Decide | Edit | Merge | Split | Move | Add | Remove | SetDependency | SetCell | SetAttributes,
    Field(discriminator="do"),
]
Operations = Annotated[list[AnyOperation], Field(max_length=MAX_OPERATIONS)]


def summary(operations: Sequence[Operation]) -> str:
    """The message of a revision: the distinct descriptions of its operations, in at most 200 characters."""
    descriptions = list(dict.fromkeys(_shorten(operation.description()) for operation in operations))
    text = "; ".join(descriptions)
    while len(text) > 200:
        descriptions.pop()
        text = "; ".join([*descriptions, "and more"])
    return text


def _shorten(text: str) -> str:
    return text if len(text) <= 80 else text[:79] + "…"
