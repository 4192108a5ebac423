"""The partition of training images among clients: creating, saving and loading it.

Shape letters: n training images in the order of their ids, C labels, K clients.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fedmpt.common.foreign_json import ForeignJsonError, read_json
from trainer.config.data import PartitionConfig
from trainer.data.base import MultiLabelDataset, Split
from trainer.errors import TrainerError
from trainer.seeding import numpy_generator

RETRIES = 100
"""Maximum number of draws of a dirichlet partition."""

FORMAT = 1


def partitioned(dataset: MultiLabelDataset, settings: PartitionConfig) -> MultiLabelDataset:
    """The data set with its training images distributed among clients.

    Raises:
        TrainerError: a kind that the data set does not support, too few images, or a file of other images.
    """
    if settings.file is not None:
        kind, owners = "file", read_partition(settings.file, dataset.train)
    else:
        kind = _kind(dataset, settings)
        if kind == "site":
            return replace(dataset, partition=kind)
        owners = KINDS[kind](dataset.train.labels, client_count(settings, len(dataset.label_names)), settings)
    owners = owners.astype(np.int64)
    # Test images belong to the data set's own sites, which are not the clients now.
    test = replace(dataset.test, sites=np.full(len(dataset.test), -1, np.int64))
    train = replace(dataset.train, sites=owners)
    return replace(dataset, train=train, test=test, site_names=(), partition=kind)


def client_count(settings: PartitionConfig, labels: int) -> int:
    """K: as set, otherwise round(t·C) but at least one."""
    return settings.clients or max(1, round(settings.share * labels))


def kmeans_owners(labels: np.ndarray, clients: int, settings: PartitionConfig) -> np.ndarray:
    """Clients are k-means clusters of softmaxed label vectors (FedMPT, Table 1); unknown labels count as absent.

    Args:
        labels: (n, C); 1, 0, -1 unknown.
        clients: K.
        settings: the seed.

    Returns:
        (n,) the client of each image, 0 … K-1.

    Raises:
        TrainerError: fewer than K distinct label vectors.
    """
    import torch
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    known = torch.from_numpy((labels == 1).astype(np.float32))
    different = len(np.unique(labels == 1, axis=0))
    if different < clients:
        raise TrainerError(
            f"kmeans: {clients} clients, but only {different} different sets of labels among the training images; "
            "lower data.partition.clients or data.partition.share"
        )
    # A single thread makes the order of summation, and so the last bit of distances, reproducible.
    with threadpool_limits(limits=1):
        found = KMeans(n_clusters=clients, random_state=settings.seed, n_init=1).fit(torch.softmax(known, 1).numpy())
    return np.asarray(found.labels_)


def iid_owners(labels: np.ndarray, clients: int, settings: PartitionConfig) -> np.ndarray:
    """A random partition into clients of equal size (±1 image).

    Raises:
        TrainerError: fewer images than clients.
    """
    _enough(len(labels), clients)
    order = numpy_generator(settings.seed, "iid").permutation(len(labels))
    owners = np.empty(len(labels), np.int64)
    for client, part in enumerate(np.array_split(order, clients)):
        owners[part] = client
    return owners


def dirichlet_owners(labels: np.ndarray, clients: int, settings: PartitionConfig) -> np.ndarray:
    """The images of each label are distributed in proportions drawn from Dirichlet(alpha) (Hsu et al., 2019).

    An image counts for its rarest label. Redrawn, up to `RETRIES` times, until each client has `least` images.

    Raises:
        TrainerError: no draw gives every client enough images.
    """
    _enough(len(labels), clients * settings.least)
    groups = rarest_labels(labels)
    for attempt in range(RETRIES):
        rng = numpy_generator(settings.seed, "dirichlet", attempt)
        owners = np.empty(len(labels), np.int64)
        for group in np.unique(groups):
            images = rng.permutation(np.flatnonzero(groups == group))
            ends = np.cumsum(rng.dirichlet(np.full(clients, settings.alpha)))[:-1]
            for client, part in enumerate(np.split(images, np.round(ends * len(images)).astype(np.int64))):
                owners[part] = client
        if np.bincount(owners, minlength=clients).min() >= settings.least:
            return owners
    raise TrainerError(
        f"dirichlet: after {RETRIES} draws some of {clients} clients still has fewer than {settings.least} images; "
        "raise data.partition.alpha, or lower data.partition.least or the number of clients"
    )


def shard_owners(labels: np.ndarray, clients: int, settings: PartitionConfig) -> np.ndarray:
    """Images sorted by their rarest label are cut into K·`shards` shards, of which each client gets `shards` at random.

    Raises:
        TrainerError: fewer images than shards.
    """
    pieces = clients * settings.shards
    _enough(len(labels), pieces)
    rng = numpy_generator(settings.seed, "shards")
    shuffled = rng.permutation(len(labels))  # random order among images with the same rarest label
    order = shuffled[np.argsort(rarest_labels(labels)[shuffled], kind="stable")]
    owners = np.empty(len(labels), np.int64)
    for piece, part in zip(rng.permutation(pieces), np.array_split(order, pieces), strict=True):
        owners[part] = piece // settings.shards
    return owners


KINDS: dict[str, Callable[[np.ndarray, int, PartitionConfig], np.ndarray]] = {
    "kmeans": kmeans_owners,
    "dirichlet": dirichlet_owners,
    "iid": iid_owners,
    "shards": shard_owners,
}


def rarest_labels(labels: np.ndarray) -> np.ndarray:
    """(n,) the rarest label of each image, the first if tied; C for images without labels."""
    present = labels == 1
    rank = np.argsort(np.argsort(present.sum(0), kind="stable"), kind="stable")
    ranked = np.where(present, rank, labels.shape[1])
    return np.where(present.any(1), ranked.argmin(1), labels.shape[1])


def partition_hash(split: Split) -> str:
    """The hash "sha256:…" of ids and owners."""
    lines = "".join(f"{owner}\t{id_}\n" for id_, owner in zip(split.ids, split.sites.tolist(), strict=True))
    return "sha256:" + hashlib.sha256(lines.encode()).hexdigest()


def save_partition(dataset: MultiLabelDataset, settings: PartitionConfig, path: Path) -> None:
    """Write the partition as human-readable JSON, for `data.partition.file`: what was asked for and what was made."""
    split = dataset.train
    clients = {
        str(owner): [split.ids[i] for i in np.flatnonzero(split.sites == owner)] for owner in np.unique(split.sites)
    }
    content: dict[str, Any] = {
        "format": FORMAT,
        "dataset": dataset.name,
        "asked": "file" if settings.file else settings.kind,
        "kind": dataset.partition,
        "settings": settings.model_dump(mode="json", exclude={"file"}),
        "hash": partition_hash(split),
        "site_names": list(dataset.site_names),
        "clients": clients,
    }
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def read_partition(path: Path, split: Split) -> np.ndarray:
    """(n,) the owners in a saved partition.

    Raises:
        TrainerError: an unreadable file, another format, a wrong hash, or a partition of other images.
    """
    try:
        content = read_json(path)
    except ForeignJsonError as error:
        raise TrainerError(f"{path}: cannot be read as a partition ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise TrainerError(f"{path}: no partition of format {FORMAT}; make one with fedmpt datasets partition --out")
    owner: dict[str, int] = {}
    try:
        for client, ids in content["clients"].items():
            if not -1 <= int(client) < 10**9:
                raise TrainerError(f"{path}: {client[:20]} is not the number of a client")
            for id_ in ids:
                if id_ in owner:
                    raise TrainerError(f"{path}: {id_} has two owners, {owner[id_]} and {client}")
                owner[id_] = int(client)
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise TrainerError(f"{path}: clients must be an object of lists of image ids ({error!r})") from error
    missing = [id_ for id_ in split.ids if id_ not in owner]
    surplus = sorted(owner.keys() - set(split.ids))
    for what, ids in (("lacks the training image", missing), ("has an image that is not trained on,", surplus)):
        if ids:
            more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
            raise TrainerError(f"{path}: {what} {ids[0]}{more}; the partition is of other data or other settings")
    owners = np.array([owner[id_] for id_ in split.ids], np.int64)
    if content.get("hash") != partition_hash(replace(split, sites=owners)):
        raise TrainerError(f"{path}: the owners are not those of its hash; it was changed or damaged")
    return owners


def check_partition(path: Path, dataset: MultiLabelDataset) -> None:
    """Check that a run's saved partition is the data set's. Runs of older versions have no such file.

    Raises:
        TrainerError: the partition differs, because the data, the settings or the clustering library changed.
    """
    if path.exists() and not np.array_equal(read_partition(path, dataset.train), dataset.train.sites):
        raise TrainerError(
            f"{path}: the run's clients own other images than those that are drawn now; the data or a library "
            f"changed. A new run can use the old owners: fedmpt train --partition {path}"
        )


def _kind(dataset: MultiLabelDataset, settings: PartitionConfig) -> str:
    has_sites = len(dataset.train) > 0 and bool((dataset.train.sites >= 0).all())
    if settings.kind == "auto":
        return "site" if has_sites else "kmeans"
    if settings.kind == "site" and not has_sites:
        raise TrainerError(f"{dataset.name} has no sites of its own; choose another data.partition.kind")
    return settings.kind


def _enough(images: int, needed: int) -> None:
    if images < needed:
        raise TrainerError(f"{images} training images are too few for a partition that needs {needed}")
