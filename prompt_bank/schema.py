"""The schema of a bank file. The miner writes the file, people review it, the trainer reads it.

`python -m prompt_bank.schema` regenerates `banks/bank.schema.json` from these classes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

SCHEMA_FILE = Path(__file__).parent / "banks" / "bank.schema.json"
SCHEMA_REFERENCE = f"./{SCHEMA_FILE.name}"
"""A bank's `$schema`: the copy of the schema beside each recorded bank, with which editors validate it offline."""

Text = Annotated[str, Field(min_length=1, max_length=2000)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]
Hash = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]

MAX_VALUES = 500
"""The maximum number of values of a condition."""

MAX_ATTRIBUTES = 20
"""The maximum number of attributes of a label."""

ATTRIBUTES = "attributes"
"""The entry of the provenance's parameters that says how the labels' attributes were asked for."""

LIFT_DIGITS = 2
"""Decimals of a log-lift. More would be noise, and would show up in every git diff."""


def _rounded(number: float) -> float:
    return round(number, LIFT_DIGITS) + 0.0  # no -0.0


Lift = Annotated[float, Field(ge=-100, le=100), AfterValidator(_rounded)]
"""A log-lift in nats."""

Cosine = Annotated[float, Field(ge=-1, le=1)]


class Part(BaseModel):
    """Base of the classes of a bank: immutable, unknown fields are errors."""

    # "constants": writing a NaN among the parameters must fail; by default it would silently become null.
    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False, ser_json_inf_nan="constants"
    )
    WITHOUT_IF_EMPTY: ClassVar[tuple[str, ...]] = ()
    """Fields added later. They are omitted if empty, so that older files keep their content and hash."""

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = write(self)
        return {key: value for key, value in content.items() if value or key not in self.WITHOUT_IF_EMPTY}


class Label(Part):
    """A label that images may have."""

    name: Name
    aliases: tuple[Name, ...] = ()
    attributes: Annotated[tuple[Name, ...], Field(max_length=MAX_ATTRIBUTES)] = ()
    """What a viewer recognises it by: "pointed ears". `provenance.parameters.attributes` says how they were mined."""
    attributes_edited: bool = False
    """Whether a person changed them; mining again does not change them then."""

    WITHOUT_IF_EMPTY = ("attributes", "attributes_edited")


class Correction(Part):
    """Marks a cell of an affinity that a person set. The number itself is in `rows`."""

    label: Name
    value: Name
    mined: Lift | None = None
    """The mined number, restored when the correction is reverted."""
    by: Annotated[str, Field(max_length=100)] = ""
    """Who set it; "" until the bank is recorded."""


class Reading(Part):
    """How the numbers of an affinity were obtained from a language model."""

    kind: Literal["next-token", "completion", "yes-no", "lists"]
    wordings: tuple[Text, ...] = ()
    """The prompt templates whose answers were averaged, with fields in braces."""
    model: Name = "none"


class Affinity(Part):
    """The log-lifts of labels and the values of a condition: a matrix of C labels × V values.

    A number is log p(value | label) − log p(value) in nats: positive if the value is usual for the label, negative
    if it is unusual, null if the model was not asked. A label without a row was not asked about at all.
    """

    rows: Annotated[dict[Name, tuple[Lift | None, ...]], Field(min_length=1)]
    """For each label name, one number for each value of the condition, in the order of its values."""
    corrected: tuple[Correction, ...] = ()
    """The cells that a person set; mining again does not change them."""
    asked: tuple[Reading, ...] = ()
    """How the numbers were obtained; empty if a person wrote all of them."""


class Condition(Part):
    """An abstract factor that governs which labels occur together (METHOD.md §1)."""

    id: Identifier
    text: Name
    """The words used in the prompts."""
    definition: Annotated[str, Field(max_length=2000)] = ""
    status: Literal["proposed", "accepted", "rejected"] = "proposed"
    origin: Literal["mined", "edited", "added"] = "mined"
    support: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the captions that this condition explains; null if it was not measured."""
    values: Annotated[tuple[Name, ...], Field(max_length=MAX_VALUES)] = ()
    """The values that a viewer can distinguish (for lighting: daylight, night); the columns of its affinity."""
    kinds: tuple[Name, ...] = ()
    """The kinds of caption factors that belong to this condition (editing/measures.py)."""
    evidence: tuple[Identifier, ...] = ()
    note: Annotated[str, Field(max_length=2000)] = ""
    affinity: Affinity | None = None

    WITHOUT_IF_EMPTY = ("kinds", "affinity")


class Dependency(Part):
    """The conditions that govern whether some labels occur together."""

    labels: Annotated[tuple[Name, ...], Field(min_length=2)]
    conditions: Annotated[tuple[Identifier, ...], Field(min_length=1)]
    because: Annotated[str, Field(max_length=2000)] = ""
    evidence: tuple[Identifier, ...] = ()


class Factor(Part):
    """A reason why the labels of a caption occur together: words of the caption, and the kind of property they name."""

    words: Text
    kind: Name


class Caption(Part):
    """A scene description that the language model wrote for some labels."""

    id: Identifier
    labels: Annotated[tuple[Name, ...], Field(min_length=1)]
    text: Text
    factors: tuple[Factor, ...] = ()

    WITHOUT_IF_EMPTY = ("factors",)


class Prompt(Part):
    """The prompt template and its numbers of learnable tokens (METHOD.md §2)."""

    template: Name = "{condition} {label}."
    condition_tokens: Annotated[int, Field(ge=0, le=64)] = 5
    """β1, the learnable tokens before the condition's words; each condition has its own."""
    class_tokens: Annotated[int, Field(ge=0, le=64)] = 7
    """β2, the learnable tokens between condition and label; all conditions share them."""


class Tokens(Part):
    """Prompt tokens and completion tokens. Cached answers count with the tokens of the original request."""

    into: Count = Field(0, alias="in")
    out: Count = 0


class Control(Part):
    """A baseline without conditions: the similarity of the label names alone. An informative bank must beat it."""

    how: Text
    """What was compared, for example the model's hidden states after "A photo of a …"."""
    rows: Annotated[dict[Name, tuple[Cosine, ...]], Field(min_length=1)]
    """For each label name, its cosine similarity to each label, in the order of the rows: a symmetric C × C matrix."""


class Provenance(Part):
    """The origin of the mined content."""

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
    """The domain of the images, stated in every question to the language model: "everyday photos", "aerial images"."""
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
    """The JSON schema: the content of `banks/bank.schema.json`."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps({"$schema": dialect, **Bank.model_json_schema(by_alias=True)}, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(json_schema(), encoding="utf-8")
