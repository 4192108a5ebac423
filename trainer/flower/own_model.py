"""A site's own model: the shared one, exported by the server, with the parts that only this site has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from trainer.errors import TrainerError
from trainer.federation.memory import PERSONAL, ClientState
from trainer.flower.joining import memory_of
from trainer.flower.parties import Site, party_options, party_settings, read_party
from trainer.inference.card import card_of_client
from trainer.inference.export import check_new, of_client, write_exported
from trainer.inference.exported import WEIGHTS, ExportedConfig, read_config, read_tensors
from trainer.inference.model import Model
from trainer.preparing import Prepared


def own_model(file: Path, exported: Path, out: Path) -> int:
    """Write an exported model that has this site's own parts.

    Args:
        file: site.toml.
        exported: the folder of the shared model.
        out: a new folder.

    Returns:
        The number of rounds after which the site's parts were kept.

    Raises:
        TrainerError: the method has no such parts, the site has none yet, or the model is another run's.
    """
    check_new(out)
    party, config = read_party(file, Site), read_config(exported)
    # On the CPU, as `fedmpt export`.
    prepared = replace(party_options(party), device="cpu").prepare(party_settings(party), party.bank)
    memory = memory_of(file, prepared)
    if memory is None or not prepared.method.personal:
        raise TrainerError(f"{prepared.config.method.name} has no parts of a client's own: use {exported} as it is")
    _check_same(exported, config, prepared)
    if config.at_sites is None:
        raise TrainerError(f"{exported}: no model of a federation of several machines, or a client's own already")
    if not (rounds := config.at_sites.rounds.get(party.client, 0)):
        raise TrainerError(
            f"{exported}: client {party.client} has no parts of its own in it: its training never counted"
        )
    memory.folder /= config.at_sites.memory
    memory.take_up(party.client, rounds)
    kept = memory.load(party.client) or ClientState()
    tensors = read_tensors(exported, WEIGHTS)
    shared = {name: t for name, t in tensors.items() if not name.startswith(PERSONAL) and name != "text_features"}
    try:
        prepared.method.receive(shared, kept.personal)
    except ValueError as error:
        raise TrainerError(f"{exported}: the weights are not of this site's model ({error})") from error
    with torch.no_grad():
        text = prepared.method.text_features()
    model = Model(prepared.method, text, config.threshold, {"patch_source": config.backbone.patch_source})
    described = of_client(config, party.client)
    write_exported(out, model, described, card_of_client(_card_of(exported), party.client))
    return rounds


def _check_same(exported: Path, config: ExportedConfig, prepared: Prepared) -> None:
    method, clip = prepared.method, prepared.method.clip
    same = {
        "labels": config.labels == method.label_names,
        "settings of the method": config.method == prepared.config.method,
        "image tower": config.backbone.vision_sha256 == clip.vision_hash,
    }
    if different := [name for name, equal in same.items() if not equal]:
        raise TrainerError(f"{exported}: not the model of this site's federation: other {', '.join(different)}")


def _card_of(exported: Path) -> str:
    path = exported / "README.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""
