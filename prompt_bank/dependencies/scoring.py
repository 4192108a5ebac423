"""A bank's predicted dependencies against the co-occurrence of real images. C labels, P pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from prompt_bank.dependencies.measures import Matrix, Ranking, average_precision, roc_auc, spearman
from prompt_bank.dependencies.observed import Cooccurrence, label_matcher
from prompt_bank.dependencies.predicting import DerivedDependencies, conditions_with_affinity, derive_dependencies
from prompt_bank.errors import BankError, Problem
from prompt_bank.schema import Bank

MIN_EXPECTED = 2.0
"""Images that must be expected to show a pair, were its labels independent: of rarer ones no lift can be told."""

RESAMPLES = 1000
PERCENTILES = (2.5, 97.5)
"""Percentiles of the intervals."""

ALL, LISTED, CONTROL = "all together", "dependencies as listed", "control: the words alone"
"""What a score may rest on, beside single conditions."""

RankedPair = tuple[tuple[int, int], float, float]
"""A pair with its ranks by score and by lift."""

MEASURES = ("auc_1", "auc_2", "average_precision_1", "average_precision_2", "spearman")
"""ROC-AUC and average precision of a lift above 1 and above 2, and Spearman's correlation with the lift."""


@dataclass(frozen=True)
class Estimate:
    """A measure with its 95 % interval over labels; None where it is not defined, as one side is empty."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ScoreRow:
    """How well one matrix of scores agrees with the observed lifts.

    Attributes:
        name: what the scores rest on: ALL, a condition's words, LISTED or CONTROL; of another bank with its name.
        measures: by their names.
        difference: `measures` less those of the bank's own first row, with paired intervals; None for that row itself.
    """

    name: str
    measures: dict[str, Estimate]
    difference: dict[str, Estimate] | None


@dataclass(frozen=True)
class MisrankedPair:
    """A pair that is wrong: its ranks among the pairs, as shares, in the prediction and in the images."""

    labels: tuple[str, str]
    predicted: float
    observed: float
    lift: float
    together: int
    expected: float
    carried: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """What a bank knows.

    Attributes:
        labels: C names.
        images: how many were counted.
        compared: C × C, whether a pair was compared.
        shares: shares of the pairs with a lift above 1 and above 2, which an average precision has by chance.
        rows: the bank's first, then its conditions, other banks, the control.
        over: pairs that it ties and images don't, the worst first.
        under: pairs that images show together and it doesn't.
        predicted: C × C, of the bank's first row.
        lift: C × C, observed.
        warnings: what a person should know.
    """

    labels: tuple[str, ...]
    images: int
    compared: np.ndarray
    shares: tuple[float, float]
    rows: tuple[ScoreRow, ...]
    over: tuple[MisrankedPair, ...]
    under: tuple[MisrankedPair, ...]
    predicted: Matrix
    lift: Matrix
    warnings: tuple[str, ...] = field(default=())


def score(
    bank: Bank, observed: Cooccurrence, against: Bank | None = None, control: bool = False, worst: int = 10
) -> Score:
    """Compare predicted with observed lifts.

    Args:
        bank: with C labels.
        observed: counted for the bank's labels.
        against: another bank of mostly the same labels; pairs that it does not know are left out for both.
        control: compare also what the words of the labels alone tell, which mining has stored.
        worst: pairs to name in each direction.

    Raises:
        BankError: a bank tells no dependencies, or no pair can be compared.
    """
    labels = tuple(label.name for label in bank.labels)
    matrices, found = _predictions(bank)
    warnings = [*observed.warnings, *_training_warnings(bank, observed)]
    if against:
        other, _ = _predictions(against)
        place = _match_labels(bank, against)
        matrices |= {f"{against.name}: {name}": _reindexed(matrix, place) for name, matrix in other.items()}
        warnings += _training_warnings(against, observed)
    if control:
        own = bank.provenance.control
        if own is None:
            warnings.append(f"{bank.name}: mining has stored no control, so there is none to compare with")
        else:
            at = label_matcher(bank.labels)
            rows_of = {index: row for row, name in enumerate(own.rows) if (index := at(name)) is not None}
            where = [rows_of.get(index) for index in range(len(labels))]
            matrices[CONTROL] = _reindexed(np.array(list(own.rows.values()), dtype=np.float64), where)
    counts, expected, lift = _observed_lifts(observed)
    compared = (expected >= MIN_EXPECTED) & ~np.eye(len(labels), dtype=bool)
    for matrix in matrices.values():
        compared &= ~np.isnan(matrix)
    pairs = [(int(a), int(b)) for a, b in zip(*np.nonzero(np.triu(compared)), strict=True)]
    if len(pairs) < 2:
        said = f"fewer than two pairs of its labels can be expected in {MIN_EXPECTED:.0f} of the images or more"
        raise BankError(bank.name, [Problem("labels", said)])
    rows, lifts = _score_rows(matrices, lift, pairs, len(labels))
    first = next(iter(matrices.values()))

    def told(wrong: RankedPair) -> MisrankedPair:
        (a, b), predicted, seen = wrong
        carried = tuple(map(str, found.carriers(labels[a], labels[b]))) if found else ()
        counted = float(lift[a, b]), int(counts[a, b]), float(expected[a, b])
        return MisrankedPair((labels[a], labels[b]), predicted, seen, *counted, carried)

    over, under = (tuple(map(told, wrong)) for wrong in _most_misranked(first, lift, pairs, worst))
    shares = (float((lifts > 1).mean()), float((lifts > 2).mean()))
    return Score(labels, observed.images, compared, shares, rows, over, under, first, lift, tuple(warnings))


def _predictions(bank: Bank) -> tuple[dict[str, Matrix], DerivedDependencies | None]:
    """What a bank predicts: C × C by what it rests on, the strongest claim first."""
    listed = _listed_scores(bank)
    names = {LISTED: listed} if listed.any() else {}
    if not conditions_with_affinity(bank):
        if not names:
            said = "tells no dependencies: it has neither affinities nor any that are listed"
            raise BankError(bank.name, [Problem("conditions", said)])
        return names, None
    found = derive_dependencies(bank)
    single = {f"by {c.text}": scores for c, scores in zip(found.conditions, found.scores, strict=True)}
    return {ALL: found.total, **(single if len(single) > 1 else {}), **names}, found


def _listed_scores(bank: Bank) -> Matrix:
    """C × C: how many conditions are listed as governing both labels, as banks told it before they had affinities."""
    at = {label.name: index for index, label in enumerate(bank.labels)}
    governing: dict[tuple[int, int], set[str]] = {}
    for dependency in bank.dependencies:
        places = [at[name] for name in dependency.labels]
        for pair in ((a, b) for a in places for b in places if a != b):
            governing.setdefault(pair, set()).update(dependency.conditions)
    matrix = np.zeros((len(at), len(at)))
    for (a, b), conditions in governing.items():
        matrix[a, b] = len(conditions)
    return matrix


def _match_labels(bank: Bank, other: Bank) -> list[int | None]:
    """For each label of the bank where it stands in another one; None where it doesn't."""
    match = label_matcher(other.labels)
    return [
        next((at for name in (label.name, *label.aliases) if (at := match(name)) is not None), None)
        for label in bank.labels
    ]


def _reindexed(matrix: Matrix, places: list[int | None]) -> Matrix:
    """A matrix of other labels in the order of these; NaN for those that it does not have."""
    there = [at is not None for at in places]
    at = np.array([at or 0 for at in places])
    known = np.outer(there, there)
    return np.where(known, matrix[np.ix_(at, at)], np.nan)


def _observed_lifts(observed: Cooccurrence) -> tuple[Matrix, Matrix, Matrix]:
    """Images with both labels, how many were expected were they independent, and the lift: C × C each."""
    alone = np.array(observed.label_counts, dtype=np.float64)
    together = np.diag(alone)
    for (a, b), count in observed.pair_counts.items():
        together[a, b] = together[b, a] = count
    expected = np.outer(alone, alone) / observed.images
    lift = np.divide(together, expected, out=np.zeros_like(together), where=expected > 0)
    return together, expected, lift


def _score_rows(
    matrices: Mapping[str, Matrix], lift: Matrix, pairs: list[tuple[int, int]], count: int
) -> tuple[tuple[ScoreRow, ...], Matrix]:
    """The rows, and the lifts of the pairs."""
    a, b = np.array(pairs).T
    lifts, by_lift = lift[a, b], Ranking.of(lift[a, b])
    # Labels are drawn, not pairs: pairs of one label are no independent witnesses.
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)
    weights = np.vstack([np.ones(len(pairs)), drawn[:, a] * drawn[:, b]])
    rows: list[ScoreRow] = []
    first: dict[str, Matrix] = {}
    for name, matrix in matrices.items():
        ranking = Ranking.of(matrix[a, b])
        found = {
            "auc_1": roc_auc(ranking, lifts > 1, weights),
            "auc_2": roc_auc(ranking, lifts > 2, weights),
            "average_precision_1": average_precision(ranking, lifts > 1, weights),
            "average_precision_2": average_precision(ranking, lifts > 2, weights),
            "spearman": spearman(ranking, by_lift, weights),
        }
        difference = {key: _estimate(found[key] - first[key]) for key in found} if first else None
        rows.append(ScoreRow(name, {key: _estimate(values) for key, values in found.items()}, difference))
        first = first or found
    return tuple(rows), lifts


def _estimate(values: Matrix) -> Estimate:
    """The first value is that of all labels, the others of the draws."""
    if np.isnan(values[0]):
        return Estimate(None, None, None)
    low, high = np.nanpercentile(values[1:], PERCENTILES)
    return Estimate(float(values[0]), float(low), float(high))


def _most_misranked(
    scores: Matrix, lift: Matrix, pairs: list[tuple[int, int]], most: int
) -> tuple[list[RankedPair], list[RankedPair]]:
    """The pairs whose ranks are furthest apart: ranked too high by the scores, and too low."""
    a, b = np.array(pairs).T
    once = np.ones((1, len(pairs)))
    by_score, by_lift = (Ranking.of(m[a, b]).ranks(once)[0] / len(pairs) for m in (scores, lift))
    apart = by_score - by_lift
    order = np.argsort(apart, kind="stable")
    under = [(pairs[i], float(by_score[i]), float(by_lift[i])) for i in order[:most] if apart[i] < 0]
    over = [(pairs[i], float(by_score[i]), float(by_lift[i])) for i in order[::-1][:most] if apart[i] > 0]
    return over, under


def _training_warnings(bank: Bank, observed: Cooccurrence) -> list[str]:
    mined_with = bank.provenance.parameters.get("cooccurrence")
    if not isinstance(mined_with, dict) or mined_with.get("sha256") != observed.sha256:
        return []
    return [
        f"{bank.name} was mined with {observed.source} itself: its score says how well it repeats that file, not what "
        "it knows of other images"
    ]
