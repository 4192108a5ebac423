"""The clients of a run: images, labels and metrics."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer.data.base import Split

SHOWN = 40
"""Maximum number of clients on the page; those with the most images are shown."""


def site_summary(
    train: Split, label_names: tuple[str, ...], clients: dict[str, Any] | None, site_names: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Each client's images, labels and metrics, and the frequency of each label on its images.

    Args:
        train: the training split.
        label_names: C names.
        clients: the clients' metrics from the evaluation, if there are any.
        site_names: of sites 0, 1 …, if they have names.

    Returns:
        `each`: rows of the shown clients; `labels`: for each label its name, and a count and a fraction for each shown
        client; `scale`: the largest fraction; `count`: of all clients; `images`: the split used for the metrics.
    """
    owners, sizes = np.unique(train.sites[train.sites >= 0], return_counts=True)
    largest = np.sort(np.argsort(-sizes, kind="stable")[:SHOWN])
    figures = {row["client"]: row for row in clients["each"]} if clients else {}
    counts = np.stack([(train.labels[train.sites == owners[k]] == 1).sum(0) for k in largest])
    each = [
        {
            "client": int(owners[k]),
            "name": site_names[owners[k]] if site_names else str(owners[k]),
            "images": int(sizes[k]),
            "labels": int((counts[row] > 0).sum()),
            "per_image": float(counts[row].sum() / sizes[k]),
            "commonest": [label_names[c] for c in np.argsort(-counts[row], kind="stable")[:3] if counts[row, c]],
            "figures": figures.get(int(owners[k])),
        }
        for row, k in enumerate(largest)
    ]
    shares = counts / sizes[largest][:, None]
    labels = [
        {
            "name": name,
            "cells": [{"count": int(n), "share": float(s)} for n, s in zip(counts[:, c], shares[:, c], strict=True)],
        }
        for c, name in enumerate(label_names)
    ]
    return {
        "each": each,
        "labels": labels,
        "scale": max(float(shares.max()), 1e-9),
        "count": len(owners),
        "images": clients["images"] if clients else None,
        "mean": clients["mean"] if clients else None,
        "worst": clients["worst"] if clients else None,
    }
