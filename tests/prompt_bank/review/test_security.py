"""Access control of the review page's server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedmpt.common.local_page.security import HEADERS, content_security_policy
from prompt_bank.recording.store import load
from prompt_bank.review.drafts import folder
from prompt_bank.review.server import MAX_BODY_BYTES
from tests.local_server import TOKEN, Server
from tests.prompt_bank.review.serving import edits, messages, recorded, served

OTHER = "1" * 32
ACCEPT = {"do": "accept", "id": "background"}
RENAME = {"do": "edit", "id": "pose", "text": "body pose"}
PATHS = ["bank", "draft", "discard", "preview", "rebase", "save"]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A shared server, for tests that change nothing."""
    path = recorded(tmp_path_factory.mktemp("untouched"))
    before = path.read_bytes()
    with served(path) as running:
        yield running
    assert path.read_bytes() == before and not folder(path).exists()


def test_requests_need_token_host_and_origin(bank: Path, server: Server) -> None:
    before = bank.read_bytes()
    port = server.port
    base = load(bank).hash
    body = json.dumps({**edits(base, ACCEPT), "did": "x"}).encode()
    refused = [
        {},
        {**server.own, "Authorization": "Bearer wrong"},
        {**server.own, "Authorization": TOKEN[:-1]},
        {**server.own, "Origin": "http://evil.example"},
        {**server.own, "Origin": "null"},
        {**server.own, "Origin": f"http://localhost:{port}"},
        {**server.own, "Sec-Fetch-Site": "cross-site"},
        {**server.own, "Sec-Fetch-Site": "same-site"},
        {"Authorization": f"Bearer {TOKEN}"},
    ]
    for headers in refused:
        for path in PATHS[1:]:
            status, _, answer = server.send("POST", f"/api/{path}", body, headers)
            assert status == 403 and b"background" not in answer, (headers, path)
    for headers in refused[:-1]:
        status, _, answer = server.send("GET", "/api/bank", None, headers)
        assert status == 403 and b"background" not in answer, headers
    rebound = {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}
    for method, path in (("GET", "/"), ("GET", "/api/bank"), ("POST", "/api/save"), ("GET", "/static/page.js")):
        assert server.send(method, path, body, {**server.own, **rebound})[0] == 400
    assert bank.read_bytes() == before and not folder(bank).exists()


def test_a_forwarded_port_is_the_same_origin(untouched: Server) -> None:
    forwarded = {"Host": "localhost:9000", "Origin": "http://localhost:9000", "Authorization": f"Bearer {TOKEN}"}
    assert untouched.send("GET", "/api/bank", None, forwarded)[0] == 200


def test_responses_without_a_token_contain_nothing_of_the_bank(untouched: Server) -> None:
    status, headers, page = untouched.send("GET", "/")
    assert status == 200 and headers["content-type"].startswith("text/html")
    assert b"background" not in page.replace(b"such as background", b"") and TOKEN.encode() not in page
    for name in set(re.findall(rb'(?:src|href)="(/static/[^"]+)"', page)):
        assert untouched.send("GET", name.decode())[0] == 200
    assert not re.search(rb'(?:src|href)="(?:https?:)?//', page)
    assert not re.search(rb"<script>|<style>| style=| on[a-z]+=", page)


def test_every_response_has_the_security_headers(untouched: Server) -> None:
    asked = [("GET", "/"), ("GET", "/static/page.js"), ("GET", "/api/bank"), ("GET", "/nothing"), ("POST", "/api/save")]
    for method, path in asked:
        _, headers, _ = untouched.send(method, path, b"")
        assert headers["content-security-policy"] == content_security_policy()
        for name, value in HEADERS.items():
            assert headers[name.lower()] == value, (path, name)
        assert "set-cookie" not in headers and "access-control-allow-origin" not in headers
    assert "unsafe" not in content_security_policy()


@pytest.mark.parametrize(
    "path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static//etc/passwd", "/static/"]
)
def test_only_static_files_are_served(untouched: Server, path: str) -> None:
    assert untouched.send("GET", path)[0] == 404


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "must be"),
        (b"{}", "id: is missing"),
        ({"id": "../../x", "base": "b", "operations": []}, "'../../x' does not match"),
        (edits("b", {"do": "explode"}), "operations[0]"),
        (edits("b", {"do": "accept"}), "operations[0].accept.id: is missing"),
        (edits("b", {"do": "accept", "id": ["background"]}), "must be a valid string"),
        (edits("b", {"do": "move", "id": "pose", "position": "1"}), "must be a valid integer"),
        (edits("b", {"do": "accept", "id": "pose", "also": 1}), "operations[0].accept.also"),
        (edits("b", {"do": "edit", "id": "pose", "note": "x" * 4001}), "more than 4000 characters"),
        (edits("b", *[ACCEPT] * 2001), "2000"),
        (edits("b", more=1), "more: is not a field"),
    ],
)
def test_a_malformed_operation_is_refused_with_its_place(untouched: Server, content: Any, said: str) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    status, _, answer = untouched.send("POST", "/api/preview", body, untouched.own)
    assert status == 400 and said in messages(json.loads(answer))


def test_a_huge_body_is_not_read(untouched: Server) -> None:
    status, _, answer = untouched.send("POST", "/api/preview", b" " * (MAX_BODY_BYTES + 1), untouched.own)
    assert status == 413 and "bytes" in messages(json.loads(answer))
    assert untouched.ask("bank")[0] == 200
