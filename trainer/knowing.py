"""What a run's method knows of conditions, from its settings: `method.context`."""

from __future__ import annotations

from collections.abc import Callable

from prompt_bank.schema import Bank
from trainer.backbone.clip import FrozenClip
from trainer.data.base import MultiLabelDataset
from trainer.data.batches import BatchSource
from trainer.data.scenes import AnyWorld, world_of
from trainer.errors import TrainerError
from trainer.heads import context_tables as tables
from trainer.heads.context import ContextConfig, Knowledge
from trainer.methods.condition_prompts import same_labels
from trainer.run_config import RunConfig
from trainer.seeding import numpy_generator

IMAGES_AT_ONCE = 500
"""Of the sites' images while they are counted."""


def known(
    config: RunConfig,
    dataset: MultiLabelDataset,
    clip: FrozenClip,
    bank: Bank | None,
    training_images: Callable[[], BatchSource],
) -> Knowledge | None:
    """The knowledge that the settings ask for; None where they ask for none.

    Args:
        config: of the run.
        dataset: whose labels it is about.
        clip: encodes the values' words.
        bank: the prompt bank.
        training_images: their features, for `context=sites`.

    Raises:
        TrainerError: no bank where it is needed, or one without affinities (values, for `sites`).
    """
    settings = config.method
    if not isinstance(settings, ContextConfig) or settings.context == "none":
        return None
    table = _table(settings, config, dataset, clip, bank, training_images)
    return tables.knowledge(settings, table, clip, dataset.label_names)


def _table(
    settings: ContextConfig,
    config: RunConfig,
    dataset: MultiLabelDataset,
    clip: FrozenClip,
    bank: Bank | None,
    training_images: Callable[[], BatchSource],
) -> tables.ContextTable:
    only = settings.context_conditions
    if settings.context == "oracle":
        return tables.of_world(_world(config), only)
    if bank is None:
        raise TrainerError(f"method.context={settings.context} needs a prompt bank: --bank bank.json")
    same_labels(bank, dataset.label_names)
    if settings.context == "sites":
        return tables.of_sites(bank, only, _counted(settings, clip, bank, training_images()))
    table = tables.of_bank(bank, dataset.label_names, only)
    if settings.context == "bank":
        return table
    order = numpy_generator(settings.context_seed, "context").permutation(len(dataset.label_names))
    return table.permuted(order)


def _world(config: RunConfig) -> AnyWorld | None:
    data = config.data
    if data.dataset != "scenes":
        return None
    return world_of(data.seed, data.sites, data.images_per_site, data.strength, data.shift, data.scenes)


def _counted(settings: ContextConfig, clip: FrozenClip, bank: Bank, images: BatchSource) -> tables.Counted:
    values = [c.values for c in tables.valued(bank, settings.context_conditions)]
    features = tables.encoded(clip, settings.context_template, [value for one in values for value in one])
    scale = clip.scale / settings.context_temperature
    return tables.count(images.batches(IMAGES_AT_ONCE), features, tables.members(values), scale)
