"""One of Flower's programs, ending with its main thread and parent: python -m trainer.flower.program NAME ARGUMENTS

Flower's own SuperNode stays for ever if its main thread ends by an error (of TLS in the middle of a run, for instance),
since another of its threads does; nobody would start it again. An app's process whose SuperNode was killed while it
fetched its message asks for it for ever.
"""

from __future__ import annotations

import os
import sys
import traceback
from importlib.metadata import distribution

from trainer.flower.orphans import end_with_parent


def main() -> None:
    """Run the program that the first argument names; does not return."""
    code = 1
    try:
        end_with_parent()
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
