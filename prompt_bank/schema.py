"""The prompt bank: the one definition of the file that passes from the miner over people to the trainer.

`banks/bank.schema.json` is exported from here: `python -m prompt_bank.schema` writes it again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

SCHEMA_FILE = Path(__file__).parent / "banks" / "bank.schema.json"
SCHEMA_REFERENCE = f"./{SCHEMA_FILE.name}"
"""What a bank's `$schema` names: the copy that stands beside each recorded bank, so editors check it offline."""

Text = Annotated[str, Field(min_length=1, max_length=2000)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]
Hash = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]

MOST_VALUES = 500
"""Values of a condition at the most."""

LIFT_DIGITS = 2
"""Decimals of a lift: finer ones would be noise, and a line of changes in git."""


def _rounded(number: float) -> float:
    return round(number, LIFT_DIGITS) + 0.0  # no -0.0


Lift = Annotated[float, Field(ge=-100, le=100), AfterValidator(_rounded)]
"""A log-lift in nats."""

Cosine = Annotated[float, Field(ge=-1, le=1)]


class Part(BaseModel):
    """Base of every part of a bank: frozen, and an unknown field is an error."""

    # "constants": a NaN among the parameters must fail when it is written, not turn into null without a word.
    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False, ser_json_inf_nan="constants"
    )
    WITHOUT_IF_EMPTY: ClassVar[tuple[str, ...]] = ()
    """Fields that came later: left out where empty, so that older files keep their content and hash."""

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = write(self)
        return {key: value for key, value in content.items() if value or key not in self.WITHOUT_IF_EMPTY}


class Label(Part):
    """A class that images may carry."""

    name: Name
    aliases: tuple[Name, ...] = ()


class Correction(Part):
    """A cell of an affinity that a person set; its number stands in the rows."""

    label: Name
    value: Name
    mined: Lift | None = None
    """What mining says of the cell; comes back where the person takes the correction back."""
    by: Annotated[str, Field(max_length=100)] = ""
    """Who set it; "" until it is recorded."""


class Reading(Part):
    """How numbers were obtained from a language model."""

    kind: Literal["next-token", "completion", "yes-no", "lists"]
    wordings: tuple[Text, ...] = ()
    """The messages, with fields in braces, whose answers were averaged."""
    model: Name = "none"


class Affinity(Part):
    """How usual labels are under the values of a condition: a matrix of C labels × V values.

    A number is log p(value | label) − log p(value) in nats: positive where the value is usual for the label, negative
    where it is unusual, null where it was not asked. A label without a row was not asked at all.
    """

    rows: Annotated[dict[Name, tuple[Lift | None, ...]], Field(min_length=1)]
    """From a label's name to one number for each value of the condition, in its order."""
    corrected: tuple[Correction, ...] = ()
    """The cells that a person set; mining again leaves them."""
    asked: tuple[Reading, ...] = ()
    """How the numbers were obtained; empty where a person wrote them all."""


class Condition(Part):
    """An abstract factor under which labels occur together (METHOD.md §1)."""

    id: Identifier
    text: Name
    """The words that stand in the prompts."""
    definition: Annotated[str, Field(max_length=2000)] = ""
    status: Literal["proposed", "accepted", "rejected"] = "proposed"
    origin: Literal["mined", "edited", "added"] = "mined"
    support: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the captions that this condition explains; null where it was not measured."""
    values: Annotated[tuple[Name, ...], Field(max_length=MOST_VALUES)] = ()
    """What a viewer would tell apart under this condition; the columns of its affinity."""
    kinds: tuple[Name, ...] = ()
    """Kinds of the captions' factors that belong to this condition (measures.py)."""
    evidence: tuple[Identifier, ...] = ()
    note: Annotated[str, Field(max_length=2000)] = ""
    affinity: Affinity | None = None

    WITHOUT_IF_EMPTY = ("kinds", "affinity")


class Dependency(Part):
    """Which conditions govern whether some labels occur together."""

    labels: Annotated[tuple[Name, ...], Field(min_length=2)]
    conditions: Annotated[tuple[Identifier, ...], Field(min_length=1)]
    because: Annotated[str, Field(max_length=2000)] = ""
    evidence: tuple[Identifier, ...] = ()


class Factor(Part):
    """Why the labels of a caption occur together: words of the caption, and what kind of property they tell."""

    words: Text
    kind: Name


class Caption(Part):
    """A scene description that a model wrote for some labels."""

    id: Identifier
    labels: Annotated[tuple[Name, ...], Field(min_length=1)]
    text: Text
    factors: tuple[Factor, ...] = ()

    WITHOUT_IF_EMPTY = ("factors",)


class Prompt(Part):
    """How a condition and a label become a prompt, and how many learnable tokens it has (METHOD.md §2)."""

    template: Name = "{condition} {label}."
    condition_tokens: Annotated[int, Field(ge=0, le=64)] = 5
    """β1, before the condition's words; own to each condition."""
    class_tokens: Annotated[int, Field(ge=0, le=64)] = 7
    """β2, between the condition and the label; shared by all."""


class Tokens(Part):
    """Tokens that went to and came from the model; answers out of the cache count as when they were asked."""

    into: Count = Field(0, alias="in")
    out: Count = 0


class Control(Part):
    """How alike the labels are as words, whatever any condition says: what a bank must beat to have told anything."""

    how: Text
    """What was compared, for instance the model's states behind "A photo of a …"."""
    rows: Annotated[dict[Name, tuple[Cosine, ...]], Field(min_length=1)]
    """From a label's name to its cosine with each label, in the order of the rows: a symmetric C × C matrix."""


class Provenance(Part):
    """Where the mined content comes from."""

    model: Name = "none"
    endpoint: Name = "none"
    templates: dict[str, Hash] = {}
    parameters: dict[str, Any] = {}
    requests: Count = 0
    tokens: Tokens = Tokens()
    seed: int = 0
    tool: Name = "fedmpt"
    created: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")] = "1970-01-01T00:00:00Z"
    control: Control | None = None

    WITHOUT_IF_EMPTY = ("control",)


class Revision(Part):
    """A recorded change."""

    revision: Annotated[int, Field(ge=1)]
    at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    by: Name
    did: Annotated[str, Field(min_length=1, max_length=500)]
    hash: Hash


class Bank(Part):
    """A prompt bank."""

    schema_: str = Field(SCHEMA_REFERENCE, alias="$schema")
    format: Literal[2] = 2
    name: Name
    about: Annotated[str, Field(max_length=200)] = ""
    """What the images are, as everything that a model is asked says: "everyday photos", "aerial images"."""
    revision: Count = 0
    labels: Annotated[tuple[Label, ...], Field(min_length=1)]
    conditions: tuple[Condition, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    captions: tuple[Caption, ...] = ()
    prompt: Prompt = Prompt()
    provenance: Provenance = Provenance()
    history: tuple[Revision, ...] = ()

    WITHOUT_IF_EMPTY = ("about",)


def json_schema() -> str:
    """The exported JSON schema, as the shipped file holds it."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps({"$schema": dialect, **Bank.model_json_schema(by_alias=True)}, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(json_schema(), encoding="utf-8")
