"""Who owns what: the clients of a run and the labels on their images."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer.data.base import Split

SHOWN = 40
"""Clients that the page lists; of more, the ones with the most images."""


def site_summary(
    train: Split, label_names: tuple[str, ...], clients: dict[str, Any] | None, site_names: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Each client's images, labels and figures, and how often each label stands on its images.

    Args:
        train: the owned images.
        label_names: C names.
        clients: the evaluation's figures of clients, if there are some.
        site_names: of the sites 0, 1 …, where they have names.

    Returns:
        `each`: rows of the shown clients; `labels`: rows of name and of a count and a share for each shown client;
        `scale`: the largest share; `count` of all clients; `images`: what the figures were measured on.
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
