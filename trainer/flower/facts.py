"""What must be equal at the server and at every site, so that they train the same model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trainer.backbone.tensor_files import hash_tensors
from trainer.flower.envelope import PROTOCOL, Facts, digest
from trainer.preparing import Prepared
from trainer.run_config import RunConfig

SECTIONS = ("method", "federation", "optimiser", "loss", "seeds", "unseen_labels")
"""The settings that must be equal as a whole."""

BACKBONE = ("name", "resize", "patch_source")
COMPUTE = ("precision", "feature_type", "compile", "deterministic", "text_chunk")
"""The settings of these two sections that must be equal; the others say where files are and what is kept."""


def facts(prepared: Prepared, bank: Path | None) -> Facts:
    """What must be equal, by the words for it; hashes for what is long.

    Args:
        prepared: the run's data, backbone and method, whose state is that before training.
        bank: the run's bank.
    """
    import torch

    clip, method = prepared.method.clip, prepared.method
    return {
        "the protocol": str(PROTOCOL),
        "fedmpt's version": version("fedmpt"),
        "torch's version": version("torch"),
        "Flower's version": version("flwr"),
        "the number of threads": str(torch.get_num_threads()),
        "the labels or their order": _hash(list(method.label_names)),
        "the bank": bank_hash(bank),
        "the backbone's weights": f"sha256:{clip.weights_hash}",
        "the backbone's preprocessing": _hash(clip.preprocess.identity()),
        "the method's fixed numbers": f"sha256:{hash_tensors({**method.fixed(), **method.personal_start})}",
        **settings_facts(prepared.config),
    }


def settings_facts(config: RunConfig) -> Facts:
    """The settings that must be equal, a hash for each section."""
    content = config.model_dump(mode="json")
    kept = {name: content[name] for name in SECTIONS}
    kept["backbone"] = {name: content["backbone"][name] for name in BACKBONE}
    kept["compute"] = {name: content["compute"][name] for name in COMPUTE}
    return {f"the settings of {name}": _hash(value) for name, value in kept.items()}


def differences(own: Mapping[str, str], others: Mapping[str, str]) -> str | None:
    """What differs from the own facts, in words; None if nothing does."""
    different = [name for name in own if others.get(name) != own[name]]
    different += [name for name in others if name not in own]
    shown = [f"{name} ({_short(others.get(name))}, not {_short(own.get(name))})" for name in different[:6]]
    more = f" and {len(different) - 6} more" if len(different) > 6 else ""
    return ", ".join(shown) + more if different else None


def bank_hash(path: Path | None) -> str:
    """The hash of a bank's content; "none" without a bank."""
    from prompt_bank.recording.store import content_hash, load

    return "none" if path is None else content_hash(load(path).bank)


def _hash(value: Any) -> str:
    return digest(json.dumps(value, sort_keys=True).encode())


def _short(value: str | None) -> str:
    return "missing" if value is None else value[:19]
