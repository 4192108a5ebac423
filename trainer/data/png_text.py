"""PNG files without their comments: Pillow refuses a whole picture for a long text chunk, which no viewer reads."""

from __future__ import annotations

import struct
from pathlib import Path

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
"""Chunks that do not change the pixels that we read: texts and the colour profile."""


def without_text(path: Path) -> bytes | None:
    """The file's bytes without text chunks (PNG specification, §5.3); None if it is no PNG or has none."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if not content.startswith(SIGNATURE):
        return None
    kept, at, found = [SIGNATURE], len(SIGNATURE), False
    while at + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        end = at + 12 + length
        if content[at + 4 : at + 8] in TEXTS:
            found = True
        else:
            kept.append(content[at:end])
        at = end
    return b"".join(kept) if found else None
