"""Is what a bank says of dependencies worth anything for recognition? A simulation on the label sets of real images.

    python benchmarks/dependency_value.py BANK --annotations FILE [--counts FILE] [--map 38] [--seeds 3]

The evidence for each label in each image is drawn: logit(p_c) ± d²/2 + d·ε with ε standard normal, which is a
calibrated posterior (p_c is the label's share of the images), with d such that the mAP is --map. Then one step of

    logit_c += η Σ_b (σ(logit_b) − p_b) W_bc,    W_cc = 0

with W by: the bank's scores, standardised over the pairs, less an offset; the counts' log-lifts (--counts: annotations,
or a table, of other images); the bank's scores under permuted labels. η, and the offset, are chosen on one half of the
images and measured on the other, both ways; printed is the mean gain over halves and seeds, in points of mAP.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedmpt.common.annotations import Annotations
from prompt_bank.dependencies.observed import Cooccurrence, label_matcher, read_cooccurrence
from prompt_bank.dependencies.predicting import predict_scores
from prompt_bank.recording.store import load
from prompt_bank.schema import Label

Matrix = NDArray[np.float64]

STEPS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Candidates for η."""
OFFSETS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Candidates for what is taken off standardised scores: most pairs occur together less than chance would have it."""


def label_sets(path: Path, labels: tuple[Label, ...]) -> tuple[list[int], Matrix]:
    """The labels that any image shows, as C places among `labels`, and images × C zeros and ones."""
    match = label_matcher(labels)
    shown: dict[str | int, set[int]] = {}
    for image, name in Annotations.detect(path).pairs():
        found = match(name)
        shown.setdefault(image, set()).update(() if found is None else (found,))
    places = sorted(set().union(*shown.values()))
    sets = np.zeros((len(shown), len(places)))
    for row, there in enumerate(shown.values()):
        sets[row, [places.index(label) for label in there]] = 1
    return places, sets


def mean_average_precision(truth: Matrix, scores: Matrix) -> float:
    """Over the labels, of images ranked by their scores."""
    ranked = np.take_along_axis(truth, np.argsort(-scores, axis=0), axis=0)
    precision = np.cumsum(ranked, axis=0) / np.arange(1, len(ranked) + 1)[:, None]
    return float(((precision * ranked).sum(0) / ranked.sum(0)).mean())


def evidence(truth: Matrix, target: float, seed: int) -> tuple[Matrix, Matrix]:
    """Logits whose mAP is the target, by bisection of d, and the labels' shares."""
    noise = np.random.default_rng(seed).standard_normal(truth.shape)
    shares = truth.mean(0)
    prior = np.log(shares / (1 - shares))
    low, high = 0.05, 6.0
    for _ in range(14):
        d = (low + high) / 2
        logits = prior + (2 * truth - 1) * d * d / 2 + d * noise
        low, high = (d, high) if mean_average_precision(truth, logits) < target else (low, d)
    return logits, shares


def gain(weights: list[Matrix], truth: Matrix, target: float, seeds: int) -> tuple[float, float]:
    """Mean and standard deviation over seeds of the gain in mAP points; which of the matrices is chosen with η."""
    gains = []
    for seed in range(seeds):
        logits, shares = evidence(truth, target, seed)
        surplus = 1 / (1 + np.exp(-logits)) - shares
        first = np.random.default_rng(100 + seed).permutation(len(truth)) < len(truth) // 2
        tried = [logits]
        for matrix in weights:
            change = surplus @ (matrix * ~np.eye(len(matrix), dtype=bool))
            tried += [logits + step * change for step in STEPS[1:]]
        found = []
        for here, there in ((first, ~first), (~first, first)):
            best = int(np.argmax([mean_average_precision(truth[here], one[here]) for one in tried]))
            before, after = (mean_average_precision(truth[there], one[there]) for one in (logits, tried[best]))
            found.append(100 * (after - before))
        gains.append(float(np.mean(found)))
    return float(np.mean(gains)), float(np.std(gains))


def standardised(scores: Matrix) -> Matrix:
    """Mean 0 and standard deviation 1 over the pairs."""
    pairs = scores[np.triu_indices(len(scores), 1)]
    return (scores - pairs.mean()) / pairs.std()


def log_lifts(counts: Cooccurrence, places: list[int]) -> Matrix:
    """Of counted images; half an image is added to each pair."""
    alone = np.array(counts.label_counts, dtype=np.float64)[places]
    pairs = [[counts.pair_counts.get((min(a, b), max(a, b)), 0) for b in places] for a in places]
    expected = np.maximum(np.outer(alone, alone) / counts.images, 1e-9)
    return np.log((np.array(pairs) + 0.5) / (expected + 0.5))


def main() -> None:
    """Print the gains."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("bank", type=Path)
    options.add_argument("--annotations", type=Path, required=True)
    options.add_argument("--counts", type=Path)
    options.add_argument("--map", type=float, default=38.0)
    options.add_argument("--seeds", type=int, default=3)
    given = options.parse_args()
    bank = load(given.bank).bank
    places, truth = label_sets(given.annotations, bank.labels)
    scores = standardised(predict_scores(bank)[np.ix_(places, places)])
    turned = np.random.default_rng(0).permutation(len(places))
    shuffled = scores[np.ix_(turned, turned)]
    rows = {
        bank.name: [scores - offset for offset in OFFSETS],
        f"{bank.name}, labels permuted": [shuffled - offset for offset in OFFSETS],
    }
    if given.counts:
        rows[f"counts of {given.counts.name}"] = [log_lifts(read_cooccurrence(given.counts, bank.labels), places)]
    print(f"{len(truth)} images, {len(places)} labels, evidence of {given.map:g} mAP, {given.seeds} seeds")
    for name, weights in rows.items():
        mean, spread = gain(weights, truth, given.map / 100, given.seeds)
        print(f"{name:<50} {mean:+.2f} ± {spread:.2f} mAP", flush=True)


if __name__ == "__main__":
    main()
