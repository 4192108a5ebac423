"""An entry of the feature cache on disk, with checksums.

FOLDER/
  image.npy, patches.npy …   an array for each kind of feature, of all images
  meta.json                  the number of finished images, and a CRC-32 of each CHUNK of them by array

The folder's name contains a hash of everything that determines the features. What is damaged counts as missing.
"""

from __future__ import annotations

import io
import json
import zlib
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedmpt.common.errors import FedmptError
from fedmpt.common.files import write_atomically
from fedmpt.common.foreign_json import parse_json, read_bytes
from trainer.data.encoding import ON_DISK, Encoding

CHUNK = 128
"""Images encoded between two updates of meta.json."""


class _Meta(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    done: Annotated[int, Field(ge=0)]
    sums: dict[str, list[int]]


def cached_entries(cache: Path) -> dict[Path, str]:
    """All entries of the feature cache, with what is wrong with each; empty if it is undamaged.

    An entry that is not finished is not damaged: its computation goes on where it stopped.
    """
    return {folder: _problem(folder) for folder in sorted((cache / "features").iterdir()) if folder.is_dir()}


def _problem(folder: Path) -> str:
    """What is wrong with an entry of which only the folder is known."""
    if not (folder / "meta.json").is_file():
        return ""
    try:
        meta = _read_meta(folder)
        for name, sums in meta.sums.items():
            array = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for chunk, expected in enumerate(sums):
                rows = slice(chunk * CHUNK, min((chunk + 1) * CHUNK, meta.done))
                if checksum(array[rows]) != expected:
                    return f"{name}.npy has other bits than were written"
    except ValidationError:
        return "meta.json cannot be read"
    except (FedmptError, OSError, ValueError, SyntaxError, EOFError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def checksum(rows: np.ndarray) -> int:
    """The CRC-32 of the bytes of some rows."""
    return zlib.crc32(rows.tobytes())


def _read_meta(folder: Path) -> _Meta:
    content = read_bytes(folder / "meta.json")
    parse_json(content)
    return _Meta.model_validate_json(content)


class CacheEntry:
    """An entry of the cache.

    Args:
        folder: of the entry.
        encoding: how its images are encoded.
        count: the number of images, n.

    Attributes:
        shapes: (n, …) of each array, by name.
        type: of the stored numbers.
    """

    def __init__(self, folder: Path, encoding: Encoding, count: int) -> None:
        self.folder, self.encoding, self.count = folder, encoding, count
        self.shapes = encoding.shapes(count)
        self.type = ON_DISK[encoding.storage]

    def array(self, name: str, mode: Literal["r", "r+", "w+"] = "r") -> np.memmap:
        """An array, memory-mapped. The header is written, never parsed: a damaged one can hold anything."""
        header, path = self._header(name), self.folder / f"{name}.npy"
        if mode == "w+":
            path.write_bytes(header)
        place: Literal["r", "r+"] = "r" if mode == "r" else "r+"
        return np.memmap(path, dtype=self.type, mode=place, offset=len(header), shape=self.shapes[name])

    def complete(self) -> bool:
        """Whether all images are there, undamaged."""
        return self.done() == (self.count, None)

    def done(self) -> tuple[int, str | None]:
        """The number of finished images before the first damage, and what is damaged, if anything is."""
        if not (self.folder / "meta.json").exists():
            return 0, None
        try:
            meta = self._meta()
        except (FedmptError, ValidationError):
            return 0, "meta.json cannot be read"
        if not 0 <= meta.done <= self.count or meta.sums.keys() != self.shapes.keys():
            return 0, "meta.json is of other images"
        chunks = -(-meta.done // CHUNK)
        if any(len(sums) != chunks for sums in meta.sums.values()):
            return 0, "meta.json lacks checksums"
        if problem := next(filter(None, map(self._unlike, self.shapes)), None):
            return 0, problem
        return self._checked(meta, chunks)

    def _checked(self, meta: _Meta, chunks: int) -> tuple[int, str | None]:
        """As `done`, for an entry whose files have the right sizes."""
        for chunk in range(chunks):
            rows = slice(chunk * CHUNK, min((chunk + 1) * CHUNK, meta.done))
            for name in self.shapes:
                if checksum(self.array(name)[rows]) != meta.sums[name][chunk]:
                    return chunk * CHUNK, f"{name}.npy has other bits than were written"
        # An interrupted computation goes on at the beginning of a chunk, so that checksums are of whole chunks.
        return (meta.done if meta.done == self.count else meta.done // CHUNK * CHUNK), None

    def sums(self, done: int) -> dict[str, list[int]]:
        """The checksums of the chunks of the first `done` images."""
        return {name: sums[: done // CHUNK] for name, sums in self._meta().sums.items()}

    def record(self, done: int, sums: dict[str, list[int]]) -> None:
        """Write meta.json."""
        write_atomically(self.folder / "meta.json", json.dumps({"done": done, "sums": sums}))

    def _meta(self) -> _Meta:
        return _read_meta(self.folder)

    def _unlike(self, name: str) -> str | None:
        """What of a file is unlike the array that it should hold."""
        path, header = self.folder / f"{name}.npy", self._header(name)
        if not path.is_file():
            return f"{name}.npy is missing"
        if path.stat().st_size != len(header) + int(np.prod(self.shapes[name])) * self.type.itemsize:
            return f"{name}.npy has another size"
        with path.open("rb") as file:
            return None if file.read(len(header)) == header else f"{name}.npy has another header"

    def _header(self, name: str) -> bytes:
        """The header that numpy writes for the array."""
        described = {
            "descr": np.lib.format.dtype_to_descr(self.type),
            "fortran_order": False,
            "shape": self.shapes[name],
        }
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(buffer, described)
        return buffer.getvalue()
