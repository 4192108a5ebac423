"""A plot of the label distribution over clients."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainer.data.base import MultiLabelDataset


def label_shares(dataset: MultiLabelDataset) -> tuple[np.ndarray, np.ndarray]:
    """(K,) the number of training images of each client, and (K, C) the fraction of them with each label."""
    train = dataset.train
    owners = np.unique(train.sites)
    images = np.array([(train.sites == owner).sum() for owner in owners])
    shown = np.stack([(train.labels[train.sites == owner] == 1).mean(0) for owner in owners])
    return images, shown


def plot_partition(dataset: MultiLabelDataset, path: Path) -> None:
    """Plot a clients × labels heat map of label fractions, and the clients' numbers of images; PNG, PDF or SVG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    images, shares = label_shares(dataset)
    clients, labels = shares.shape
    figure = Figure(figsize=(3 + 0.18 * labels, 1.8 + 0.18 * clients), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(max(3, 0.18 * labels), 1.2))
    drawn = left.imshow(shares, aspect="auto", cmap="viridis", vmin=0, vmax=1)
    left.set_xticks(range(labels), dataset.label_names, rotation=90, fontsize=6)
    left.set_ylabel("client")
    left.set_title("share of a client's images that shows a label", fontsize=8)
    right.barh(range(clients), images, color="0.4")
    right.set_title("images", fontsize=8)
    right.tick_params(labelsize=6)
    names = dataset.site_names or [str(owner) for owner in np.unique(dataset.train.sites)]
    left.set_yticks(range(clients), names, fontsize=6)
    figure.colorbar(drawn, ax=left, fraction=0.04, pad=0.01).ax.tick_params(labelsize=6)
    figure.savefig(path)
