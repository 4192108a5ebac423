"""One of Flower's programs, ending with its main thread: python -m trainer.flower.program NAME ARGUMENTS

Flower's own SuperNode stays for ever if its main thread ends by an error (of TLS in the middle of a run, for instance),
since another of its threads does; nobody would start it again.
"""

from __future__ import annotations

import os
import sys
import traceback
from importlib.metadata import distribution


def main() -> None:
    """Run the program that the first argument names; does not return."""
    code = 1
    try:
        del sys.argv[0]
        (found,) = distribution("flwr").entry_points.select(group="console_scripts", name=sys.argv[0])
        found.load()()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
