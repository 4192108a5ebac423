"""The natural variant of the drawn world: how well CLIP recognises its conditions, and the benefit of its rules.

    python benchmarks/scenes_natural.py [--seeds 0 1 2 3 4] [--set data.scenes.ties=0] [--bank BANK]

Evidence for a label is its best patch's cosine with "a photo of a …", with scale and offset fitted to the validation
labels; with --bank it is the logit of the default method, trained on each world. Rows `graph` add
η Σ_b (σ(logit_b) − P(b)) log lift(b, c) in two steps. `exact` is Bayes' rule over places, lights and activities by the
world's true rules. Hyperparameters such as η are chosen on validation images; test images are used once.
Shape letters: n images, C labels, V values, P places, D joint width.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scenes_runs import Settings, cell, train
from sklearn.metrics import roc_auc_score
from torch import Tensor

from prompt_bank.recording.store import load
from trainer.data.base import Split
from trainer.data.scenes import NaturalWorld, world_of
from trainer.data.scenes.natural import CONDITIONS, Circumstances
from trainer.data.scenes.occurrence import Occurrence, occurrence
from trainer.evaluation.measuring import scores
from trainer.evaluation.metrics import average_precision
from trainer.preparing import Prepared, prepare
from trainer.pretraining.words import article
from trainer.resolving import parse_assignment, resolve

STRENGTHS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
"""Candidates for η."""
SCALES = (10.0, 20.0, 40.0, 80.0)
"""Candidates for the scale of the cosines with places in their softmax."""


@dataclass(frozen=True)
class Seen:
    """The frozen CLIP's features of a split.

    Attributes:
        image, mean_patch: (n, D) normalised.
        best: (n, C) cosine of each label's best patch.
        labels: (n, C) 0 or 1.
    """

    image: Tensor
    mean_patch: Tensor
    best: Tensor
    labels: Tensor


def measure(seed: int, settings: Settings, bank: Path | None, cache: Path) -> dict[str, float]:
    """All results of a world, in per cent."""
    world_settings = {"data.scenes.variant": "natural", "data.seed": seed, **settings}
    method = {} if bank else {"method.name": "zero-shot"}
    ready = prepare(resolve(overrides={**world_settings, **method}), load(bank).bank if bank else None, cache)
    data = ready.config.data
    world = world_of(data.seed, data.sites, data.images_per_site, data.strength, data.shift, data.scenes)
    assert isinstance(world, NaturalWorld)
    validation, test = seen(ready, ready.dataset.validation), seen(ready, ready.dataset.test)
    text = encoded(ready, [f"a photo of a {name}." for name in ready.dataset.label_names])
    found = {
        "mAP, image feature": mean_ap(test.image @ text.T, test.labels),
        "mAP, best patch": mean_ap(test.best, test.labels),
    }
    found |= conditions_named(ready, world, test)
    counted = ready.dataset.train.labels.astype(float)
    sites = Occurrence(counted.mean(0), counted.T @ counted / len(counted))
    truth = occurrence(world.circumstances(None))
    pairs = np.triu_indices(len(text), 1)
    for least in (1, 2):
        told = roc_auc_score(truth.lift()[pairs] > least, sites.lift()[pairs])
        found[f"sites' counts, AUC lift > {least}"] = 100 * float(told)
    if bank:
        train(ready)
        validation, test = trained(ready, validation, "validation"), trained(ready, test, "test")
        found["mAP, trained"] = mean_ap(test.best, test.labels)
    return found | gains(ready, world, validation, test, truth, sites)


def trained(ready: Prepared, found: Seen, split: str) -> Seen:
    """Replace the evidence by the trained method's logits, scaled to the range of cosines."""
    logits, _ = scores(ready.method, ready.features(getattr(ready.dataset, split)))
    return replace(found, best=logits.float() / 20)


def seen(ready: Prepared, split: Split) -> Seen:
    """Features of a split, and the best patch's cosines."""
    text = encoded(ready, [f"a photo of a {name}." for name in ready.dataset.label_names])
    batches = [batch.to(text.device) for batch in ready.features(split).batches(250)]
    patches = [F.normalize(batch.patches, dim=-1) for batch in batches]
    return Seen(
        image=F.normalize(torch.cat([batch.image for batch in batches]), dim=-1),
        mean_patch=F.normalize(torch.cat([one.mean(1) for one in patches]), dim=-1),
        best=torch.cat([(one @ text.T).amax(1) for one in patches]),
        labels=torch.cat([batch.labels for batch in batches]).long(),
    )


@torch.no_grad()
def encoded(ready: Prepared, texts: list[str]) -> Tensor:
    """(V, D) normalised text features."""
    return F.normalize(ready.method.clip.encode_texts(texts), dim=-1)


def mean_ap(scores: Tensor, labels: Tensor) -> float:
    """mAP in per cent."""
    values = [value for value in average_precision(scores, labels) if value is not None]
    return sum(values) / len(values)


def named(condition: str, value: str) -> str:
    """A prompt with the value of a condition only."""
    return f"a photo of {article(value) if condition == 'place' else value}."


def conditions_named(ready: Prepared, world: NaturalWorld, test: Seen) -> dict[str, float]:
    """Zero-shot accuracy for the place, light and activity of test images."""
    specs = [world.spec(world.generator("test", index), "test", index) for index in range(len(test.labels))]
    truth = {
        "place": [spec.scene for spec in specs],
        "light": [spec.light for spec in specs],
        "activity": [spec.activity for spec in specs],
    }
    found = {}
    for condition, values in CONDITIONS.items():
        text = encoded(ready, [named(condition, value) for value in values])
        right = torch.tensor([values.index(value) for value in truth[condition]])
        for name, features in (("image feature", test.image), ("mean patch", test.mean_patch)):
            guessed = (features @ text.T).argmax(1)
            found[f"{condition} named, {name}"] = 100 * float((guessed == right).float().mean())
        found[f"{condition}, most frequent value"] = 100 * float(torch.bincount(right).max() / len(right))
    return found


def gains(
    ready: Prepared, world: NaturalWorld, validation: Seen, test: Seen, truth: Occurrence, sites: Occurrence
) -> dict[str, float]:
    """Gains in mAP from context, over the best patch."""
    scale, offset = fitted(validation)
    plain = mean_ap(test.best, test.labels)
    evidence = {"validation": validation.best * scale + offset, "test": test.best * scale + offset}

    def gain(correct: list[dict[str, Tensor]]) -> float:
        best = max(correct, key=lambda both: mean_ap(both["validation"], validation.labels))
        return mean_ap(best["test"], test.labels) - plain

    order = np.random.default_rng(0).permutation(len(truth.single))
    shuffled = Occurrence(truth.single, truth.lift()[order][:, order] * np.outer(truth.single, truth.single))
    found = {}
    for name, known in (("oracle", truth), ("sites", sites), ("shuffled", shuffled)):
        found[f"gain, graph of {name}"] = gain(
            [{key: on_graph(logits, known, strength) for key, logits in evidence.items()} for strength in STRENGTHS]
        )
    circumstances = world.circumstances(None)
    found["gain, exact"] = gain([{key: exact(logits, truth, circumstances) for key, logits in evidence.items()}])
    text = encoded(ready, [named("place", place) for place in CONDITIONS["place"]])
    places = {"validation": validation.image @ text.T, "test": test.image @ text.T}
    found["gain, exact with the place that CLIP sees"] = gain(
        [
            {
                key: exact(logits, truth, circumstances, (scale_ * places[key]).log_softmax(1))
                for key, logits in evidence.items()
            }
            for scale_ in SCALES
        ]
    )
    return found


def fitted(validation: Seen) -> tuple[Tensor, Tensor]:
    """Fit a scale and (C,) offsets that turn cosines into logits."""
    scale = torch.tensor(20.0, requires_grad=True)
    offset = (-20 * validation.best.mean(0) - 2).requires_grad_()
    optimiser = torch.optim.LBFGS([scale, offset], max_iter=200)

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = F.binary_cross_entropy_with_logits(validation.best * scale + offset, validation.labels.float())
        value.backward()
        return value

    optimiser.step(loss)
    return scale.detach(), offset.detach()


def on_graph(logits: Tensor, known: Occurrence, strength: float) -> Tensor:
    """(n, C) logits after two mean-field steps on the graph of log lifts."""
    weights = np.log(known.lift() + 0.05)
    np.fill_diagonal(weights, 0)
    graph, prior = torch.tensor(weights).float(), torch.tensor(known.single).float()
    found = logits
    for _ in range(2):
        found = logits + strength * (found.sigmoid() - prior) @ graph
    return found


def exact(logits: Tensor, truth: Occurrence, known: Circumstances, places: Tensor | None = None) -> Tensor:
    """(n, C) P(label | all evidence), assuming independent labels given the circumstances.

    Args:
        logits: evidence for labels, including their priors.
        truth: the priors.
        known: the distribution of circumstances.
        places: (n, P) log-likelihoods of places; None to use the evidence for labels only.
    """
    weights = torch.tensor(known.weights[0].reshape(-1)).float()
    chances = torch.tensor(known.chances[0].reshape(len(weights), -1)).float()
    odds = (logits - torch.tensor(truth.single).logit().float()).exp()[:, None]
    there = chances * odds
    fit = weights.clamp_min(1e-12).log() + (there + 1 - chances).log().sum(-1)
    if places is not None:
        fit = fit + places.repeat_interleave(len(weights) // places.shape[1], dim=1)
    return (fit.softmax(1)[..., None] * there / (there + 1 - chances)).sum(1)


def main() -> None:
    """Parse the command line, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="any setting of the data")
    parser.add_argument("--bank", type=Path, help="train with it before the gains are measured")
    parser.add_argument("--cache-dir", type=Path, default=Path("cache"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = dict(parse_assignment(text) for text in options.set)
    found = [measure(seed, settings, options.bank, options.cache_dir) for seed in options.seeds]
    for name in found[0]:
        print(f"| {name} | {cell([one[name] for one in found])} |")


if __name__ == "__main__":
    main()
