"""The gate before a SuperLink: passes on what SuperNodes need (the Fleet API) and nothing else.

All of a SuperLink's interfaces share one port, and whoever reaches it can start programs at every site. So it listens
on this machine alone, and sites reach this gate. It speaks TLS on both sides.
"""

from __future__ import annotations

import ssl
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.errors import RunFailed

if TYPE_CHECKING:
    import httpx
    import uvicorn
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

FLEET = "/v1/fleet/"
MARK = "x-fedmpt-gate"
"""A header of the gate's own answers."""
LARGEST = 64 * 2**20
"""Bytes of a request."""
SECONDS = 120.0
NOT_PASSED_ON = {"host", "content-length", "connection", "transfer-encoding", "keep-alive", "upgrade", "te", "trailer"}


def gate_app(superlink: str, ca: Path) -> ASGIApp:
    """The gate as an ASGI app.

    Args:
        superlink: its HOST:PORT.
        ca: the certificate with which the SuperLink's is checked.
    """
    import httpx
    from starlette.applications import Starlette
    from starlette.routing import Route

    trusted = ssl.create_default_context(cafile=str(ca))
    client = httpx.AsyncClient(base_url=f"https://{superlink}", verify=trusted, timeout=SECONDS, trust_env=False)

    async def passed(request: Request) -> Response:
        return await _pass(client, request)

    return Starlette(routes=[Route("/{path:path}", passed, methods=["GET", "POST", "PUT", "DELETE"])])


async def _pass(client: httpx.AsyncClient, request: Request) -> Response:
    import httpx
    from starlette.responses import PlainTextResponse, Response

    own = {MARK: "1"}
    path = request.scope["raw_path"].decode("ascii", "replace")
    # Compared as it came: what a server might make of %2e or // is not passed on.
    if not path.startswith(FLEET) or not path.removeprefix(FLEET).replace("-", "").isalnum():
        return PlainTextResponse("not for the outside", 403, own)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            return PlainTextResponse("too large", 413, own)
    headers = [(k, v) for k, v in request.headers.items() if k.lower() not in NOT_PASSED_ON]
    try:
        found = await client.request(request.method, path, content=bytes(body), headers=headers)
    except httpx.HTTPError as error:
        return PlainTextResponse(f"the SuperLink does not answer ({type(error).__name__})", 502, own)
    kept = {k: v for k, v in found.headers.items() if k.lower() not in {*NOT_PASSED_ON, "content-encoding"}}
    return Response(found.content, found.status_code, {**kept, **own})


class Gate:
    """The gate in a thread of this process.

    Args:
        address: HOST:PORT on which it listens.
        superlink: the SuperLink's HOST:PORT.
        ca, certificate, key: PEM files.

    Raises:
        RunFailed: it does not start; the address may be taken.
    """

    def __init__(self, address: str, superlink: str, ca: Path, certificate: Path, key: Path) -> None:
        import uvicorn

        host, _, port = address.rpartition(":")
        config = uvicorn.Config(
            gate_app(superlink, ca),
            host=host.strip("[]"),
            port=int(port),
            log_level="critical",
            access_log=False,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        self._server: uvicorn.Server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RunFailed(f"{address}: cannot listen there; another program may do so")
            time.sleep(0.05)

    def close(self) -> None:
        """Stop listening."""
        self._server.should_exit = True
        self._thread.join()
