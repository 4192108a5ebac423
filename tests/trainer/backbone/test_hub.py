"""Weights by hub name, by the real client from a hub on localhost (HF_ENDPOINT), in processes of their own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import open_clip
import pytest
from safetensors.torch import save

from trainer.backbone.load import from_file

NAME, FILE = "ViT-S-32-alt", "open_clip_model.safetensors"
"""The smallest of open_clip's plain CLIPs. It has no published weights, so the test adds a tag to open_clip's list."""
PATIENCE = 600.0
LOAD = f"""
import sys, open_clip.pretrained as listed
from trainer.backbone.load import load_backbone
from trainer.errors import TrainerError, RunFailed
listed._PRETRAINED["{NAME}"] = {{"here": dict(hf_hub="owner/small/", mean=(0.1, 0.2, 0.3))}}
try:
    clip = load_backbone("{NAME}", "here", fetch=sys.argv[1] == "fetch")
except (TrainerError, RunFailed) as error:
    print(type(error).__name__, error)
else:
    print("loaded", clip.weights_hash, clip.preprocess.mean)
"""


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        content = self.server.content
        if self.path != f"/owner/small/resolve/main/{FILE}":
            self.send_response(404)
            self.send_header("x-error-code", "EntryNotFound" if "/resolve/" in self.path else "RepoNotFound")
            self.send_header("content-length", "0")
            self.end_headers()
            return
        asked = self.headers.get("range")
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("content-range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("content-length", str(len(content) - start))
        self.send_header("etag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("x-repo-commit", "0" * 40)
        self.end_headers()
        if body:
            self.server.starts.append(start)
            self.wfile.write(content[start : start + self.server.piece] if self.server.piece else content[start:])

    def log_message(self, *_: Any) -> None:
        """Silent."""


class Hub(ThreadingHTTPServer):
    """Has one file; sends only a piece of it where `piece` is set."""

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.piece = content, 0
        self.starts: list[int] = []

    def handle_error(self, *_: Any) -> None:
        """Disconnected clients are expected."""


@pytest.fixture(scope="module")
def weights() -> bytes:
    return save(open_clip.create_model(NAME, pretrained=None, load_weights=False).state_dict())


@pytest.fixture
def hub(weights: bytes) -> Iterator[Hub]:
    running = Hub(weights)
    thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def load(hub: Hub | None, home: Path, what: str = "fetch") -> str:
    """What a process says that loads the weights; None: of a hub that nobody answers for."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and not k.lower().endswith("_proxy")}
    port = hub.server_address[1] if hub else 9
    mine = {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, what],
        env={**kept, **mine, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_weights_are_fetched_once_and_then_need_no_network(hub: Hub, tmp_path: Path, weights: bytes) -> None:
    (tmp_path / FILE).write_bytes(weights)
    expected = from_file(NAME, tmp_path / FILE).weights_hash
    assert load(hub, tmp_path) == f"loaded {expected} (0.1, 0.2, 0.3)"
    assert hub.starts == [0]
    assert load(None, tmp_path, "local").startswith(f"loaded {expected}")


def test_an_interrupted_download_is_told_and_goes_on(hub: Hub, tmp_path: Path) -> None:
    hub.piece = 5_000_000
    said = load(hub, tmp_path)
    assert said.startswith("RunFailed the weights ViT-S-32-alt/here could not be fetched")
    came = max(hub.starts)
    hub.piece = 0
    assert load(hub, tmp_path).startswith("loaded")
    assert hub.starts[-1] >= came


def test_weights_of_another_model_are_refused(hub: Hub, tmp_path: Path) -> None:
    model = open_clip.create_model("ViT-S-16-alt", pretrained=None, load_weights=False)
    hub.content = save(model.state_dict())
    said = load(hub, tmp_path)
    assert said.startswith("TrainerError")
    assert "it is not of this model" in said
