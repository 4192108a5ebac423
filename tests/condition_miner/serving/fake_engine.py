"""A scripted engine: a program that takes llama-server's words, loads for a moment, and wants its key.

What it does otherwise stands in environment variables: FAKE_FAILS (ends while it loads), FAKE_ENDS_AFTER (ends after so
many answers). It writes the ids of its processes to FAKE_PROCESSES: its own, and that of a worker which no kind signal
ends and which has left its group.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.condition_miner.server import Handler, Server

LOADING_SECONDS = 0.4
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


class FakeEngine(Handler):
    """Answers as the scripted server does, to those who have the key."""

    began = time.monotonic()
    answered = 0

    def do_GET(self) -> None:  # noqa: N802
        loading = time.monotonic() - self.began < LOADING_SECONDS
        self.send({"status": "loading" if loading else "ok"}, 503 if loading else 200)

    def do_POST(self) -> None:  # noqa: N802
        if self.headers["authorization"] != f"Bearer {os.environ['LLAMA_API_KEY']}":
            self.send({"error": {"message": "no key"}}, 401)
            return
        FakeEngine.answered += 1
        if FakeEngine.answered > int(os.environ.get("FAKE_ENDS_AFTER", "1000000")):
            say("out of memory\x1b[2J")
            os._exit(9)
        super().do_POST()


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main(words: list[str]) -> None:
    worker = subprocess.Popen([sys.executable, "-c", STUBBORN], start_new_session=True)
    note: dict[str, Any] = {
        "words": words,
        "openai": os.environ.get("OPENAI_API_KEY"),
        "pids": [os.getpid(), worker.pid],
    }
    Path(os.environ["FAKE_PROCESSES"]).write_text(repr(note))
    say("loading the model")
    if "FAKE_FAILS" in os.environ:
        say("no such architecture")
        sys.exit(3)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    Server(int(words[words.index("--port") + 1]), FakeEngine).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
