"""Runs the review page's server until the person ends it."""

from __future__ import annotations

import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from prompt_bank.review.server import application
from prompt_bank.review.session import Session

ADDRESS = "127.0.0.1"


def serve(session: Session, port: int, say: Callable[[str], None], open_browser: bool) -> None:
    """Serve the page on 127.0.0.1 until SIGINT or SIGTERM.

    Args:
        session: the bank under review.
        port: 0 takes a free one.
        say: prints a line for the person.
        open_browser: show the page in the person's browser.

    Raises:
        OSError: the port is in use or not allowed.
    """
    token = secrets.token_urlsafe(32)
    with _listening(port) as listening:
        # The browser sends nothing behind a # to a server: the token stands in no log, and in no Referer.
        url = f"http://{ADDRESS}:{listening.getsockname()[1]}/#{token}"
        say(url)
        if open_browser:  # in a thread, as a browser in the terminal keeps its caller until it is closed
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        config = uvicorn.Config(
            application(session, token), log_level="warning", access_log=False, lifespan="off", server_header=False
        )
        with suppress(KeyboardInterrupt):  # uvicorn ends in good order, and raises the signal again
            uvicorn.Server(config).run(sockets=[listening])


def _listening(port: int) -> socket.socket:
    """A socket that takes connections already, so that the browser can be opened before the server runs."""
    try:
        listening = socket.create_server((ADDRESS, port))
    except OSError as error:
        error.filename = f"{ADDRESS}:{port}"
        raise
    return listening
