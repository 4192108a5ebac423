"""What users are told before training."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.trainer.tiny import random_clip
from trainer.advice import advice, confused_labels
from trainer.backbone.load import load_backbone
from trainer.config.data import DataConfig
from trainer.data.registry import load_dataset

DATA = load_dataset(DataConfig(sites=1, images_per_site=2, validation_images=1, test_images=1))


def test_the_drawn_world_on_its_own_clip_needs_none() -> None:
    assert advice(DATA, load_backbone("scenes-tiny", None)) == []


def test_own_images_on_the_toy_clip_are_told_what_to_use() -> None:
    said = advice(replace(DATA, name="table"), load_backbone("scenes-tiny", None))
    assert len(said) == 1
    assert "--backbone ViT-B-16-quickgelu --pretrained openai" in said[0]


def test_labels_that_read_the_same_are_named() -> None:
    clip = random_clip()
    # Letter case is nothing to the tokenizer, so these features are equal.
    assert confused_labels(("Cat", "cat"), clip)[0][:2] == ("Cat", "cat")
    assert confused_labels(("Cat", "cat"), clip)[0][2] == pytest.approx(1, abs=1e-5)
    clip.name = "a CLIP"
    (said,) = advice(replace(DATA, label_names=("Cat", "cat", *DATA.label_names[2:]), name="table"), clip)[:1]
    assert "'Cat' and 'cat' (1.000)" in said


def test_long_images_are_told_unless_they_are_seen_whole() -> None:
    clip = load_backbone("scenes-tiny", None)
    assert "backbone.resize" in advice(replace(DATA, elongated=0.5), clip)[0]
    assert advice(replace(DATA, elongated=0.1), clip) == []
    clip = load_backbone("scenes-tiny", None, resize="squash")
    assert advice(replace(DATA, elongated=0.5), clip) == []
