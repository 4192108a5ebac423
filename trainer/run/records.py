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

Text = Annotated[str, Field(max_length=10_000)]
Name = Annotated[str, Field(min_length=1, max_length=1000)]
Count = Annotated[int, Field(ge=0, le=10**12)]
Rounds = Annotated[int, Field(ge=0, le=10**6)]
Percentage = Annotated[float, Field(ge=0, le=100.001)]
Points = Annotated[float, Field(ge=-100.001, le=100.001)]
"""Percentage points."""
Probability = Annotated[float, Field(ge=0, le=1)]
Hash = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class Record(BaseModel):
    """Base of all records."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


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


METRICS_VERSION = 2
"""Of the definition of metrics. 1: pooled metrics left out labels without positives, in older runs."""


class CustomaryMetrics(Record):
    """The customary metrics, in per cent; None where no label has a positive."""

    mAP: Percentage | None
    CP: Percentage | None
    CR: Percentage | None
    CF1: Percentage | None
    CF1_harmonic: Percentage | None = None
    """Not in older runs."""
    OP: Percentage | None
    OR: Percentage | None
    OF1: Percentage | None


FIGURES = tuple(CustomaryMetrics.model_fields)
"""The names of the customary metrics, in their order."""


class MetricsAtThreshold(CustomaryMetrics):
    """Metrics at one threshold."""

    threshold: Probability
    labels_without_positives: Count


class RefusalLine(Record):
    """A reply that did not count."""

    client: Count
    reason: Text


class RoundLine(Record):
    """A line of metrics.jsonl. Other keys are a method's diagnostics, numbers."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float]

    rounds: Annotated[int, Field(ge=1, le=10**6)]
    clients: list[Count]
    missing: list[Count] = []
    """Sampled clients whose replies were not used; not in older runs."""
    examples: Count
    loss: float
    learning_rate: float
    validation: MetricsAtThreshold
    refused: list[RefusalLine] = []


class MetricsOfLabels(MetricsAtThreshold):
    """Metrics with the average precision of each label; None without positives."""

    average_precision: list[Percentage | None] = Field(min_length=1)


class OracleMetrics(CustomaryMetrics):
    """Metrics as published programs report them."""

    thresholds: list[Probability]


Ends = Annotated[list[float], Field(min_length=2, max_length=2)]


class Intervals(Record):
    """Confidence intervals by metric; None where the bootstrap gives none, with the reason."""

    level: Probability
    resamples: Count
    mAP: Ends | None
    CP: Ends | None
    CR: Ends | None
    CF1: Ends | None
    CF1_harmonic: Ends | None = None
    OP: Ends | None
    OR: Ends | None
    OF1: Ends | None
    reason: Text | None = None


class LabelRow(Record):
    """The metrics of a label."""

    label: Name
    positives: Count
    average_precision: Percentage | None
    precision: Percentage | None
    recall: Percentage | None
    F1: Percentage | None


class ClientRow(CustomaryMetrics):
    """The metrics of a client."""

    client: Count
    images: Count


class ClientMetrics(Record):
    """The metrics of all clients."""

    images: Name
    mean: CustomaryMetrics | None
    worst: CustomaryMetrics | None
    without_positives: Count
    each: list[ClientRow]


class SpuriousPair(Record):
    """The spurious activation of a label where another one is present; see `trainer.evaluation.spurious`."""

    model_config = ConfigDict(populate_by_name=True)

    present: Name
    claimed: Name
    site_lift: Annotated[float, Field(ge=0)]
    with_present: Percentage = Field(alias="with")
    without: Percentage
    activation: Points
    true_association: Points


class SpuriousActivation(Record):
    """Spurious activation in the mean and by pair, in percentage points."""

    pairs: Count
    measured: Count
    mean: Points | None
    true_association: Points | None
    interval: Ends | None
    each: list[SpuriousPair]


class Description(Record):
    """What a method says of itself; see `Method.describe`."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    title: Text
    trainable: Count
    conditions: list[Text] | None = None
    prompts: list[Text] | None = None


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


class YardstickRow(CustomaryMetrics):
    """The metrics of a yardstick."""

    name: Name
    title: Text
    threshold: Probability
    spurious: Points | None = None
    """The mean spurious activation."""


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
