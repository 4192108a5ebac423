"""The partition among clients: parity with the released split, guarantees of each kind, files, and label masks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file
from sklearn.metrics import adjusted_rand_score

from tests.shared import shared
from tests.trainer.small_runs import SMALL
from trainer.config.data import DataConfig, MaskConfig, PartitionConfig
from trainer.data.base import MultiLabelDataset, Split, client_indices
from trainer.data.masking import masked
from trainer.data.partition import (
    KINDS,
    check_partition,
    client_count,
    kmeans_owners,
    partition_hash,
    partitioned,
    rarest_labels,
    read_partition,
    save_partition,
)
from trainer.data.registry import load_dataset
from trainer.errors import TrainerError
from trainer.resolving import resolve


def image(index: int) -> Image.Image:
    return Image.new("RGB", (1, 1))


def split(name: str, labels: np.ndarray, sites: np.ndarray | None = None) -> Split:
    ids = tuple(f"{name}-{i:05d}" for i in range(len(labels)))
    return Split(name, ids, labels.astype(np.int8), np.full(len(labels), -1) if sites is None else sites, image)


def dataset(labels: np.ndarray, sites: np.ndarray | None = None) -> MultiLabelDataset:
    names = tuple(f"l{i}" for i in range(labels.shape[1]))
    return MultiLabelDataset(
        "made", names, split("train", labels, sites), split("validation", labels[:2]), split("test", labels[:3]), "x"
    )


def random_labels(images: int, labels: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((images, labels)) < 0.2).astype(np.int8)


@pytest.mark.parametrize("run", ["s0", "s1", "s2"])
def test_kmeans_is_the_released_split(run: str) -> None:
    """The same clusters; label vectors tie, so another BLAS may break a tie otherwise, at an equal inertia.

    On the processor that made the fixture they are equal image by image.
    """
    described = json.loads(shared("fixtures/kmeans_clients.json").read_text())["runs"][run]
    tensors = load_file(shared("fixtures/kmeans_clients.safetensors"))
    labels = tensors[f"{run}.labels"].astype(np.int8)
    owners = kmeans_owners(labels, described["K"], PartitionConfig())
    assert adjusted_rand_score(owners, tensors[f"{run}.cluster_ids"]) > 0.8
    assert inertia(labels, owners) == pytest.approx(described["inertia"], rel=5e-3)
    assert inertia(labels, np.random.default_rng(0).permutation(owners)) > 1.1 * described["inertia"]


def inertia(labels: np.ndarray, owners: np.ndarray) -> float:
    """Sum of squared distances of the softmaxed label vectors to their cluster's mean."""
    points = np.exp(labels.astype(np.float64))
    points /= points.sum(1, keepdims=True)
    clusters = (points[owners == owner] for owner in np.unique(owners))
    return float(sum(((cluster - cluster.mean(0)) ** 2).sum() for cluster in clusters))


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["iid", "dirichlet", "shards"]),
    images=st.integers(30, 120),
    labels=st.integers(2, 12),
    clients=st.integers(1, 8),
    seed=st.integers(0, 50),
)
def test_every_image_has_one_owner_and_every_client_some(
    kind: str, images: int, labels: int, clients: int, seed: int
) -> None:
    values = random_labels(images, labels, seed)
    chosen = PartitionConfig(kind=kind, seed=seed, alpha=1.0)  # type: ignore[arg-type]
    owners = KINDS[kind](values, clients, chosen)
    sizes = np.bincount(owners, minlength=clients)
    assert (len(sizes), sizes.sum()) == (clients, images)
    assert sizes.min() >= 1
    if kind == "iid":
        assert sizes.max() - sizes.min() <= 1
    if kind == "shards":
        assert sizes.max() - sizes.min() <= 2
    assert np.array_equal(owners, KINDS[kind](values, clients, chosen))


def test_small_alpha_and_shards_part_the_labels() -> None:
    """How many labels a client's images show: few with shards and a small alpha, nearly all at random."""
    values = np.eye(10, dtype=np.int8)[np.random.default_rng(0).integers(0, 10, 1000)]

    def labels_of_a_client(kind: str, alpha: float) -> float:
        owners = KINDS[kind](values, 10, PartitionConfig(alpha=alpha))
        return float(np.mean([values[owners == c].any(0).sum() for c in range(10)]))

    assert labels_of_a_client("iid", 1) == 10
    assert labels_of_a_client("shards", 1) < 4
    assert labels_of_a_client("dirichlet", 0.05) < labels_of_a_client("dirichlet", 0.5) < 10
    assert labels_of_a_client("dirichlet", 1000) == 10


def test_main_labels() -> None:
    """The rarest label: of image 0 label 1 (twice, against three times), of image 3 none."""
    values = np.array([[1, 1, 0], [1, 0, -1], [1, 1, 0], [0, -1, 0]])
    assert rarest_labels(values).tolist() == [1, 0, 1, 3]


def test_number_of_clients() -> None:
    assert [client_count(PartitionConfig(share=t), 20) for t in (0.1, 0.5, 1.0)] == [2, 10, 20]
    assert client_count(PartitionConfig(share=0.01), 20) == 1
    assert client_count(PartitionConfig(clients=7, share=0.1), 20) == 7


@pytest.mark.parametrize(
    ("kind", "clients", "said"),
    [
        ("kmeans", 5, "only 3 different sets of labels"),
        ("iid", 9, "8 training images are too few"),
        ("shards", 5, "too few for a partition that needs 10"),
    ],
)
def test_too_many_clients(kind: str, clients: int, said: str) -> None:
    values = np.array([[1, 0], [0, 1], [1, 1], [1, 0], [1, 0], [1, 0], [1, 0], [1, 0]])
    with pytest.raises(TrainerError, match=said):
        partitioned(dataset(values), PartitionConfig(kind=kind, clients=clients))  # type: ignore[arg-type]


def test_dirichlet_gives_up_after_so_many_draws() -> None:
    values = np.ones((40, 1), np.int8)
    with pytest.raises(TrainerError, match="after 100 draws"):
        KINDS["dirichlet"](values, 8, PartitionConfig(alpha=0.001, least=4))


def test_own_sites_or_kmeans() -> None:
    values = random_labels(40, 5)
    owned = dataset(values, np.arange(40) % 3)
    assert partitioned(owned, PartitionConfig()).train is owned.train
    assert partitioned(owned, PartitionConfig()).partition == "site"
    dealt = partitioned(owned, PartitionConfig(kind="kmeans", clients=4))
    assert np.array_equal(dealt.train.sites, kmeans_owners(values, 4, PartitionConfig()))
    assert len(np.unique(partitioned(dataset(values), PartitionConfig()).train.sites)) == 5
    with pytest.raises(TrainerError, match="no sites of its own"):
        partitioned(dataset(values), PartitionConfig(kind="site"))


class TestFiles:
    def saved(self, folder: Path, **change: object) -> tuple[Path, MultiLabelDataset]:
        data = partitioned(dataset(random_labels(30, 4)), PartitionConfig(kind="iid", clients=3))
        path = folder / "partition.json"
        save_partition(data, PartitionConfig(kind="iid", clients=3), path)
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        return path, data

    def test_round_trip(self, tmp_path: Path) -> None:
        path, data = self.saved(tmp_path)
        assert np.array_equal(read_partition(path, data.train), data.train.sites)
        again = partitioned(dataset(random_labels(30, 4)), PartitionConfig(kind="kmeans", file=path))
        assert partition_hash(again.train) == partition_hash(data.train) == json.loads(path.read_text())["hash"]
        check_partition(path, data)
        check_partition(tmp_path / "none.json", data)
        with pytest.raises(TrainerError, match="own other images"):
            check_partition(path, partitioned(data, PartitionConfig(kind="iid", clients=3, seed=1)))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"format": 2}, "no partition of format 1"),
            ({"hash": "sha256:0"}, "changed or damaged"),
            ({"clients": {"0": ["train-00000"], "1": ["train-00000"]}}, "two owners"),
            ({"clients": {"0": ["train-00000"]}}, "lacks the training image train-00001 and 28 more"),
            ({"clients": {"x": ["train-00000"]}}, "clients must be"),
            ({"clients": [1]}, "clients must be"),
            (
                {"clients": {"0": [*(f"train-{i:05d}" for i in range(30)), "test-00000"]}},
                "image that is not trained on",
            ),
        ],
    )
    def test_files_that_do_not_fit(self, tmp_path: Path, change: dict[str, object], said: str) -> None:
        path, data = self.saved(tmp_path, **change)
        with pytest.raises(TrainerError) as caught:
            read_partition(path, data.train)
        assert said in str(caught.value)

    @pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff", b'{"format": 1'])
    def test_other_files_are_refused(self, tmp_path: Path, content: bytes | None) -> None:
        if content is not None:
            (tmp_path / "x.json").write_bytes(content)
        with pytest.raises(TrainerError, match="partition"):
            read_partition(tmp_path / "x.json", split("train", random_labels(3, 2)))


class TestMasks:
    def test_positives_alone_by_rate(self) -> None:
        values = random_labels(500, 20)
        ids = split("train", values).ids
        found = masked(values, ids, MaskConfig(rate=0.3))
        hidden = found != values
        assert (values[hidden] == 1).all()
        assert (found[hidden] == -1).all()
        assert 0.25 < hidden.sum() / (values == 1).sum() < 0.35

    def test_known_labels_or_negatives(self) -> None:
        values = random_labels(500, 20)
        values[0, :3] = -1
        ids = split("train", values).ids
        found = masked(values, ids, MaskConfig(rate=0.5, of="known"))
        assert 0.45 < (found == -1).mean() < 0.55
        assert (found[0, :3] == -1).all()
        assert set(np.unique(masked(values, ids, MaskConfig(rate=1.0), 0))) == {-1, 0}
        assert masked(values, ids, MaskConfig()) is values

    @settings(deadline=None)
    @given(st.integers(0, 20), st.floats(0, 1), st.floats(0, 1))
    def test_a_higher_rate_hides_the_same_and_more(self, seed: int, a: float, b: float) -> None:
        """Whichever other images there are."""
        values = random_labels(30, 6)
        ids = split("train", values).ids
        low, high = (masked(values, ids, MaskConfig(rate=r, seed=seed)) == -1 for r in sorted((a, b)))
        assert not (low & ~high).any()
        part = masked(values[7:9], ids[7:9], MaskConfig(rate=max(a, b), seed=seed))
        assert np.array_equal(part == -1, high[7:9])

    def settings(self, **more: object) -> DataConfig:
        small = {"images_per_site": 20, "validation_images": 5, "test_images": 5, "mask.rate": 0.5, **more}
        return resolve(overrides={f"data.{k}": v for k, v in small.items()}).data

    def test_training_images_alone(self) -> None:
        full = load_dataset(self.settings(**{"mask.rate": 0}))
        found = load_dataset(self.settings())
        assert (found.train.labels == -1).any()
        assert np.array_equal(found.test.labels, full.test.labels)
        assert np.array_equal(found.validation.labels, full.validation.labels)
        assert found.fingerprint == full.fingerprint  # its pixels are the same, so cached features are too

    def test_released_hides_first_and_calls_it_absent(self) -> None:
        kmeans = {"partition.kind": "kmeans", "partition.clients": 4}
        clean = load_dataset(self.settings(**kmeans))
        unmasked = load_dataset(self.settings(**kmeans, **{"mask.rate": 0}))
        assert np.array_equal(clean.train.sites, unmasked.train.sites)
        old = load_dataset(self.settings(**kmeans, variant="released"))
        assert not (old.train.labels == -1).any()
        assert np.array_equal(old.train.labels == 1, clean.train.labels == 1)
        assert np.array_equal(old.train.sites, kmeans_owners(old.train.labels, 4, PartitionConfig()))
        assert not np.array_equal(old.train.sites, clean.train.sites)


def test_an_image_in_two_splits_is_refused() -> None:
    data = dataset(random_labels(5, 2))
    with pytest.raises(ValueError, match="is in test and in another split"):
        replace(data, test=replace(data.train, name="test"))


def test_owners_are_the_sites() -> None:
    dataset = load_dataset(resolve(overrides=SMALL).data)
    owned = client_indices(dataset.train)
    assert [len(o) for o in owned] == [12, 12]
    assert sorted(np.concatenate(owned).tolist()) == list(range(24))


def test_the_number_of_a_client_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"format": 1, "clients": {"99999999999999999999": ["a"]}}')
    with pytest.raises(TrainerError, match="not the number of a client"):
        read_partition(tmp_path / "p.json", split("train", random_labels(3, 2)))
