"""fedmpt federation init: the folders of a server and its sites, with settings, bank, certificates, keys and app."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from fedmpt.common.files import write_atomically
from trainer.config.data import PartitionConfig
from trainer.config.settings import AUTO
from trainer.errors import TrainerError
from trainer.flower.certificates import write_certificates, write_node_key
from trainer.flower.facts import facts
from trainer.flower.installed import require_flower
from trainer.options import Options
from trainer.run_config import RunConfig
from trainer.session import prepare_new


@dataclass(frozen=True)
class Plan:
    """What a federation is to be.

    Attributes:
        sites: their number.
        hosts: names and addresses of the server; sites use the first.
        port: of the gate; the SuperLink gets the next.
        images: of the sites, see `trainer.flower.parties.Site`.
        threads: torch's at server and sites.
    """

    sites: int
    hosts: Sequence[str]
    port: int
    images: Literal["all", "partition"]
    threads: int


def found(folder: Path, plan: Plan, settings: RunConfig, bank: Path | None, options: Options) -> list[Path]:
    """Write the folders of a federation.

    Args:
        folder: new or empty; gets `server` and `sites`.
        plan: what it is to be.
        settings: the run's.
        bank: its file.
        options: how to load the server's data and backbone, which must be here.

    Returns:
        The folders of server and sites.

    Raises:
        TrainerError: the folder is in use, or see `prepare_new`.
    """
    require_flower()
    if folder.exists() and any(folder.iterdir()):
        raise TrainerError(f"{folder}: not empty; choose a new folder")
    if plan.images == "all":
        settings = _undivided(settings)
    torch.set_num_threads(plan.threads)
    prepared = prepare_new(settings, bank, options)
    server, sites = folder / "server", [folder / "sites" / f"client-{client}" for client in range(plan.sites)]
    for each in (server, *sites):
        each.mkdir(parents=True)
    for sub in ("nodes", "app"):
        (server / sub).mkdir()
    hosts = list(dict.fromkeys([*plan.hosts, "localhost", "127.0.0.1"]))
    write_certificates(hosts, server / "ca.pem", server / "server.pem", server / "server.key")
    config = prepared.config.model_dump(mode="json")
    copied = {"bank": bank, "labels": prepared.config.data.table.labels}
    named = {name: (file, f"{name}{file.suffix}") for name, file in copied.items() if file is not None}
    for each in (server, *sites):
        write_atomically(each / "settings.json", json.dumps(config, indent=2) + "\n")
        write_atomically(each / "expected.json", json.dumps(facts(prepared, bank), indent=2) + "\n")
        for file, copy in named.values():
            shutil.copyfile(file, each / copy)
    common = f"threads = {plan.threads}\n" + "".join(f'{name} = "{copy}"\n' for name, (_, copy) in named.items())
    write_atomically(server / "server.toml", _server(plan) + common + PLACES)
    _write_app(server / "app")
    for client, each in enumerate(sites):
        shutil.copyfile(server / "ca.pem", each / "ca.pem")
        write_node_key(each / "node.key", server / "nodes" / f"client-{client}.pub")
        write_atomically(each / "site.toml", _site(plan, client) + common + PLACES)
    return [server, *sites]


def _undivided(settings: RunConfig) -> RunConfig:
    """The settings for machines each of which has images of its own: all of one client.

    Raises:
        TrainerError: what would be taken from the clients' images, which the server does not know.
    """
    if getattr(settings.method, "context", None) == "sites":
        raise TrainerError("method.context=sites counts in the annotations of all sites, which no machine here has")
    if AUTO in (settings.federation.rounds, settings.optimiser.batch_size):
        raise TrainerError(
            "the server does not know how many images the sites have, from which rounds and batch size would be "
            "chosen; give --rounds and --set optimiser.batch_size"
        )
    data = settings.data.model_copy(update={"partition": PartitionConfig(kind="iid", clients=1)})
    # The server's images are no client's.
    evaluation = settings.evaluation.model_copy(update={"clients": False})
    return settings.model_copy(update={"data": data, "evaluation": evaluation})


PLACES = """
# Where data and weights are here; what is left out is as in settings.json.
# data_root = "images"
# weights = "ViT-B-16.safetensors"
# device = "auto"
# cache = "cache"
"""


def _server(plan: Plan) -> str:
    return f"""# The server of a federation: fedmpt federation serve server.toml
clients = {plan.sites}
# Where sites reach this machine: the gate, which passes on nothing but what their SuperNodes need.
address = "0.0.0.0:{plan.port}"
# The SuperLink. Whoever reaches it can start programs at all sites, so it listens on this machine alone.
superlink = "127.0.0.1:{plan.port + 1}"
# A round ends after so many seconds, or so long after the least number of replies (federation.min_replies).
round_seconds = 3600
late_seconds = 120
# What sites are asked to tell of test images of their own, after training: "no", "counts" (for each label how many
# images have it, are predicted to, and both: gives precision, recall and F1), or "scores" (of each image: mAP, too).
evaluation = "counts"
"""


def _site(plan: Plan, client: int) -> str:
    return f"""# A site of a federation: fedmpt federation doctor site.toml, then fedmpt federation join site.toml
client = {client}
address = "{plan.hosts[0]}:{plan.port}"
# Which training images are this site's: "all", or "partition" for those of its number in the settings' partition.
images = "{plan.images}"
# What this site tells of its test images, if it is asked: "no", "counts" for each label, or "scores" of each image.
evaluation = "counts"
"""


def _write_app(folder: Path) -> None:
    """The Flower app, which only calls this package."""
    write_atomically(folder / "pyproject.toml", APP)
    write_atomically(folder / "fedmpt_server.py", SERVER)
    write_atomically(folder / "fedmpt_client.py", CLIENT)


APP = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "fedmpt-federation"
version = "1.0.0"
description = "Federated multi-label prompt tuning"
license = "Apache-2.0"
dependencies = []

[tool.hatch.build.targets.wheel]
packages = ["."]

[tool.flwr.app]
publisher = "fedmpt"

[tool.flwr.app.components]
serverapp = "fedmpt_server:app"
clientapp = "fedmpt_client:app"

[tool.flwr.app.config]
"""

SERVER = """# The server app; fedmpt is installed at the server.
from trainer.flower.server_app import app

__all__ = ["app"]
"""

CLIENT = """# The client app; fedmpt is installed at each site.
from trainer.flower.client_app import app

__all__ = ["app"]
"""
