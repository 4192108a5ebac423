"""The knowledge of conditions that a run's method gets, by its settings (`method.context`)."""

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

BATCH_SIZE = 500
"""Images per batch when the sites' annotations are counted."""


def build_knowledge(
    config: RunConfig,
    dataset: MultiLabelDataset,
    clip: FrozenClip,
    bank: Bank | None,
    training_images: Callable[[], BatchSource],
) -> Knowledge | None:
    """The knowledge for `config.method.context`; None if the method has no context.

    Args:
        config: of the run.
        dataset: its labels are used.
        clip: encodes the values.
        bank: the prompt bank, if the user gave one.
        training_images: their features, for `context=sites`.

    Raises:
        TrainerError: no bank although one is needed, or a bank without affinities (for `sites`, without values).
    """
    settings = config.method
    if not isinstance(settings, ContextConfig) or settings.context == "none":
        return None
    table = _table(settings, config, dataset, clip, bank, training_images)
    return tables.to_knowledge(settings, table, clip, dataset.label_names)


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
        return tables.oracle_table(_world(config), only)
    if bank is None:
        raise TrainerError(f"method.context={settings.context} needs a prompt bank: --bank bank.json")
    same_labels(bank, dataset.label_names)
    if settings.context == "sites":
        return tables.site_table(bank, only, _observed(settings, clip, bank, training_images()))
    table = tables.bank_table(bank, dataset.label_names, only)
    if settings.context == "bank":
        return table
    order = numpy_generator(settings.context_seed, "context").permutation(len(dataset.label_names))
    return table.permuted(order)


def _world(config: RunConfig) -> AnyWorld | None:
    data = config.data
    if data.dataset != "scenes":
        return None
    return world_of(data.seed, data.sites, data.images_per_site, data.strength, data.shift, data.scenes)


def _observed(settings: ContextConfig, clip: FrozenClip, bank: Bank, images: BatchSource) -> tables.ObservedLifts:
    values = [c.values for c in tables.conditions_with_values(bank, settings.context_conditions)]
    features = tables.encode_values(clip, settings.context_template, [value for one in values for value in one])
    scale = clip.scale / settings.context_temperature
    return tables.observe_lifts(images.batches(BATCH_SIZE), features, tables.membership(values), scale)
