"""Runs the web server of a local page until it is interrupted."""

from __future__ import annotations

import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

ADDRESS = "127.0.0.1"


def serve(make: Callable[[str], ASGIApp], port: int, say: Callable[[str], None], open_browser: bool) -> None:
    """Serve the page on 127.0.0.1 until SIGINT or SIGTERM.

    Args:
        make: the application, made with the token that requests must have.
        port: the port; 0 chooses a free one.
        say: called with the address of the page.
        open_browser: whether to open the page in the browser.

    Raises:
        OSError: the port is in use or not allowed.
    """
    token = secrets.token_urlsafe(32)
    with _listening(port) as listening:
        # Browsers do not send the fragment to servers, so the token is in no log and in no Referer.
        url = f"http://{ADDRESS}:{listening.getsockname()[1]}/#{token}"
        say(url)
        if open_browser:  # in a thread, as a text browser blocks until it is closed
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        config = uvicorn.Config(make(token), log_level="warning", access_log=False, lifespan="off", server_header=False)
        with suppress(KeyboardInterrupt):  # uvicorn shuts down, then raises the signal again
            uvicorn.Server(config).run(sockets=[listening])


def _listening(port: int) -> socket.socket:
    """A listening socket, so that the browser can connect before the server runs."""
    try:
        listening = socket.create_server((ADDRESS, port))
    except OSError as error:
        error.filename = f"{ADDRESS}:{port}"
        raise
    return listening
