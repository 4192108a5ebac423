"""`fedmpt bank review` as a process: its address, its end, and usage errors."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.local_server import ended, running_command
from tests.prompt_bank.banks import fedmpt
from tests.prompt_bank.review.serving import edits, recorded


@contextmanager
def running(bank: Path, *words: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """The command's process, its port and its token."""
    command = ("bank", "review", str(bank), "--by", "ada", *words)
    with running_command(command, bank.parent, **environment) as started:
        yield started


def ask(port: int, token: str, path: str, content: dict[str, Any] | None = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "Origin": f"http://127.0.0.1:{port}"}
    connection.request("POST" if content else "GET", f"/api/{path}", json.dumps(content) if content else None, headers)
    answer = connection.getresponse()
    assert answer.status == 200
    return json.loads(answer.read())


def test_ctrl_c_ends_it_and_nothing_unsaved_is_exit_code_0(tmp_path: Path) -> None:
    with running(recorded(tmp_path), "--no-open") as (process, port, token):
        assert ask(port, token, "bank")["by"] == "ada"
        code, out, err = ended(process)
    assert (code, err) == (0, "")
    assert token not in out  # it stands in the address alone, which was read already


def test_unsaved_edits_are_reported_and_kept_with_exit_code_130(tmp_path: Path) -> None:
    bank = recorded(tmp_path)
    with running(bank, "--no-open") as (process, port, token):
        base = ask(port, token, "bank")["base"]
        ask(port, token, "preview", edits(base, {"do": "accept", "id": "pose"}))
        code, _, err = ended(process)
    assert code == 130 and "1 edit is not saved; the next fedmpt bank review" in err and "Traceback" not in err
    with running(bank, "--no-open") as (process, port, token):
        assert [draft["edits"] for draft in ask(port, token, "bank")["drafts"]] == [1]


def test_the_browser_is_opened_at_the_address(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}.part && mv {seen}.part {seen}\n', encoding="utf-8")
    browser.chmod(0o755)
    with running(recorded(tmp_path), BROWSER=str(browser)) as (process, port, token):
        while not seen.exists():
            assert process.poll() is None
        assert seen.read_text(encoding="utf-8") == f"http://127.0.0.1:{port}/#{token}"


def test_the_server_listens_on_localhost_only(tmp_path: Path) -> None:
    with running(recorded(tmp_path), "--no-open") as (_, port, _token):
        socket.create_connection(("127.0.0.1", port)).close()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", port))


def test_a_port_in_use_is_an_error(tmp_path: Path) -> None:
    bank = recorded(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = fedmpt("bank", "review", bank, "--no-open", "--port", port, folder=tmp_path)
    assert done.returncode == 1 and f"127.0.0.1:{port}" in done.stderr and "in use" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing.json",), "there is no such file"),
        (("broken.json",), "line 1"),
        (("bank.json", "--port", "-1"), "port"),
        (("bank.json", "--by", "x" * 101), "by: has more than 100 characters"),
    ],
)
def test_wrong_use_is_exit_code_2(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    recorded(tmp_path)
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    done = fedmpt("bank", "review", "--no-open", *words, folder=tmp_path)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
