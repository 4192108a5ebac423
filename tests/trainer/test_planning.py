"""Rounds and batch size from the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainer.config.sections import FederationConfig, OptimiserConfig
from trainer.config.settings import settled
from trainer.data.base import Split
from trainer.errors import TrainerError
from trainer.planning import LARGEST_BATCH, LEAST_ROUNDS, MOST_ROUNDS, SMALLEST_BATCH, plan, settle
from trainer.resolving import resolve
from trainer.run_config import RunConfig


def split(sizes: list[int]) -> Split:
    sites = np.repeat(np.arange(len(sizes)), sizes)
    ids = tuple(f"{i:06d}" for i in range(len(sites)))
    return Split("train", ids, np.zeros((len(sites), 2), np.int8), sites, lambda _: Image.new("RGB", (1, 1)))


def numbers(config: RunConfig) -> tuple[object, object, object]:
    return config.federation.rounds, config.optimiser.batch_size, config.federation.patience


def test_data_of_the_drawn_worlds_size_keep_its_numbers() -> None:
    settled_config = settle(resolve(), split([300] * 6))
    assert numbers(settled_config) == (12, 50, 12)
    assert plan(settled_config, split([300] * 6), 1).steps == 12 * 6 * 6


def test_small_sites_make_as_many_steps_a_round_and_see_as_many_images() -> None:
    found = settle(resolve(), split([45, 45, 45]))
    assert numbers(found) == (160, 8, 53)
    planned = plan(found, split([45, 45, 45]), 1)
    assert planned.steps_a_round == (6, 6)
    assert planned.steps == 160 * 3 * 6
    assert plan(found, split([45, 45, 45]), 0).steps == 0


def test_what_is_set_stays_and_then_all_rounds_run() -> None:
    chosen = {"federation.rounds": 7, "optimiser.batch_size": 3}
    assert numbers(settle(resolve(overrides=chosen), split([45]))) == (7, 3, None)
    assert numbers(settle(resolve(overrides={"federation.patience": 4}), split([45])))[2] == 4
    assert numbers(settle(resolve(overrides={"federation.patience": None}), split([45])))[2] is None


@pytest.mark.parametrize(("preset", "expected"), [("paper", (50, 32, None)), ("released", (50, 32, None))])
def test_presets_keep_their_numbers(preset: str, expected: tuple[object, ...]) -> None:
    assert numbers(settle(resolve(preset=preset), split([20, 30]))) == expected


@given(sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=20), participation=st.floats(0.05, 1))
def test_settled_numbers_are_within_bounds_and_settled_once(sizes: list[int], participation: float) -> None:
    train = split(sizes)
    found = settle(resolve(overrides={"federation.participation": participation}), train)
    assert LEAST_ROUNDS <= settled(found.federation.rounds, "rounds") <= MOST_ROUNDS
    assert SMALLEST_BATCH <= settled(found.optimiser.batch_size, "batch") <= LARGEST_BATCH
    assert settle(found, train) == found
    assert RunConfig.model_validate_json(found.model_dump_json(), strict=True) == found


def test_accumulation_and_local_epochs_count() -> None:
    chosen = {"optimiser.batch_size": 5, "optimiser.accumulation": 2, "federation.rounds": 4}
    chosen["federation.local_epochs"] = 3
    planned = plan(resolve(overrides=chosen), split([20, 40]), 1)
    assert planned.steps_a_round == (9, 12)
    assert planned.steps == 4 * (6 + 12)


@pytest.mark.parametrize("value", [0, -1, "many", True, 2.5, None])
def test_a_batch_is_a_number_or_auto(value: object) -> None:
    with pytest.raises(TrainerError, match=r"'optimiser.batch_size': write a whole number of at least 1, or auto"):
        resolve(overrides={"optimiser.batch_size": value})


def test_training_needs_settled_numbers() -> None:
    with pytest.raises(ValueError, match="rounds is auto"):
        settled(FederationConfig().rounds, "federation.rounds")
    assert OptimiserConfig().batch_size == "auto"


def test_a_run_records_numbers(tmp_path: Path) -> None:
    from tests.trainer.small_runs import prepared

    config = resolve(overrides={"data.sites": 2, "data.images_per_site": 12, "method.name": "coop"})
    ready = prepared(config, tmp_path)
    assert numbers(ready.config) == (200, 8, 66)
