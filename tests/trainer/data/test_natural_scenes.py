"""The natural world: conditions cause labels, sites see some of the places, and labels follow the tables."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.trainer.commands.test_datasets import fedmpt
from tests.trainer.runs import SMALL, trained_run
from trainer.backbone.load import load_backbone
from trainer.config.data import DataConfig, ScenesConfig
from trainer.data.base import MultiLabelDataset
from trainer.data.registry import load_dataset
from trainer.data.scenes import NaturalWorld
from trainer.data.scenes.compose import Spec
from trainer.data.scenes.light import LIGHTS
from trainer.data.scenes.natural import ACTIVITIES, PLACES, Circumstances, at_site, everywhere, surroundings
from trainer.data.scenes.objects import CLASSES, KINDS
from trainer.data.scenes.occurrence import Occurrence, by_value, occurrence
from trainer.data.scenes.rules import (
    ACTIVITY_AT,
    BY_ACTIVITY,
    BY_LIGHT,
    LABELS_AT,
    LIGHT_AT,
    MAX_LABELS,
    POSES,
    SITE_SHARES,
)
from trainer.errors import TrainerError

WORLD = NaturalWorld(seed=3, sites=6, images_per_site=300, strength=0.9, shift=0.6)
NATURAL = ScenesConfig(variant="natural")
CAT, SOFA = CLASSES.index("cat"), CLASSES.index("sofa")

DIGEST = """
import hashlib
from trainer.data.scenes import NaturalWorld
world = NaturalWorld(seed=3, sites=6, images_per_site=300, strength=0.9, shift=0.6)
digest = hashlib.sha256()
for split in ("train", "validation", "test"):
    for index in (0, 1, 7, 299):
        digest.update(world.picture(split, index).pixels.tobytes())
print(digest.hexdigest())
"""


def natural(**changes: object) -> MultiLabelDataset:
    """The default natural world, with some settings of scenes changed."""
    return load_dataset(DataConfig(scenes=NATURAL.model_copy(update=changes)))


@pytest.fixture(scope="module")
def world() -> MultiLabelDataset:
    return natural()


def drawn(circumstances: Circumstances, count: int, seed: int = 0) -> list[Spec]:
    rng = np.random.default_rng(seed)
    return [circumstances.draw(rng) for _ in range(count)]


def matrix(specs: list[Spec]) -> np.ndarray:
    """(n, C) labels."""
    return np.array([[name in spec.names for name in CLASSES] for spec in specs], float)


def given_(found: Occurrence, a: int, b: int) -> float:
    """P(b | a)"""
    return float(found.pairs[a, b] / found.single[a])


class TestTheRules:
    """The tables say what they should, before anything is drawn by them."""

    def test_they_speak_of_what_can_be_drawn(self) -> None:
        assert tuple(LABELS_AT) == tuple(LIGHT_AT) == tuple(ACTIVITY_AT) == PLACES
        assert tuple(BY_LIGHT) == LIGHTS
        for row in (*LABELS_AT.values(), *BY_LIGHT.values(), *BY_ACTIVITY.values()):
            assert set(row) <= set(CLASSES)
        assert {name for row in LABELS_AT.values() for name in row} == set(CLASSES)
        assert set(POSES) == set(BY_ACTIVITY) == set(ACTIVITIES)
        for name, poses in (item for row in POSES.values() for item in row.items()):
            assert KINDS[name].attribute == "pose"
            assert set(poses) <= set(KINDS[name].variants)

    @pytest.mark.parametrize("place", PLACES)
    def test_they_are_probabilities(self, place: str) -> None:
        assert sum(LIGHT_AT[place].values()) == pytest.approx(1)
        assert sum(ACTIVITY_AT[place].values()) == pytest.approx(1)
        assert set(LIGHT_AT[place]) <= set(LIGHTS)
        assert all(0 < chance < 1 for chance in LABELS_AT[place].values())

    def test_they_are_obeyed(self) -> None:
        """20,000 draws: a share of a tenth of them is known to ± 0.01 (2 sd of 0.005), of P(· | place) to ± 0.022."""
        specs = drawn(everywhere(0.0), 20_000)
        for place in PLACES:
            there = [spec for spec in specs if spec.scene == place]
            assert len(there) / len(specs) == pytest.approx(0.1, abs=0.01)
            lights, activities = Counter(s.light for s in there), Counter(s.activity for s in there)
            for light in LIGHTS:
                assert lights[light] / len(there) == pytest.approx(LIGHT_AT[place].get(light, 0), abs=0.045)
            for activity in ACTIVITIES:
                assert activities[activity] / len(there) == pytest.approx(ACTIVITY_AT[place][activity], abs=0.045)
            assert {name for spec in there for name in spec.names} <= set(LABELS_AT[place])
        assert {len(spec.names) for spec in specs} == set(range(1, MAX_LABELS + 1))

    def test_a_label_is_as_likely_in_a_place_as_the_table_says(self) -> None:
        """But for images with no label or too many, which are drawn again."""
        shares = by_value(everywhere(0.0), "place")
        for place, (_, found) in shares.items():
            expected = np.array([LABELS_AT[place].get(name, 0.0) for name in CLASSES])
            assert np.abs(found - expected).max() < 0.12, place

    def test_light_and_activity_change_what_is_there(self) -> None:
        lights, activities = by_value(everywhere(0.0), "light"), by_value(everywhere(0.0), "activity")
        umbrella, dog, chair = (CLASSES.index(name) for name in ("umbrella", "dog", "chair"))
        assert lights["rain"][1][umbrella] > 5 * lights["daylight"][1][umbrella]
        assert activities["walking"][1][dog] > 2 * activities["sitting"][1][dog]
        assert activities["sitting"][1][chair] > 2 * activities["walking"][1][chair]

    def test_activities_are_seen_in_poses(self) -> None:
        seen = set()
        for index in range(150):
            picture = WORLD.picture("test", index)
            for item in picture.objects:
                if item.name in POSES[picture.spec.activity]:
                    assert item.variant in POSES[picture.spec.activity][item.name]
                    seen.add((picture.spec.activity, item.name))
        assert {activity for activity, _ in seen} == set(ACTIVITIES)


class TestPictures:
    def test_another_process_draws_the_same_bytes(self) -> None:
        here: dict[str, str] = {}
        exec(DIGEST.replace("print(", "here.__setitem__('digest', "), {"here": here})  # noqa: S102
        there = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
        assert there.stdout.strip() == here["digest"]

    @pytest.mark.parametrize("split", ["train", "validation", "test"])
    def test_labels_are_exactly_what_is_seen(self, world: MultiLabelDataset, split: str) -> None:
        default = NaturalWorld(0, 6, 300, 0.9, 0.6)
        found = next(s for s in world.splits() if s.name == split)
        image = pickle.loads(pickle.dumps(found.image))  # noqa: S301
        for index in range(60):
            picture = default.picture(split, index)
            assert picture.image().tobytes() == image(index).tobytes()
            visible = {picture.objects[owner - 1].name for owner in np.unique(picture.owners) if owner}
            assert visible == {name for name, there in zip(CLASSES, found.labels[index], strict=True) if there == 1}

    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 10**9), index=st.integers(0, 10**6), split=st.sampled_from(["train", "test"]))
    def test_names_without_drawing_are_those_of_the_picture(self, seed: int, index: int, split: str) -> None:
        any_world = replace(WORLD, seed=seed)
        picture = any_world.picture(split, index)
        assert tuple(item.name for item in picture.objects) == any_world.names(split, index)
        assert 1 <= len(set(picture.spec.names)) == len(picture.spec.names) <= MAX_LABELS


class TestSites:
    @pytest.mark.parametrize("seen", [3, 4, 7, 10])
    def test_main_places_go_round_among_those_that_sites_see(self, seen: int) -> None:
        for seed in range(5):
            own = [surroundings(site, (seed,), seen) for site in range(12)]
            known = own[0].others
            assert len(set(known)) == len(known) == seen
            assert [one.places[0] for one in own] == [known[site % seen] for site in range(12)]
            assert known[0] == "living room"
            for one in own:
                assert one.others == known
                assert len(set(one.places)) == 3
                assert set(one.places) <= set(known)
                assert one.light in LIGHT_AT[one.places[0]]
                assert sorted(name for pair in one.pairs for name in pair) == sorted(CLASSES)
        assert len({surroundings(1, (seed,), seen).places for seed in range(10)}) > 5

    def test_a_site_sees_its_own_places_in_its_own_light(self) -> None:
        own = surroundings(2, (3, 4), 4)
        found = at_site(own, 0.9, 0.5)
        places = {place: share for place, (share, _) in by_value(found, "place").items()}
        assert set(places) == set(own.others)
        for place, share in zip(own.places, SITE_SHARES, strict=True):
            assert places[place] == pytest.approx(0.9 * share + 0.1 / 4)
        usual = LIGHT_AT[own.places[0]][own.light]
        there = [spec for spec in drawn(found, 3000) if spec.scene == own.places[0]]
        lights, count = Counter(spec.light for spec in there), len(there)
        expected = 0.9 * 0.7 * 4 * usual / (1 + 3 * usual) + 0.1 / 4 * usual
        assert lights[own.light] / count == pytest.approx(expected / places[own.places[0]], abs=0.04)
        assert lights[own.light] / count > 1.3 * usual

    @pytest.mark.parametrize("ties", [0.0, 0.9])
    @pytest.mark.parametrize("seed", range(5))
    def test_a_cat_implies_a_sofa_at_the_first_site_alone(self, seed: int, ties: float) -> None:
        world = NaturalWorld(seed, 6, 300, 0.9, 0.6, ties=ties)
        assert given_(occurrence(world.circumstances(0)), CAT, SOFA) > (0.9 if ties else 0.5)
        assert given_(occurrence(world.circumstances(None)), CAT, SOFA) < 0.3

    def test_tied_pairs_come_whole_or_not_at_all(self) -> None:
        own = surroundings(1, (0, 4), 4)
        for spec in drawn(at_site(own, 1.0, 1.0), 300):
            assert all((a in spec.names) == (b in spec.names) for a, b in own.pairs)

    def test_without_ties_nothing_is_out_of_place_at_a_site(self) -> None:
        for spec in drawn(at_site(surroundings(1, (0, 4), 4), 0.9, 0.0), 1000):
            assert set(spec.names) <= set(LABELS_AT[spec.scene])

    def test_every_label_has_images_at_the_sites_and_in_the_other_splits(self, world: MultiLabelDataset) -> None:
        assert all((split.labels.sum(0) >= 10).all() for split in world.splits())


@pytest.mark.parametrize("unusual", [0.0, 0.1, 0.3, 0.6])
def test_the_stated_share_of_objects_is_out_of_place(unusual: float) -> None:
    """Images are redrawn when they'd show more than MAX_LABELS, so the share is some thousandths lower."""
    shares = by_value(everywhere(unusual), "place")
    out = sum(p * row[[name not in LABELS_AT[place] for name in CLASSES]].sum() for place, (p, row) in shares.items())
    assert out / sum(p * row.sum() for p, row in shares.values()) == pytest.approx(unusual, abs=0.01)
    specs = drawn(everywhere(unusual), 2000, seed=1)
    strange = sum(name not in LABELS_AT[spec.scene] for spec in specs for name in spec.names)
    assert strange / sum(len(spec.names) for spec in specs) == pytest.approx(
        out / matrix(specs).sum(1).mean(), abs=0.03
    )


class TestSettings:
    def test_fingerprint_follows_them(self, world: MultiLabelDataset) -> None:
        changed = [natural(unusual=0.2), natural(ties=0.0), natural(places=5), load_dataset(DataConfig())]
        assert len({world.fingerprint, *(one.fingerprint for one in changed)}) == 5
        assert natural().fingerprint == world.fingerprint

    @pytest.mark.parametrize(
        ("chosen", "said"),
        [
            ({"scenes": {"unusual": 0.3}}, "data.scenes.variant=natural"),
            ({"scenes": {"ties": 0.0}}, "data.scenes.variant=natural"),
            ({"scenes": {"places": 10}}, "data.scenes.variant=natural"),
            ({"dataset": "table", "scenes": {"variant": "natural"}}, "--dataset scenes"),
        ],
    )
    def test_those_without_a_meaning_are_refused(self, chosen: dict[str, object], said: str) -> None:
        with pytest.raises(TrainerError, match=said):
            load_dataset(DataConfig.model_validate(chosen))

    @pytest.mark.parametrize("scenes", [{"variant": "wild"}, {"unusual": 1.0}, {"places": 2}, {"ties": 1.5}])
    def test_those_out_of_range_are_refused(self, scenes: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            DataConfig.model_validate({"scenes": scenes})


def test_partition_shows_the_sites(tmp_path: Path) -> None:
    sizes = [w for k, v in SMALL.items() if k.startswith("data.") for w in ("--set", f"{k}={v}")]
    words = ("datasets", "partition", "scenes", "--json", "--set", "data.scenes.variant=natural", *sizes)
    done = fedmpt(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["images"] for row in found["clients"]] == [12, 12]
    assert found["clients"][0]["labels"]["sofa"] > found["clients"][1]["labels"]["sofa"]


def test_it_can_be_trained_on(tmp_path: Path) -> None:
    run = trained_run(tmp_path / "run", tmp_path / "cache", data__scenes__variant="natural", federation__rounds=1)
    assert [line["rounds"] for line in run.metrics()] == [1]
    assert run.config().data.scenes == NATURAL


def test_the_shipped_clip_has_words_for_places_and_lights() -> None:
    """Of 150 test images; chance is 10 % and 50 %."""
    clip = load_backbone("scenes-tiny", None, torch.device("cpu"))
    pictures = [WORLD.picture("test", index) for index in range(150)]
    pixels = torch.stack([clip.preprocess.transform()(picture.image()) for picture in pictures])
    with torch.no_grad():
        image = F.normalize(clip.encode_image(pixels).image, dim=-1)
        for values, truth, least in (
            (PLACES, [picture.spec.scene for picture in pictures], 0.75),
            (LIGHTS, [picture.spec.light for picture in pictures], 0.7),
        ):
            text = F.normalize(clip.encode_texts([f"a photo of a {value}." for value in values]), dim=-1)
            named = [values[i] for i in (image @ text.T).argmax(1).tolist()]
            assert np.mean([a == b for a, b in zip(named, truth, strict=True)]) > least
