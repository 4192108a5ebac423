"""The schemas of metrics in a run folder's files. Percentages are metrics as in `trainer.evaluation.metrics`."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from trainer.run.record_types import Count, Name, Percentage, Points, Probability, Record, Rounds, Text

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


class SiteRow(Record):
    """What a site of a federation told.

    Attributes:
        client: its number.
        training_images: how many it has, as it said; None if it was never there.
        answered: whether it answered the question for its test images.
        images: the test images that it counted; 0 if it has none, or tells nothing of them.
        figures: on these; without mAP unless it sent scores.
    """

    client: Count
    training_images: Count | None
    answered: bool
    images: Count
    figures: CustomaryMetrics | None


class SitesRecord(Record):
    """sites.json: what the sites of a federation over several machines told of their own images.

    Attributes:
        rounds, threshold: of the model that they evaluated.
        own_models: whether each evaluated its own model, with the parts that it alone has.
        together: the figures of all sites' test images; None if nobody told any.
        each: by client.
    """

    rounds: Rounds
    threshold: Probability
    own_models: bool = False
    together: CustomaryMetrics | None
    each: list[SiteRow] = Field(min_length=1)


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


class YardstickRow(CustomaryMetrics):
    """The metrics of a yardstick."""

    name: Name
    title: Text
    threshold: Probability
    spurious: Points | None = None
    """The mean spurious activation."""
