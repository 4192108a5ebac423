"""Find a backbone's weights: a file, or a tag of open_clip from the local cache or the network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fedmpt.common.files import expanded
from trainer.backbone.tensor_files import SUFFIX
from trainer.errors import RunFailed, TrainerError, unknown_name

PATIENCE_SECONDS = 5.0
"""How long the hub may take to answer at all. Its own client tries for a minute before it gives up."""


def locate(name: str, pretrained: str, fetch: bool = True) -> tuple[Path, dict[str, Any]]:
    """The weights file of a path or a tag, and open_clip's settings of the tag.

    Args:
        name: one of `architecture_names`, but not scenes-tiny.
        pretrained: a path, or a tag.
        fetch: whether a tag's file may be downloaded; if not, it must be in the local cache.

    Raises:
        TrainerError: an unknown tag, or one whose file is not safetensors or not on this machine.
        RunFailed: the network failed.
    """
    if is_path(pretrained):
        return expanded(pretrained), {}
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    config = get_pretrained_cfg(name, pretrained)
    if not config:
        raise unknown_name(f"pretrained weights of {name}", pretrained, open_clip.list_pretrained_tags_by_model(name))
    repository, _, file = config.get("hf_hub", "").rpartition("/")
    if not repository:
        raise TrainerError(f"open_clip has the weights {name}/{pretrained} in a format that can run code only")
    return _cached_or_fetched(f"{name}/{pretrained}", repository, _safe_name(file), fetch), config


def is_path(pretrained: str) -> bool:
    """Whether the name of weights is a path rather than a tag."""
    return pretrained.endswith(SUFFIX) or pretrained.startswith(("~", "$")) or Path(pretrained).exists()


def _safe_name(file: str) -> str:
    """The safetensors file beside a file of open_clip's list, by the hub's custom."""
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    return HF_SAFE_WEIGHTS_NAME if file in ("", HF_WEIGHTS_NAME) else str(Path(file).with_suffix(SUFFIX))


def _cached_or_fetched(what: str, repository: str, file: str, fetch: bool) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, file, local_files_only=True))
    except (LocalEntryNotFoundError, OSError):
        pass
    by_hand = f"download {file} of {repository} and pass its path"
    if not fetch:
        raise TrainerError(f"the weights {what} are not on this machine, and nothing is fetched unasked; {by_hand}")
    if problem := _unreachable():
        raise RunFailed(f"the weights {what} are not on this machine, and there is no network ({problem}); {by_hand}")
    try:
        return Path(hf_hub_download(repository, file))
    except EntryNotFoundError as error:
        raise TrainerError(f"the weights {what} are published without a {SUFFIX} file; others can run code") from error
    except Exception as error:  # the hub's client passes on what its HTTP library raises, whichever that is
        said = f"{type(error).__name__}; run the same command again to go on"
        raise RunFailed(f"the weights {what} could not be fetched ({said}); or {by_hand}") from error


def _unreachable() -> str | None:
    """Why the hub does not answer, within seconds; None if it answers, whatever it says."""
    import urllib.error
    import urllib.request

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE") == "1":
        return "HF_HUB_OFFLINE is set"
    try:
        asked = urllib.request.Request(constants.ENDPOINT, method="HEAD")  # noqa: S310 (the user's own setting)
        urllib.request.urlopen(asked, timeout=PATIENCE_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError:
        return None
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
    return None
