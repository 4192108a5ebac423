"""Weights of a tag: from the cache, or fetched if that was asked for; without a network the answer is immediate."""

from __future__ import annotations

import time
from pathlib import Path

import huggingface_hub
import open_clip.pretrained
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from trainer.backbone import fetching
from trainer.backbone.architectures import architecture_names
from trainer.backbone.fetching import locate
from trainer.errors import RunFailed, TrainerError


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, bool]]:
    """Requests to a hub with an empty cache."""
    asked: list[tuple[str, str, bool]] = []

    def download(repository: str, file: str, local_files_only: bool = False) -> str:
        asked.append((repository, file, local_files_only))
        if local_files_only:
            raise LocalEntryNotFoundError("nothing is cached")
        return f"/cache/{file}"

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def test_only_safetensors_are_asked_for(hub: list[tuple[str, str, bool]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_unreachable", lambda: None)
    for name in architecture_names()[1:]:
        for tag in open_clip.list_pretrained_tags_by_model(name):
            path, config = locate(name, tag)
            assert path.suffix == ".safetensors"
            assert config
    assert {Path(file).suffix for _, file, _ in hub} == {".safetensors"}


def test_nothing_is_fetched_unasked(hub: list[tuple[str, str, bool]]) -> None:
    with pytest.raises(TrainerError, match="not on this machine, and nothing is fetched unasked"):
        locate("ViT-B-32", "openai", fetch=False)
    assert [local for _, _, local in hub] == [True]


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_without_a_network_the_answer_is_one_line_at_once(
    hub: list[tuple[str, str, bool]], monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    for proxy in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    began = time.monotonic()
    with pytest.raises(RunFailed, match="there is no network") as raised:
        locate("ViT-B-32", "openai")
    assert time.monotonic() - began < 2 * fetching.PATIENCE_SECONDS
    assert "\n" not in str(raised.value)
    assert [local for _, _, local in hub] == [True]


def test_a_set_offline_mode_is_said(hub: list[tuple[str, str, bool]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(RunFailed, match="HF_HUB_OFFLINE is set"):
        locate("ViT-B-32", "openai")
