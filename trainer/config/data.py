"""The settings of a run's data: which, who owns what, and which labels are hidden. Part of config.py's tree."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from trainer.config.settings import Settings


class PartitionConfig(Settings):
    """Which client owns which training image. Ids are sorted first, so the order of files doesn't matter."""

    kind: Literal["auto", "site", "kmeans", "dirichlet", "iid", "shards"] = "auto"
    """"auto" takes the data set's own sites where it has some, else kmeans. kmeans (the paper): clusters of softmaxed
    label vectors. dirichlet: each label's images are dealt out in proportions from Dirichlet(alpha). iid: at random.
    shards: images in the order of their labels are cut up, each client gets some pieces (McMahan et al., 2017)."""
    share: float = Field(1.0, gt=0)
    """t: round(t·C) clients; 0.1 to 1 in the paper."""
    clients: int | None = Field(None, ge=1)
    """K; None takes `share`."""
    alpha: float = Field(0.5, gt=0)
    """Of dirichlet; the smaller, the fewer labels a client has."""
    shards: int = Field(2, ge=1)
    """Pieces of each client."""
    least: int = Field(1, ge=1)
    """Images that each client must have; dirichlet is drawn again until all have them."""
    seed: int = Field(42, ge=0)
    """42 in the released program."""
    file: Path | None = None
    """A saved partition, which is used instead."""


class MaskConfig(Settings):
    """Which labels of training images were never annotated (METHOD.md §6)."""

    rate: float = Field(0.0, ge=0, le=1)
    """Probability with which a label is hidden."""
    of: Literal["positive", "known"] = "positive"
    """Whether absent labels are hidden too."""
    becomes: Literal["unknown", "negative"] | None = None
    """What a hidden label counts as; None: unknown, but negative where data.variant = "released"."""
    seed: int = Field(0, ge=0)


class TableConfig(Settings):
    """The data set `table`: images of your own (docs/datasets.md)."""

    file: Path | None = None
    """CSV, JSON lines or COCO JSON below data_root; None takes the only one that is there."""
    labels: Path | None = None
    """A file with one label a line, for their order and for labels without images; None takes those that occur."""
    test_share: float = Field(0.2, gt=0, lt=1)
    """Of the images, where the table says nothing about splits."""


class ScenesConfig(Settings):
    """The drawn world `scenes`: its variant, and what the natural one has more (docs/datasets.md)."""

    variant: Literal["tied", "natural"] = "tied"
    """"tied": each site ties pairs of labels, and in validation and test images nothing depends on anything. "natural":
    place, light and activity cause which labels appear, everywhere."""
    places: int = Field(4, ge=3, le=10)
    """Natural: how many of the ten places the sites see between them; validation and test images show all."""
    unusual: float = Field(0.1, ge=0, lt=1)
    """Natural: share of the objects in validation and test images that are out of their usual place."""
    ties: float = Field(0.9, ge=0, le=1)
    """Natural: how often a site's label pairs, which no cause ties, come both or not at all. At 0 labels that are at
    home in none of the sites' places never occur in training."""


class DataConfig(Settings):
    """Which data. The drawn world's own parameters apply to `scenes`, the others to images in files."""

    dataset: str = "scenes"
    seed: int = Field(0, ge=0)
    """Which drawn world: sites, pairs, images; elsewhere which images are set aside for validation and test."""
    sites: int = Field(6, ge=1)
    images_per_site: int = Field(300, ge=1)
    validation_images: int = Field(600, ge=1)
    test_images: int = Field(1500, ge=1)
    strength: float = Field(0.9, ge=0, le=1)
    """Probability that a site's habits (its light, its scenes, its label pairs) hold in one of its images; each on its
    own in the tied variant, all at once in the natural one."""
    shift: float = Field(0.6, ge=0, le=1)
    """How far each light is corrupted in a way that pretraining never saw; 0 not at all."""
    data_root: Path | None = None
    """The folder with the data set's files, in the layout in which it is published."""
    variant: Literal["clean", "released"] = "clean"
    """"released": filters and splits of the published program, as far as they don't mix test and training images."""
    validation: Literal["made", "published"] = "made"
    """"made": a share of the training images is set aside; "published": the data set's own (VOC2007 has one)."""
    validation_share: float = Field(0.1, gt=0, lt=1)
    min_labels: int | None = Field(None, ge=0)
    """Images with fewer labels are left out, of every split; None: 0, or as released."""
    difficult: Literal["unknown", "negative", "positive"] | None = None
    """What VOC's objects marked difficult count as; None: unknown, or negative as released."""
    crowd: Literal["positive", "unknown", "negative"] | None = None
    """What a label that COCO annotates as a crowd alone counts as; None: positive, or negative as released."""
    skip_unreadable: bool = False
    """Leave images out that are missing or can't be read; else they are an error."""
    scenes: ScenesConfig = ScenesConfig()
    table: TableConfig = TableConfig()
    partition: PartitionConfig = PartitionConfig()
    mask: MaskConfig = MaskConfig()
