"""The natural world: place, light and activity cause what is in a picture, by the rules of rules.py.

The sites see some of the places, each mostly three, in one light more than others, and tie pairs of labels; validation
and test images mix all places evenly, tie nothing, and show some objects out of their usual place.
Shape letters: M sets of habits, P places, L lights, A activities, C labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from trainer.data.scenes.backgrounds import SCENES
from trainer.data.scenes.compose import Spec
from trainer.data.scenes.cooccurrence import habits
from trainer.data.scenes.light import LIGHTS
from trainer.data.scenes.objects import CLASSES
from trainer.data.scenes.rules import (
    ACTIVITY_AT,
    BY_ACTIVITY,
    BY_LIGHT,
    LABELS_AT,
    LIGHT_AT,
    MAIN_FIRST,
    MOST_LABELS,
    SITE_LIGHT,
    SITE_SHARES,
)

RULES_VERSION = 1
"""Raised whenever rules.py or the drawing by it changes, as `scenes.VERSION`."""

PLACES: tuple[str, ...] = tuple(SCENES)
ACTIVITIES: tuple[str, ...] = tuple(BY_ACTIVITY)
CONDITIONS: dict[str, tuple[str, ...]] = {"place": PLACES, "light": LIGHTS, "activity": ACTIVITIES}
"""The causes with their values, in the order of the axes of all arrays here."""


@dataclass(frozen=True)
class Surroundings:
    """What a site's images have in common.

    Attributes:
        places: three places, in shares of `SITE_SHARES`.
        others: all places that any site of the world sees.
        light: the light that is more frequent there; its main place knows it.
        pairs: twelve pairs of labels that cover all of them. No cause ties them: these are the spurious ones.
    """

    places: tuple[str, ...]
    others: tuple[str, ...]
    light: str
    pairs: tuple[tuple[str, str], ...]


def surroundings(site: int, seed: tuple[int, ...], seen: int) -> Surroundings:
    """A site's surroundings. Main places go round among those that sites see; its two others are drawn.

    Args:
        site: its number.
        seed: of the world.
        seen: how many places the sites see between them, 3 at the least.
    """
    order = [PLACES[i] for i in np.random.default_rng(seed).permutation(len(PLACES)) if PLACES[i] != MAIN_FIRST]
    known = (MAIN_FIRST, *order)[:seen]
    main = known[site % seen]
    rng = np.random.default_rng((*seed, site))
    pairs = habits(site, rng).pairs
    further = rng.choice([place for place in known if place != main], size=2, replace=False)
    lights = [light for light in LIGHTS if light in LIGHT_AT[main]]
    return Surroundings((main, *map(str, further)), known, lights[site % len(lights)], pairs)


@dataclass(frozen=True)
class Circumstances:
    """Under which circumstances images are taken: what decides their labels.

    Attributes:
        weights: (M, P, L, A) how often each place, light and activity come together, in each of M sets of habits; they
            sum to 1.
        chances: (M, P, L, A, C) chance of each label on its own, before ties and the number of labels are looked at.
        ties: (M,) how often a pair is tied: where one of it would come alone, both come, or neither.
        pairs: (C / 2, 2) labels that are tied.
    """

    weights: np.ndarray
    chances: np.ndarray
    ties: np.ndarray
    pairs: np.ndarray

    def draw(self, rng: np.random.Generator) -> Spec:
        """A picture's circumstances, then its labels, again and again until there are 1 to `MOST_LABELS`."""
        drawn = np.unravel_index(rng.choice(self.weights.size, p=self.weights.ravel()), self.weights.shape)
        set_of_habits, place, light, activity = drawn
        there = np.zeros(len(CLASSES), bool)
        while not 1 <= there.sum() <= MOST_LABELS:
            there = rng.random(len(CLASSES)) < self.chances[drawn]
            tied = rng.random(len(self.pairs)) < self.ties[set_of_habits]
            both = rng.random(len(self.pairs)) < 0.5
            changed = tied & (there[self.pairs].sum(1) == 1)
            there[self.pairs[changed]] = both[changed, None]
        names = tuple(CLASSES[i] for i in rng.permutation(np.flatnonzero(there)))
        return Spec(PLACES[place], LIGHTS[light], names, ACTIVITIES[activity])


@cache
def everywhere(unusual: float, places: tuple[str, ...] = PLACES) -> Circumstances:
    """Places alike, as in validation and test images; nothing is tied.

    Args:
        unusual: the share of objects out of their usual place. All labels that the place doesn't list have the same
            part of it.
        places: which.
    """
    usual, at_home = _chances()
    strangers = ~at_home[:, None, None, :]
    shared = usual.sum(-1, keepdims=True) / strangers.sum(-1, keepdims=True)
    chances = (1 - unusual) * usual + unusual * shared * strangers
    weights = _weights(dict.fromkeys(places, 1 / len(places)))
    return Circumstances(weights[None], chances[None], np.zeros(1), np.arange(len(CLASSES)).reshape(-1, 2))


def at_site(own: Surroundings, strength: float, ties: float) -> Circumstances:
    """A site's own surroundings with probability `strength`, else all places that sites see; no object is unusual.

    Args:
        own: its surroundings.
        strength: how often they hold.
        ties: how often its pairs are tied where they hold.
    """
    shares = dict(zip(own.places, SITE_SHARES, strict=True))
    other = everywhere(0.0, own.others)
    return Circumstances(
        weights=np.concatenate([strength * _weights(shares, own.light)[None], (1 - strength) * other.weights]),
        chances=np.concatenate([other.chances, other.chances]),
        ties=np.array([ties, 0.0]),
        pairs=np.array([[CLASSES.index(name) for name in pair] for pair in own.pairs]),
    )


def _weights(shares: dict[str, float], light: str = "") -> np.ndarray:
    """(P, L, A) from shares of places; a light, where one is named, is more likely than elsewhere."""
    weights = np.zeros((len(PLACES), len(LIGHTS), len(ACTIVITIES)))
    for place, share in shares.items():
        weights[PLACES.index(place)] = share * _at(place, light)
    return weights / weights.sum()


def _at(place: str, light: str = "") -> np.ndarray:
    """(L, A) P(light, activity | place)."""
    lights = np.array([LIGHT_AT[place].get(name, 0.0) * (SITE_LIGHT if name == light else 1.0) for name in LIGHTS])
    return np.outer(lights / lights.sum(), [ACTIVITY_AT[place][name] for name in ACTIVITIES])


@cache
def _chances() -> tuple[np.ndarray, np.ndarray]:
    """(P, L, A, C) chances of labels by the rules, and (P, C) which labels a place lists.

    The odds that a place starts from are such that over its own lights and activities the chance is `LABELS_AT`'s.
    """
    wanted = np.array([[LABELS_AT[place].get(name, 0.0) for name in CLASSES] for place in PLACES])
    by_light = np.array([[BY_LIGHT[light].get(name, 1.0) for name in CLASSES] for light in LIGHTS])
    by_activity = np.array([[BY_ACTIVITY[activity].get(name, 1.0) for name in CLASSES] for activity in ACTIVITIES])
    factors = by_light[:, None] * by_activity
    shares = np.stack([_at(place) for place in PLACES])

    def chances(logarithm: np.ndarray) -> np.ndarray:
        odds = np.exp(logarithm)[:, None, None] * factors
        return odds / (1 + odds)

    low, high = np.full_like(wanted, -12.0), np.full_like(wanted, 12.0)
    for _ in range(60):
        middle = (low + high) / 2
        above = np.einsum("pla,plac->pc", shares, chances(middle)) > wanted
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    at_home = wanted > 0
    return np.where(at_home[:, None, None], chances(high), 0.0), at_home
