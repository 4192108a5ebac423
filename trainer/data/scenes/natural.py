"""The natural variant: place, light and activity determine the label probabilities, by the tables of rules.py.

The sites see some of the places: each mostly shows three places, one light more often than others, and spurious label
pairs. Validation and test images show all places uniformly, have no spurious pairs, and some objects are out of their
usual place. Shape letters: M mixture components, P places, L lights, A activities, C labels.
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
    FIRST_MAIN_PLACE,
    LABELS_AT,
    LIGHT_AT,
    MAX_LABELS,
    SITE_LIGHT,
    SITE_SHARES,
)

RULES_VERSION = 1
"""Incremented whenever rules.py or the sampling changes; see `scenes.VERSION`."""

PLACES: tuple[str, ...] = tuple(SCENES)
ACTIVITIES: tuple[str, ...] = tuple(BY_ACTIVITY)
CONDITIONS: dict[str, tuple[str, ...]] = {"place": PLACES, "light": LIGHTS, "activity": ACTIVITIES}
"""The conditions and their values, in the order of the array axes."""


@dataclass(frozen=True)
class Surroundings:
    """The biases of a site's images.

    Attributes:
        places: three places, with frequencies `SITE_SHARES`.
        others: all places that any site of the world sees.
        light: the light that is more frequent at the site; it occurs at the main place.
        pairs: twelve label pairs that cover all labels. They are spurious: no condition causes them.
    """

    places: tuple[str, ...]
    others: tuple[str, ...]
    light: str
    pairs: tuple[tuple[str, str], ...]


def surroundings(site: int, seed: tuple[int, ...], seen: int) -> Surroundings:
    """Sample a site's surroundings. Main places are assigned cyclically, the site's two other places at random.

    Args:
        site: its number.
        seed: of the world.
        seen: number of places that occur at the sites, at least 3.
    """
    order = [PLACES[i] for i in np.random.default_rng(seed).permutation(len(PLACES)) if PLACES[i] != FIRST_MAIN_PLACE]
    known = (FIRST_MAIN_PLACE, *order)[:seen]
    main = known[site % seen]
    rng = np.random.default_rng((*seed, site))
    pairs = habits(site, rng).pairs
    further = rng.choice([place for place in known if place != main], size=2, replace=False)
    lights = [light for light in LIGHTS if light in LIGHT_AT[main]]
    return Surroundings((main, *map(str, further)), known, lights[site % len(lights)], pairs)


@dataclass(frozen=True)
class Circumstances:
    """The distribution of labels: a mixture of M components over conditions, with label probabilities given them.

    Attributes:
        weights: (M, P, L, A) joint probability of component, place, light and activity; sums to 1.
        chances: (M, P, L, A, C) probability of each label, before ties and the limits on the number of labels.
        ties: (M,) probability that a pair is tied: if only one of its labels would occur, both or neither do.
        pairs: (C / 2, 2) the tied labels.
    """

    weights: np.ndarray
    chances: np.ndarray
    ties: np.ndarray
    pairs: np.ndarray

    def draw(self, rng: np.random.Generator) -> Spec:
        """Sample the conditions of an image, then its labels, which are redrawn until there are 1 to `MAX_LABELS`."""
        drawn = np.unravel_index(rng.choice(self.weights.size, p=self.weights.ravel()), self.weights.shape)
        component, place, light, activity = drawn
        there = np.zeros(len(CLASSES), bool)
        while not 1 <= there.sum() <= MAX_LABELS:
            there = rng.random(len(CLASSES)) < self.chances[drawn]
            tied = rng.random(len(self.pairs)) < self.ties[component]
            both = rng.random(len(self.pairs)) < 0.5
            changed = tied & (there[self.pairs].sum(1) == 1)
            there[self.pairs[changed]] = both[changed, None]
        names = tuple(CLASSES[i] for i in rng.permutation(np.flatnonzero(there)))
        return Spec(PLACES[place], LIGHTS[light], names, ACTIVITIES[activity])


@cache
def everywhere(unusual: float, places: tuple[str, ...] = PLACES) -> Circumstances:
    """The distribution of validation and test images: uniform over places, without tied pairs.

    Args:
        unusual: the fraction of objects out of their usual place, uniform over the labels that the place does not list.
        places: the places.
    """
    usual, at_home = _chances()
    strangers = ~at_home[:, None, None, :]
    shared = usual.sum(-1, keepdims=True) / strangers.sum(-1, keepdims=True)
    chances = (1 - unusual) * usual + unusual * shared * strangers
    weights = _weights(dict.fromkeys(places, 1 / len(places)))
    return Circumstances(weights[None], chances[None], np.zeros(1), np.arange(len(CLASSES)).reshape(-1, 2))


def at_site(own: Surroundings, strength: float, ties: float) -> Circumstances:
    """A site's distribution: its surroundings with probability `strength`, otherwise all places that sites see.

    No object is out of its usual place.

    Args:
        own: the site's surroundings.
        strength: the probability of its surroundings.
        ties: the probability that a pair is tied, given the surroundings.
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
    """(P, L, A) joint probabilities from those of places; a light, if given, is more likely than usual."""
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
    """(P, L, A, C) label probabilities by the rules, and (P, C) whether a place lists a label.

    A place's base odds are calibrated such that the mean probability over its lights and activities is `LABELS_AT`'s.
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
