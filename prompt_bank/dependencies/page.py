"""A bank's score as one HTML page: the two matrices side by side, the measures, the pairs that are most wrong.

Label names and values are untrusted: every text is escaped, and the page's own policy allows no script and no request.
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
"""Lifts between which the seven colours lie."""

SHADES = ("÷ 4 or less", "÷ 2", "÷ 1.25", "as by chance", "× 1.25", "× 2", "× 4 or more")

TITLES = {
    "auc_1": "AUC, lift > 1",
    "auc_2": "AUC, lift > 2",
    "average_precision_1": "AP, lift > 1",
    "average_precision_2": "AP, lift > 2",
    "spearman": "Spearman",
}

MAX_TITLED_LABELS = 100
"""Labels up to which each cell says in words what it holds: the page grows with their square."""


def render_page(score: Score, name: str, source: str) -> str:
    """The page's text.

    Args:
        score: what was measured.
        name: of the bank.
        source: of the co-occurrence.
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
        matrices=[("Seen in the images", observed), (f"Predicted: {score.rows[0].name}", predicted)],
        shades=SHADES,
        titles=TITLES,
        measures=MEASURES,
        worded=len(score.labels) <= MAX_TITLED_LABELS,
        compared=int(np.triu(score.compared).sum()),
        version=version("fedmpt"),
    )


def shade_indices(score: Score) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """For each pair the number of its colour, C × C: by observed lift, and by prediction; -1 where not compared.

    A prediction has no unit. So as many pairs have each colour on its side as have it on the other: two matrices that
    rank the pairs alike look alike.
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
    """The labels so that those that images show together stand together: average linkage, leaves in the best order."""
    size = len(score.labels)
    if size < 3:
        return list(range(size))
    distance = 1 / (1 + np.where(score.compared, score.lift, 0.0))
    np.fill_diagonal(distance, 0.0)
    condensed = squareform((distance + distance.T) / 2, checks=False)
    return [int(at) for at in leaves_list(linkage(condensed, "average", optimal_ordering=size <= MAX_TITLED_LABELS))]
