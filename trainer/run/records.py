"""The schemas of a run folder's files, and the one reader that applies them. A folder may be damaged, or a stranger's.

Values are strict (no text where a number belongs), finite and bounded. Percentages are metrics as in
`trainer.evaluation.metrics`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel, ValidationError, model_validator

from fedmpt.common.foreign_json import parse_json, read_bytes
from trainer.errors import TrainerError
from trainer.run.metric_records import (
    ClientMetrics,
    Intervals,
    LabelRow,
    MetricsAtThreshold,
    MetricsOfLabels,
    OracleMetrics,
    SpuriousActivation,
    YardstickRow,
)
from trainer.run.record_types import Count, Hash, Name, Probability, Record, Rounds, Text

R = TypeVar("R", bound=BaseModel)


class CodeRecord(Record):
    """The commit of the code."""

    commit: Name
    changed: bool


class EnvironmentRecord(Record):
    """environment.json."""

    python: Name
    packages: dict[Name, Name] = Field(max_length=1000)
    code: CodeRecord | None
    device: Name
    cuda: Name | None
    threads: Count


class BankIdentity(Record):
    """The bank of a run."""

    name: Text
    revision: Count
    hash: Hash


class DataIdentity(Record):
    """The data set of a run."""

    name: Name
    fingerprint: Name


class PartitionIdentity(Record):
    """The partition of a run."""

    clients: Count
    images: Count
    smallest: Count
    largest: Count
    hash: Hash


class BackboneIdentity(Record):
    """The backbone of a run."""

    name: Name
    weights: Hash
    preprocessing: Text


class IdentityRecord(Record):
    """identity.json."""

    bank: BankIdentity | None
    data: DataIdentity
    partition: PartitionIdentity
    backbone: BackboneIdentity


class RefusalLine(Record):
    """A reply that did not count."""

    client: Count
    reason: Text


class PrivacyLine(Record):
    """What protects the updates of the client that was asked most often."""

    epsilon: Annotated[float, Field(ge=0)]
    delta: Probability
    rounds: Count


class RoundLine(Record):
    """A line of metrics.jsonl. Other keys are a method's diagnostics, numbers."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float]

    rounds: Annotated[int, Field(ge=1, le=10**6)]
    clients: list[Count]
    missing: list[Count] = Field(default_factory=list)
    """Sampled clients whose replies were not used; not in older runs."""
    examples: Count
    loss: float | None
    learning_rate: float
    validation: MetricsAtThreshold
    refused: list[RefusalLine] = Field(default_factory=list)
    privacy: PrivacyLine | None = None


class Description(Record):
    """What a method says of itself; see `Method.describe`."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    title: Text
    trainable: Count
    conditions: list[Text] | None = None
    prompts: list[Text] | None = None


class PrivacyRecord(Record):
    """privacy.json: how often each client was asked for its update; the key is its id."""

    noise_multiplier: Annotated[float, Field(gt=0)]
    asked: dict[Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,8})$")], Count] = Field(max_length=10**6)


class TrackingRecord(RootModel[dict[Name, Name]]):
    """tracking.json: the run's id by tracker."""


class EvaluationRecord(Record):
    """evaluation.json."""

    method: Name
    dataset: Name
    dataset_fingerprint: Name
    backbone: Name
    preprocessing: Text
    rounds: Rounds
    images: Count
    distinct_predictions: Count | None = None
    """Different sets of predicted labels among the test images; not in older runs."""
    label_names: list[Name] = Field(min_length=1)
    renamed_labels: dict[Name, Name] = Field(default={}, max_length=10_000)
    """The bank's labels that are called otherwise in the data; not in older runs."""
    test: MetricsOfLabels
    test_at_half: MetricsOfLabels = Field(alias="test_at_0.5")
    test_oracle_thresholds: OracleMetrics
    intervals: Intervals | None
    per_label: list[LabelRow]
    test_seen: MetricsOfLabels | None = None
    test_unseen: MetricsOfLabels | None = None
    clients: ClientMetrics | None
    spurious_activation: SpuriousActivation | None = None
    """None if no site ties labels together, and in older runs."""
    metrics_version: Count = 1
    diagnostics: dict[Name, float]
    description: Description

    @model_validator(mode="after")
    def _is_of_one_set_of_labels(self) -> Self:
        names = self.label_names
        if len(set(names)) < len(names):
            raise ValueError("a label occurs twice in label_names")
        if [row.label for row in self.per_label] != names or len(self.test.average_precision) != len(names):
            raise ValueError("label_names, per_label and average_precision are not of the same labels")
        return self


class YardsticksIdentity(Record):
    """What yardsticks are of."""

    data: DataIdentity
    partition: PartitionIdentity
    backbone: BackboneIdentity
    metrics_version: Count = 1


class YardsticksRecord(Record):
    """yardsticks.json."""

    of: YardsticksIdentity
    rows: list[YardstickRow] = Field(min_length=1)


def read_record(path: Path, kind: type[R]) -> tuple[Any, R]:
    """Read a JSON file of a run.

    Args:
        path: the file.
        kind: its schema.

    Returns:
        The value as it stands in the file, and as a record.

    Raises:
        FedmptError: the file is missing, unreadable, no JSON, or not of the schema.
    """
    content = read_bytes(path)
    return validated(content, kind, str(path))


def read_lines(path: Path) -> Iterator[Any]:
    """The lines of metrics.jsonl, without a last line that a crash has truncated.

    Raises:
        FedmptError: see `read_record`; or a round is missing.
    """
    *lines, _ = read_bytes(path).split(b"\n")
    for number, line in enumerate(lines, 1):
        value, record = validated(line, RoundLine, f"{path}, line {number}")
        if record.rounds != number:
            raise TrainerError(f"{path}, line {number}: round {record.rounds}; lines must be of rounds 1, 2, 3 …")
        yield value


def validated(content: bytes, kind: type[R], source: str) -> tuple[Any, R]:
    """As `read_record`, for the content of a file."""
    value = parse_json(content, source=source)
    try:
        return value, kind.model_validate_json(content.removeprefix(b"\xef\xbb\xbf"), strict=True)
    except ValidationError as error:
        first, count = error.errors(include_url=False)[0], error.error_count()
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        more = f" (and {count - 1} more faults)" if count > 1 else ""
        raise TrainerError(f"{source}: {where}: {first['msg'].removeprefix('Value error, ')}{more}") from error
