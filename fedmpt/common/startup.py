"""Start-up of commands whose libraries are large."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Python's cyclic garbage collector rests while things are made that stay to the end: imported modules, weights.

    torch and open_clip make 400,000 objects. Without this the collector walks through them a thousand times while
    they are imported and again at exit, 1.6 of 4 s of processor time (benchmarks/startup.py). Afterwards it passes them
    over (gc.freeze); whatever else was unreachable by then is not freed either, so only start-up belongs in here.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if before:
            gc.enable()
