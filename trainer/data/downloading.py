"""Fetches published archives: resumed where they broke off, checked by hash (pooch), and unpacked.

FOLDER/
  .fetched/NAME.part   what has come so far
  .fetched/NAME        the archive; deleted after it is unpacked
  .fetched/NAME.done   it was unpacked
"""

from __future__ import annotations

import logging
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedmpt.common.files import naming
from fedmpt.common.words import format_bytes, printable
from trainer.errors import RunFailed, TrainerError

PLACE = ".fetched"
CHUNK = 2**16
"""Bytes that are written together; where a connection breaks, the last ones are lost."""
MB = 10**6
TIMEOUT_SECONDS = 30.0
"""Of connecting, and of waiting for more."""
ATTEMPTS = 8
"""So often in a row a server may break off without having sent anything."""
REFUSALS = range(400, 429)
"""HTTP statuses after which another attempt is of no use."""
WAIT_SECONDS = 2.0
"""Before the second attempt; doubled each time."""

Progress = Callable[[str, int, int], None]
"""Called with a name, MB done, and MB in all."""


@dataclass(frozen=True)
class Archive:
    """A published archive.

    Attributes:
        url: where it is.
        size: in bytes.
        hash: as pooch writes it, "sha256:…" or "md5:…".
    """

    url: str
    size: int
    hash: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]


def missing(archives: Sequence[Archive], folder: Path) -> list[Archive]:
    """The archives that were not unpacked into a folder yet."""
    return [archive for archive in archives if not (folder / PLACE / f"{archive.name}.done").is_file()]


def announcement(archives: Sequence[Archive], folder: Path) -> str:
    """How much is to be fetched, and how much room it takes.

    Raises:
        TrainerError: there is not enough room.
    """
    size = sum(archive.size for archive in archives)
    came = sum(_came(archive, folder) for archive in archives)
    needed = size - came + size  # unpacked, such archives take about their own size
    place = next(above for above in (folder.absolute(), *folder.absolute().parents) if above.exists())
    free = shutil.disk_usage(place).free
    names = ", ".join(f"{archive.name} {format_bytes(archive.size)}" for archive in archives)
    said = f"{names}: {format_bytes(size - came)} to fetch, {format_bytes(needed)} of disk space in {folder}"
    if needed > free:
        raise TrainerError(f"{said}, but only {format_bytes(free)} are free there")
    return f"{said} ({format_bytes(free)} free)"


def fetch(archives: Sequence[Archive], folder: Path, progress: Progress, keep: bool = False) -> None:
    """Fetch archives and unpack them into a folder; what is done already is left out.

    Args:
        archives: of a data set.
        folder: is made if it is missing.
        progress: of the transfer.
        keep: whether archives stay in the folder.

    Raises:
        TrainerError: pooch is missing; an archive is not the published one.
        RunFailed: the server cannot be reached, or breaks off; the same call goes on.
    """
    try:
        import pooch
    except ImportError as error:
        raise TrainerError("fedmpt datasets fetch needs its package: pip install 'fedmpt[fetch]'") from error
    pooch.get_logger().setLevel(logging.WARNING)
    place = folder / PLACE
    place.mkdir(parents=True, exist_ok=True)
    for archive in missing(archives, folder):
        path = place / archive.name
        download = _Download(archive, path.with_name(f"{archive.name}.part"), progress)
        try:
            pooch.retrieve(archive.url, archive.hash, fname=archive.name, path=place, downloader=download)
        except ValueError as error:
            raise TrainerError(
                f"{archive.url}: not the published file (its {archive.hash.partition(':')[0]} is another one); "
                "it was deleted"
            ) from error
        progress(f"unpacking {archive.name}", 0, 1)
        with naming(folder):
            _unpack(path, folder)
        progress(f"unpacking {archive.name}", 1, 1)
        (place / f"{archive.name}.done").write_text(archive.hash)
        if not keep:
            path.unlink()


def _came(archive: Archive, folder: Path) -> int:
    """The bytes of an archive that have come already."""
    for name in (archive.name, f"{archive.name}.part"):
        path = folder / PLACE / name
        if path.is_file():
            return min(path.stat().st_size, archive.size)
    return 0


def _unpack(path: Path, folder: Path) -> None:
    """Unpack an archive; none of its entries may leave the folder or be a link out of it."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)  # noqa: S202  (drops absolute paths and ..)
        else:
            with tarfile.open(path) as tar:
                tar.extractall(folder, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise TrainerError(f"{path}: cannot be unpacked ({printable(str(error))})") from error


class _Download:
    """A downloader of pooch that goes on where an earlier one stopped.

    Args:
        archive: what to fetch.
        part: the file for what has come so far.
        progress: of the transfer.
    """

    def __init__(self, archive: Archive, part: Path, progress: Progress) -> None:
        self.archive, self.part, self._progress = archive, part, progress

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        """Fetch the file, which pooch checks and puts in its place."""
        import requests

        failures = 0
        while (before := self._size()) < self.archive.size:
            try:
                self._go_on(url)
                problem = "it ends too early"
            except requests.RequestException as error:
                problem = f"{type(error).__name__} {error.response.status_code if error.response is not None else ''}"
            failures = 0 if self._size() > before else failures + 1
            if failures == ATTEMPTS:
                raise RunFailed(
                    f"{url}: broke off at {format_bytes(self._size())} of {format_bytes(self.archive.size)} "
                    f"({problem.strip()}); run the same command again to go on"
                )
            if self._size() < self.archive.size:
                time.sleep(WAIT_SECONDS * 2 ** max(0, failures - 1))
        self.part.replace(output_file)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _go_on(self, url: str) -> None:
        """Fetch what is missing, or everything where the server cannot begin in the middle."""
        import requests

        start = self._size()
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                self.part.unlink()
                return
            if answer.status_code in REFUSALS:
                raise RunFailed(f"{url}: {answer.status_code} {printable(answer.reason)}")
            answer.raise_for_status()
            goes_on = answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
            with naming(self.part), self.part.open("ab" if start and goes_on else "wb") as file:
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
                    done = file.tell()
                    if done > self.archive.size:
                        raise TrainerError(f"{url}: longer than the published file")
                    self._progress(self.archive.name, done // MB, -(-self.archive.size // MB))
