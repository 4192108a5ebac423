"""Settings of the data: data set, partition among clients, masking of labels. Part of run_config.py's tree."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trainer.config.settings import Settings, SettingsPath


class PartitionConfig(Settings):
    """The partition of training images among clients. Ids are sorted first, so the order of files has no effect."""

    kind: Literal["auto", "site", "kmeans", "dirichlet", "iid", "shards"] = "auto"
    """"auto": the data set's own sites if it has any, otherwise kmeans. "kmeans" (the paper): clusters of softmaxed
    label vectors. "dirichlet": the images of each label are distributed in proportions from Dirichlet(alpha). "iid":
    at random. "shards": images sorted by label are cut into shards, several per client (McMahan et al., 2017)."""
    share: float = Field(1.0, gt=0)
    """t, for round(t·C) clients; 0.1 to 1 in the paper."""
    clients: int | None = Field(None, ge=1)
    """K, the number of clients; None: from `share`."""
    alpha: float = Field(0.5, gt=0)
    """Concentration of the Dirichlet distribution; smaller values give each client fewer labels."""
    shards: int = Field(2, ge=1)
    """Shards per client."""
    least: int = Field(1, ge=1)
    """Minimum number of images per client; dirichlet is redrawn until all clients have it."""
    seed: int = Field(42, ge=0)
    """Of the random partitions; 42 in the released program."""
    file: SettingsPath | None = None
    """A saved partition to use instead."""


class MaskConfig(Settings):
    """Masking of training labels, to simulate partial annotation (METHOD.md §6)."""

    rate: float = Field(0.0, ge=0, le=1)
    """Probability of masking a label."""
    of: Literal["positive", "known"] = "positive"
    """Labels that can be masked: positive ones, or all known ones."""
    becomes: Literal["unknown", "negative"] | None = None
    """The value of masked labels; None: unknown, or negative if data.variant = "released"."""
    seed: int = Field(0, ge=0)
    """Of the choice of masked labels."""


class TableConfig(Settings):
    """The data set `table`: the user's own images (docs/datasets.md)."""

    file: SettingsPath | None = None
    """The table (CSV, JSON lines or COCO JSON), relative to data_root; None: the only one in that folder."""
    labels: SettingsPath | None = None
    """A file with one label per line, which sets their order and may list labels without images; None: the labels that
    occur."""
    test_share: float = Field(0.2, gt=0, lt=1)
    """Fraction of test images, if the table has no splits."""


class ScenesConfig(Settings):
    """The drawn world `scenes`: its variant, and the settings of the natural variant (docs/datasets.md)."""

    variant: Literal["tied", "natural"] = "tied"
    """"tied": each site has spurious label pairs ("tied" pairs); in validation and test images all labels are
    independent. "natural": in all splits, place, light and activity determine how likely each label is."""
    places: int = Field(4, ge=3, le=10)
    """Natural: how many of the ten places occur at the sites; validation and test images show all ten."""
    unusual: float = Field(0.1, ge=0, lt=1)
    """Natural: fraction of objects in validation and test images that are out of their usual place."""
    ties: float = Field(0.9, ge=0, le=1)
    """Natural: how often the two labels of a site's spurious pair occur both or not at all. At 0, labels that belong to
    none of the sites' places never occur in training."""


class HfConfig(Settings):
    """Data set `hf`: the columns of a data set of Hugging Face `datasets`."""

    config: str | None = None
    """The configuration's name; None for the only one."""
    revision: str | None = None
    """A branch, tag or commit on the hub; None for the newest."""
    image: str | None = None
    """The column of images; None for the only one."""
    labels: str | None = None
    """The column of labels: classes, texts, or zeros and ones; None for `labels` or `label`; without these each column
    of numbers is a label."""
    names: SettingsPath | None = None
    """A file of labels, which names the places of lists of zeros and ones."""
    site: str | None = None
    """The column of owners; None for `site`, if there is one."""


class DataConfig(Settings):
    """The data set. `sites` to `shift` apply to `scenes`; the settings after them to images in files."""

    dataset: str = "scenes"
    """The data set's name; `fedmpt datasets list` has them all."""
    seed: int = Field(0, ge=0)
    """Of the drawn world (sites, pairs, images), or of the split into training, validation and test images."""
    sites: int = Field(6, ge=1)
    """Sites of the drawn world."""
    images_per_site: int = Field(300, ge=1)
    """Training images of each site."""
    validation_images: int = Field(600, ge=1)
    """Validation images of the drawn world; they belong to no site."""
    test_images: int = Field(1500, ge=1)
    """Test images of the drawn world; they belong to no site."""
    strength: float = Field(0.9, ge=0, le=1)
    """Probability that an image of a site follows the site's habits (light, scenes, label pairs); independently for
    each of them in the tied variant, jointly in the natural one."""
    shift: float = Field(0.6, ge=0, le=1)
    """Strength of the corruption of each light, which pretraining never saw; 0: none."""
    data_root: SettingsPath | None = None
    """The folder with the data set's files, in their published layout."""
    variant: Literal["clean", "released"] = "clean"
    """"released": the filters and splits of the published program, unless they mix test and training images."""
    validation: Literal["made", "published"] = "made"
    """"made": a fraction of the training images is held out; "published": the data set's own split (of VOC2007)."""
    validation_share: float = Field(0.1, gt=0, lt=1)
    """Fraction of the training images that is held out with validation = "made"."""
    min_labels: int | None = Field(None, ge=0)
    """Images with fewer labels are excluded from all splits; None: the variant's default."""
    difficult: Literal["unknown", "negative", "positive"] | None = None
    """The value of a VOC label whose objects are all marked difficult; None: unknown, or negative for "released"."""
    crowd: Literal["positive", "unknown", "negative"] | None = None
    """The value of a COCO label annotated only as a crowd; None: positive, or negative for "released"."""
    skip_unreadable: bool = False
    """Skip images that are missing or unreadable, instead of raising an error."""
    scenes: ScenesConfig = ScenesConfig()
    """Settings of the drawn world alone."""
    table: TableConfig = TableConfig()
    """Settings of the data set `table` alone."""
    hf: HfConfig = HfConfig()
    """Settings of the data set `hf` alone."""
    partition: PartitionConfig = PartitionConfig()
    """Who owns which training images."""
    mask: MaskConfig = MaskConfig()
    """Hidden training labels."""
