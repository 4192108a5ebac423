"""A bank's score as an HTML page: both matrices side by side, the measures, the most misranked pairs.

Label names and values are untrusted: all text is escaped, and the page's content policy forbids scripts and requests.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from prompt_bank.dependencies.measures import Ranking
from prompt_bank.dependencies.scoring import MEASURES, Score

BOUNDS = (1 / 4, 1 / 2, 1 / 1.25, 1.25, 2, 4)
"""The lifts that separate the seven colours."""

SHADES = ("÷ 4 or less", "÷ 2", "÷ 1.25", "as by chance", "× 1.25", "× 2", "× 4 or more")

TITLES = {
    "auc_1": "AUC, lift > 1",
    "auc_2": "AUC, lift > 2",
    "average_precision_1": "AP, lift > 1",
    "average_precision_2": "AP, lift > 2",
    "spearman": "Spearman",
}

MAX_TITLED_LABELS = 100
"""Up to this number of labels each cell has a tooltip; the size of the page grows with its square."""


def render_page(score: Score, name: str, source: str) -> str:
    """The page as HTML.

    Args:
        score: the bank's score.
        name: the name of the bank.
        source: the name of the co-occurrence file.
    """
    environment = SandboxedEnvironment(
        loader=FileSystemLoader(Path(__file__).parent / "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    observed, predicted = shade_indices(score)
    order = _cluster_order(score)
    template = environment.get_template("score.html.j2")
    return template.render(
        score=score,
        name=name,
        source=source,
        order=order,
        matrices=[("Observed in the images", observed), (f"Predicted: {score.rows[0].name}", predicted)],
        shades=SHADES,
        titles=TITLES,
        measures=MEASURES,
        worded=len(score.labels) <= MAX_TITLED_LABELS,
        compared=int(np.triu(score.compared).sum()),
        version=version("fedmpt"),
    )


def shade_indices(score: Score) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """The colour index of each pair, C × C: by observed lift, and by predicted score; -1 for pairs not compared.

    Predicted scores have no unit, so their colours are assigned by rank, each to as many pairs as in the observed
    matrix. Two matrices that rank the pairs alike look alike.
    """
    a, b = np.nonzero(np.triu(score.compared))
    observed = np.digitize(score.lift[a, b], BOUNDS, right=True)
    ranks = Ranking.of(score.predicted[a, b]).ranks(np.ones((1, len(a))))[0]
    borders = np.cumsum(np.bincount(observed, minlength=len(SHADES)))[:-1]
    return _symmetric(observed, a, b, len(score.labels)), _symmetric(
        np.digitize(ranks, borders), a, b, len(score.labels)
    )


def _symmetric(numbers: NDArray[np.int_], a: NDArray[np.intp], b: NDArray[np.intp], size: int) -> NDArray[np.int_]:
    matrix = np.full((size, size), -1)
    matrix[a, b] = matrix[b, a] = numbers
    return matrix


def _cluster_order(score: Score) -> list[int]:
    """The labels ordered by average-linkage clustering of the lifts, so that co-occurring labels are adjacent."""
    size = len(score.labels)
    if size < 3:
        return list(range(size))
    distance = 1 / (1 + np.where(score.compared, score.lift, 0.0))
    np.fill_diagonal(distance, 0.0)
    condensed = squareform((distance + distance.T) / 2, checks=False)
    return [int(at) for at in leaves_list(linkage(condensed, "average", optimal_ordering=size <= MAX_TITLED_LABELS))]
