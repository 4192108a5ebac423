"""The files that say what a server or a site is: server.toml and site.toml, beside settings, bank and keys."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from fedmpt.common.foreign_json import read_bytes
from trainer.data.base import client_indices, client_sites
from trainer.errors import TrainerError
from trainer.evaluation.at_sites import Tells
from trainer.flower.envelope import Facts
from trainer.flower.patience import Waiting
from trainer.options import Options
from trainer.preparing import Prepared
from trainer.resolving import resolve
from trainer.run.records import read_record
from trainer.run_config import RunConfig

Address = Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):\d{1,5}$")]
"""HOST:PORT."""


class Party(BaseModel):
    """What server and sites have in common. Paths in the file are relative to it.

    Attributes:
        settings: the run's settings, equal everywhere but for where data and weights are.
        bank: the prompt bank; equal everywhere.
        expected: what must be equal everywhere, as the server found it.
        threads: torch's; with another number results can differ in their last digits.
        ca: the certificate with which the server's is checked.
        labels: the file of labels of `data.table.labels`; None if the settings name none.
        data_root: the images' folder; None for that of the settings.
        weights: the backbone's .safetensors file or open_clip tag; None for that of the settings.
        device: auto, cpu, cuda …
        cache: folder of features.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: Path = Path("settings.json")
    bank: Path | None = None
    expected: Path = Path("expected.json")
    threads: int = Field(ge=1, le=1024)
    ca: Path = Path("ca.pem")
    labels: Path | None = None
    data_root: Path | None = None
    weights: str | None = None
    device: str = "auto"
    cache: Path = Path("cache")


class Server(Party):
    """server.toml.

    Attributes:
        clients: the number of sites.
        run: the run's folder.
        address: where sites reach the server: HOST:PORT of the gate, which passes on what SuperNodes need alone.
        superlink: HOST:PORT of the SuperLink, reachable from this machine alone.
        certificate, key: of the server.
        nodes: folder of the sites' public keys.
        app: the Flower app's folder.
        round_seconds, late_seconds: see `Waiting`.
        evaluation: what the sites are asked to tell of their test images, see `Tells`; a site may tell less.
    """

    clients: int = Field(ge=1, le=100_000)
    run: Path = Path("run")
    address: Address
    superlink: Address
    certificate: Path = Path("server.pem")
    key: Path = Path("server.key")
    nodes: Path = Path("nodes")
    app: Path = Path("app")
    round_seconds: float = Field(Waiting().round, gt=0)
    late_seconds: float = Field(Waiting().late, ge=0)
    evaluation: Tells = "counts"


class Site(Party):
    """site.toml.

    Attributes:
        client: the site's number.
        address: HOST:PORT of the server's gate.
        key: the site's private key.
        images: which of the training images are this site's: all, or those of its number in the partition.
        evaluation: what the site tells of its test images, see `Tells`.
    """

    client: int = Field(ge=0, lt=100_000)
    address: Address
    key: Path = Path("node.key")
    images: Literal["all", "partition"] = "all"
    evaluation: Tells = "counts"


P = TypeVar("P", Server, Site)
PATHS = (
    "settings",
    "bank",
    "expected",
    "ca",
    "labels",
    "data_root",
    "cache",
    "run",
    "certificate",
    "key",
    "nodes",
    "app",
)


def read_party(file: Path, kind: type[P]) -> P:
    """Read server.toml or site.toml; its paths become absolute.

    Raises:
        FedmptError: unreadable, or a wrong value.
    """
    try:
        content: dict[str, Any] = tomllib.loads(read_bytes(file).decode())
        read = kind.model_validate(content)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainerError(f"{file}: not a TOML file ({error})") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise TrainerError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    folder = file.absolute().parent
    there = {name: getattr(read, name) for name in PATHS if getattr(read, name, None) is not None}
    return read.model_copy(update={name: folder / path.expanduser() for name, path in there.items()})


def party_settings(party: Party) -> RunConfig:
    """The run's settings with this party's places of data and weights.

    Raises:
        TrainerError: unreadable settings.
    """
    config = resolve(party.settings)
    if party.weights is not None:
        backbone = config.backbone.model_copy(update={"pretrained": party.weights})
        config = config.model_copy(update={"backbone": backbone})
    if party.labels is not None:
        table = config.data.table.model_copy(update={"labels": party.labels})
        config = config.model_copy(update={"data": config.data.model_copy(update={"table": table})})
    return config


def party_options(party: Party) -> Options:
    """How to load the run at this party."""
    return Options(party.cache, party.device, data_root=party.data_root)


def own_images(site: Site, prepared: Prepared) -> np.ndarray:
    """The indices of a site's training images.

    Raises:
        TrainerError: the partition has no such client.
    """
    if site.images == "all":
        return np.arange(len(prepared.dataset.train))
    owned = client_indices(prepared.dataset.train)
    if site.client >= len(owned):
        raise TrainerError(f"client {site.client}: the partition has clients 0 to {len(owned) - 1} only")
    return owned[site.client]


def own_test_images(site: Site, prepared: Prepared) -> np.ndarray:
    """The indices of a site's test images; with a partition those of its site, if test images have one."""
    test = prepared.dataset.test
    if site.images == "all":
        return np.arange(len(test))
    sites = client_sites(prepared.dataset.train)
    return np.flatnonzero(test.sites == sites[site.client])


class Expected(RootModel[Facts]):
    """expected.json."""


def read_expected(party: Party) -> Facts:
    """What must be equal everywhere, as the server found it.

    Raises:
        FedmptError: the file is damaged.
    """
    content: Facts = read_record(party.expected, Expected)[0]
    return content
