"""Broad scenes for pretraining: nothing is tied, no corruption, and some compositions never occur."""

from __future__ import annotations

import numpy as np

from trainer.data.scenes.compose import Picture, Placed, Spec, render
from trainer.data.scenes.cooccurrence import HeldOut, broad_spec, held_out

_STREAM = 7
"""Keeps these images apart from those of every world."""

_LIGHT_PHRASES = {
    "daylight": ("in daylight", "on a sunny day"),
    "night": ("at night", "in the dark"),
    "fog": ("in fog", "on a foggy day"),
    "dusk": ("at dusk", "at sunset"),
    "rain": ("in the rain", "on a rainy day"),
}
_SCENE_PREPOSITIONS = {"street": "on the", "farm": "on the", "snowy field": "in a"}
_AT = ("harbour", "airport", "railway station")
_OPENINGS = ("a photo of ", "a picture of ", "an image of ", "", "there is ", "a scene with ", "a drawing of ")


def broad(index: int, seed: int, without: HeldOut | None = None) -> Picture:
    """A picture of the broad world, determined by (seed, index).

    Args:
        index: which one.
        seed: of the collection.
        without: compositions that never occur; those of pretraining where left out.
    """
    without = held_out() if without is None else without
    rng = np.random.default_rng((seed, _STREAM, index))
    return render(broad_spec(rng, without), rng, allowed=without.colour_allowed)


def caption(rng: np.random.Generator, spec: Spec, objects: tuple[Placed, ...]) -> str:
    """A sentence about some of the objects, at random with the scene and the light."""
    order = rng.permutation(len(objects))
    count = len(order) if rng.random() < 0.5 else int(rng.integers(1, len(order) + 1))
    phrases = [phrase(rng, objects[i]) for i in order[:count]]
    listed = phrases[0] if count == 1 else ", ".join(phrases[:-1]) + " and " + phrases[-1]
    parts = [_OPENINGS[rng.integers(len(_OPENINGS))] + listed]
    if rng.random() < 0.5:
        parts.append(scene_phrase(spec.scene))
    if rng.random() < 0.5:
        parts.append(light_phrase(rng, spec.light))
    return " ".join(parts)


def phrase(rng: np.random.Generator, item: Placed, detail: float = 0.45) -> str:
    """A noun phrase for one object; each of its attributes is named with probability `detail`."""
    words = [word for word in (item.scale, item.colour) if word and rng.random() < detail]
    after = ""
    if item.variant and rng.random() < detail:
        if item.variant in ("side", "front"):
            after = f" seen from the {item.variant}"
        elif item.variant in ("on", "off"):
            after = f" turned {item.variant}"
        else:
            words.append(item.variant)
    return with_article(" ".join([*words, item.name])) + after


def with_article(words: str) -> str:
    """ "a cat", "an orange cat"."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def scene_phrase(scene: str) -> str:
    """ "on the street", "at the harbour"."""
    return f"{'at the' if scene in _AT else _SCENE_PREPOSITIONS.get(scene, 'in the')} {scene}"


def light_phrase(rng: np.random.Generator, light: str) -> str:
    """ "at night", "in the dark"."""
    choices = _LIGHT_PHRASES[light]
    return choices[rng.integers(len(choices))]
