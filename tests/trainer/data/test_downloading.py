"""fedmpt datasets fetch, from a server on localhost that breaks off."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedmpt.cli import build
from trainer.data import downloading
from trainer.data.downloading import Archive, fetch
from trainer.data.sets import coco2014, voc2007
from trainer.errors import RunFailed, TrainerError

pytest.importorskip("pooch")


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("range")
        self.server.ranges.append(asked)
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.resumes else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("content-range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("content-length", str(len(content) - start))
        self.end_headers()
        last = len(content)
        if self.server.breaks:
            self.server.breaks -= 1
            last = start + self.server.piece
        self.wfile.write(content[start:last])

    def log_message(self, *_: Any) -> None:
        """Silent."""


class Server(ThreadingHTTPServer):
    """Breaks off `breaks` times after `piece` bytes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.ranges: list[str | None] = []
        self.breaks, self.piece, self.resumes = 0, 1000, True

    def archive(self, name: str, content: bytes, size: int | None = None) -> Archive:
        self.files[f"/{name}"] = content
        checksum = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return Archive(f"http://127.0.0.1:{self.server_address[1]}/{name}", size or len(content), checksum)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(downloading, "WAIT_SECONDS", 0.001)
    monkeypatch.setattr(downloading, "CHUNK", 500)
    running = Server()
    thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def tar(**files: bytes) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as made:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"set/{name}")
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def zipped(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        for name, data in files.items():
            made.writestr(f"set/{name}", data)
    return content.getvalue()


def quiet(name: str, done: int, count: int) -> None:
    """No progress."""


def test_a_transfer_that_breaks_off_goes_on(server: Server, tmp_path: Path) -> None:
    server.breaks = 5
    archives = (server.archive("a.tar", tar(one=b"1" * 9000)), server.archive("b.zip", zipped(two=b"2")))
    fetch(archives, tmp_path, quiet)
    assert (tmp_path / "set" / "one").read_bytes() == b"1" * 9000
    assert (tmp_path / "set" / "two").read_bytes() == b"2"
    assert server.ranges[:3] == [None, "bytes=1000-", "bytes=2000-"]
    assert sorted(path.name for path in (tmp_path / ".fetched").iterdir()) == ["a.tar.done", "b.zip.done"]
    count = len(server.ranges)
    fetch(archives, tmp_path, quiet)
    assert len(server.ranges) == count


def test_another_run_goes_on_where_the_first_one_stopped(server: Server, tmp_path: Path) -> None:
    archive = server.archive("a.tar", tar(one=b"1" * 9000))

    def stop(name: str, done: int, count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch([archive], tmp_path, stop)
    assert (tmp_path / ".fetched" / "a.tar.part").stat().st_size == 500
    fetch([archive], tmp_path, quiet, keep=True)
    assert server.ranges == [None, "bytes=500-"]
    assert (tmp_path / ".fetched" / "a.tar").read_bytes() == server.files["/a.tar"]


def test_a_server_that_cannot_resume_begins_anew(server: Server, tmp_path: Path) -> None:
    server.breaks, server.resumes = 1, False
    fetch([server.archive("a.tar", tar(one=b"1"))], tmp_path, quiet)
    assert (tmp_path / "set" / "one").exists()


def test_a_server_that_always_breaks_off(server: Server, tmp_path: Path) -> None:
    server.breaks, server.piece = 10**6, 0
    with pytest.raises(RunFailed, match="run the same command again"):
        fetch([server.archive("a.tar", tar(one=b"1"))], tmp_path, quiet)
    assert len(server.ranges) == downloading.ATTEMPTS


def test_another_file_than_the_published_one(server: Server, tmp_path: Path) -> None:
    archive = server.archive("a.tar", tar(one=b"1"))
    server.files["/a.tar"] = tar(one=b"2")
    with pytest.raises(TrainerError, match="not the published file"):
        fetch([archive], tmp_path, quiet)
    assert not (tmp_path / "set").exists()
    assert not list((tmp_path / ".fetched").iterdir())
    server.files["/a.tar"] += b"more"
    with pytest.raises(TrainerError, match="longer than the published file"):
        fetch([archive], tmp_path, quiet)
    with pytest.raises(RunFailed, match="404"):
        fetch([Archive(f"{archive.url}x", 5, archive.hash)], tmp_path, quiet)


@pytest.mark.parametrize("name", ["../out", "/fedmpt-out", "link"])
def test_entries_that_leave_the_folder(server: Server, tmp_path: Path, name: str) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as made:
        entry = tarfile.TarInfo(name)
        if name == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, "../../secret"
        made.addfile(entry, io.BytesIO(b""))
    folder = tmp_path / "data"
    try:
        fetch([server.archive("a.tar", content.getvalue())], folder, quiet)
    except TrainerError as error:
        assert "cannot be unpacked" in str(error)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert not Path("/fedmpt-out").exists()
    assert not (folder / "link").exists()


def run(*words: str, typed: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(build("datasets"), ["datasets", "fetch", *words], input=typed)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout + result.stderr


def test_the_command_says_how_much_it_is_and_asks(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = server.archive("a.tar", tar(one=b"1" * 5000))
    monkeypatch.setattr(voc2007, "ARCHIVES", (archive,))
    place = ("voc2007", "--data-root", str(tmp_path / "data"))
    code, said = run(*place, typed="n\n")
    assert code == 1
    assert "a.tar" in said
    assert "to fetch" in said
    assert not server.ranges
    assert not (tmp_path / "data").exists()
    code, said = run(*place, "--yes")
    assert (code, "is complete" in said) == (0, True), said
    assert (tmp_path / "data" / "set" / "one").exists()
    monkeypatch.setattr(voc2007, "ARCHIVES", (server.archive("b.tar", b"", 10**18),))
    code, said = run(*place, "--yes")
    assert (code, "are free there" in said) == (2, True)


def test_what_cannot_be_fetched(tmp_path: Path) -> None:
    code, said = run("mlrsnet", "--data-root", str(tmp_path))
    assert code == 2
    assert "voc2007, coco2014" in said


def test_the_published_archives() -> None:
    for archives, gigabytes in ((voc2007.ARCHIVES, 0.9), (coco2014.ARCHIVES, 20.4)):
        assert sum(archive.size for archive in archives) == pytest.approx(gigabytes * 1e9, rel=0.02)
        assert all(archive.url.startswith("https://") for archive in archives)
