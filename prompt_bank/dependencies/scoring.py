"""Scores a bank: its predicted dependencies against label co-occurrence in real images. C labels, P pairs."""

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
"""The minimum expected number of images with a pair under independence; rarer pairs have no reliable lift."""

RESAMPLES = 1000
PERCENTILES = (2.5, 97.5)
"""The percentiles that bound the 95 % bootstrap intervals."""

ALL, LISTED, CONTROL = "all together", "dependencies as listed", "control: the words alone"
"""The bases of predicted scores, besides single conditions."""

RankedPair = tuple[tuple[int, int], float, float]
"""A pair with its relative ranks by score and by lift."""

MEASURES = ("auc_1", "auc_2", "average_precision_1", "average_precision_2", "spearman")
"""ROC-AUC and average precision for lift > 1 and lift > 2, and Spearman's correlation with the lift."""


@dataclass(frozen=True)
class Estimate:
    """A measure with its 95 % bootstrap interval over labels; None if it is undefined, as a class is empty."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ScoreRow:
    """The agreement of one matrix of scores with the observed lifts.

    Attributes:
        name: the basis of the scores: ALL, a condition's words, LISTED or CONTROL; prefixed with the name of another
            bank.
        measures: the estimates by name of the measure.
        difference: `measures` minus those of the first row, with paired intervals; None in the first row.
    """

    name: str
    measures: dict[str, Estimate]
    difference: dict[str, Estimate] | None


@dataclass(frozen=True)
class MisrankedPair:
    """A misranked pair.

    Attributes:
        labels: the two labels.
        predicted: relative rank by predicted score, from 0 to 1.
        observed: relative rank by lift, from 0 to 1.
        lift: the observed lift.
        together: the number of images with both labels.
        expected: the number expected under independence.
        carried: the conditions and values that contribute to the prediction.
    """

    labels: tuple[str, str]
    predicted: float
    observed: float
    lift: float
    together: int
    expected: float
    carried: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """The score of a bank.

    Attributes:
        labels: C names.
        images: the number of images.
        compared: C × C, whether a pair was compared.
        shares: the shares of pairs with lift > 1 and lift > 2: the average precision at chance level.
        rows: one row for the whole bank, then for its conditions, another bank, the control.
        over: the pairs that are ranked most too high, the worst first.
        under: the pairs that are ranked most too low, the worst first.
        predicted: C × C, the scores of the first row.
        lift: C × C, the observed lifts.
        warnings: for the user.
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
    """Compare a bank's predicted scores with observed lifts.

    Args:
        bank: a bank with C labels.
        observed: the co-occurrence of the bank's labels.
        against: another bank with mostly the same labels; only pairs that both banks have are compared.
        control: whether to include the control, the similarity of the label names alone.
        worst: the number of misranked pairs to report in each direction.

    Raises:
        BankError: a bank has no dependencies, or fewer than two pairs can be compared.
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
            warnings.append(f"{bank.name}: the bank has no control (provenance.control); it is left out")
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
        message = f"fewer than two pairs of its labels are expected in at least {MIN_EXPECTED:.0f} of the images"
        raise BankError(bank.name, [Problem("labels", message)])
    rows, lifts = _score_rows(matrices, lift, pairs, len(labels))
    first = next(iter(matrices.values()))

    def as_pair(ranked: RankedPair) -> MisrankedPair:
        (a, b), predicted, seen = ranked
        carried = tuple(map(str, found.carriers(labels[a], labels[b]))) if found else ()
        counted = float(lift[a, b]), int(counts[a, b]), float(expected[a, b])
        return MisrankedPair((labels[a], labels[b]), predicted, seen, *counted, carried)

    over, under = (tuple(map(as_pair, ranked)) for ranked in _most_misranked(first, lift, pairs, worst))
    shares = (float((lifts > 1).mean()), float((lifts > 2).mean()))
    return Score(labels, observed.images, compared, shares, rows, over, under, first, lift, tuple(warnings))


def _predictions(bank: Bank) -> tuple[dict[str, Matrix], DerivedDependencies | None]:
    """The predicted scores of a bank, C × C, by their basis; the main prediction comes first."""
    listed = _listed_scores(bank)
    names = {LISTED: listed} if listed.any() else {}
    if not conditions_with_affinity(bank):
        if not names:
            message = "has no dependencies: neither affinities nor listed dependencies"
            raise BankError(bank.name, [Problem("conditions", message)])
        return names, None
    found = derive_dependencies(bank)
    single = {f"by {c.text}": scores for c, scores in zip(found.conditions, found.scores, strict=True)}
    return {ALL: found.total, **(single if len(single) > 1 else {}), **names}, found


def _listed_scores(bank: Bank) -> Matrix:
    """C × C: the number of conditions in the listed dependencies of each pair (for banks without affinities)."""
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
    """For each label of the bank its index in another bank; None if the other bank does not have it."""
    match = label_matcher(other.labels)
    return [
        next((at for name in (label.name, *label.aliases) if (at := match(name)) is not None), None)
        for label in bank.labels
    ]


def _reindexed(matrix: Matrix, places: list[int | None]) -> Matrix:
    """A matrix reordered to other labels; NaN for labels that it does not have."""
    there = [at is not None for at in places]
    at = np.array([at or 0 for at in places])
    known = np.outer(there, there)
    return np.where(known, matrix[np.ix_(at, at)], np.nan)


def _observed_lifts(observed: Cooccurrence) -> tuple[Matrix, Matrix, Matrix]:
    """The number of images with both labels, the number expected under independence, and the lift: C × C each."""
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
    """The rows of the score, and the lifts of the pairs."""
    a, b = np.array(pairs).T
    lifts, by_lift = lift[a, b], Ranking.of(lift[a, b])
    # Bootstrap over labels, not pairs: pairs that share a label are not independent.
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
    """The estimate from the value of the full data, which comes first, and those of the bootstrap samples."""
    if np.isnan(values[0]):
        return Estimate(None, None, None)
    low, high = np.nanpercentile(values[1:], PERCENTILES)
    return Estimate(float(values[0]), float(low), float(high))


def _most_misranked(
    scores: Matrix, lift: Matrix, pairs: list[tuple[int, int]], most: int
) -> tuple[list[RankedPair], list[RankedPair]]:
    """The pairs with the largest differences between the ranks: ranked too high, and ranked too low."""
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
        f"{bank.name} was mined with {observed.source} itself: its score says how well it reproduces that file, "
        "not what it knows about other images"
    ]
