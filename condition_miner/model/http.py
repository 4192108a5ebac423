"""The HTTP client beneath the endpoint: bodies of bounded size, no redirects, no proxy for addresses near by.

The openai package speaks the protocol; this client guards what it is given.
"""

from __future__ import annotations

import os
import zlib
from typing import Any

import httpx2

from condition_miner.errors import MinerError
from condition_miner.model.address import Address

CONNECT_SECONDS = 10.0
"""Time limit for connecting to a server."""
_PACKED = ("gzip", "deflate", "x-gzip")


class BodyRefused(Exception):
    """The body of an answer is too long, or packed in a way that was not asked for."""


class GuardedClient(httpx2.AsyncClient):
    """A client whose responses are read whole, packed or not.

    Args:
        most_bytes: the longest body, unpacked.
        options: of the client.
    """

    def __init__(self, most_bytes: int, **options: Any) -> None:
        super().__init__(**options)
        self._most_bytes = most_bytes

    async def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        """Send a request and read its response.

        Raises:
            BodyRefused: the body is refused.
        """
        request.headers["accept-encoding"] = "gzip"
        response = await super().send(request, stream=True, **options)
        try:
            content = await _bounded(response, self._most_bytes)
        finally:
            await response.aclose()
        kept = [(name, value) for name, value in response.headers.multi_items() if name not in _OF_THE_TRANSFER]
        return httpx2.Response(response.status_code, headers=kept, content=content, request=request)


_OF_THE_TRANSFER = ("content-encoding", "transfer-encoding", "content-length")


def client_for(address: Address, seconds: float, most_bytes: int) -> GuardedClient:
    """A client for an address, for responses of so many bytes at the most.

    Raises:
        MinerError: the environment names a proxy or a file of certificates that can't be used.
    """
    limit = httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
    bounds = httpx2.Limits(max_connections=None, max_keepalive_connections=100)
    # Labels and key must not pass through a proxy on their way to a server near by; without TLS nothing is verified.
    verify = address.base_url.lower().startswith("https:")
    try:
        return GuardedClient(most_bytes, timeout=limit, limits=bounds, trust_env=not address.is_near, verify=verify)
    except OSError as error:
        named = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR") or "of the system"
        raise MinerError(
            f"the certificates {named} cannot be read ({error.strerror or type(error).__name__}); "
            "mend or unset SSL_CERT_FILE"
        ) from error
    except (ValueError, ImportError) as error:
        raise MinerError(
            "the proxy that the environment names (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used; "
            "name one as http://HOST:PORT, or unset it"
        ) from error


async def _bounded(response: httpx2.Response, most: int) -> bytes:
    """The unpacked body."""
    packing = response.headers.get("content-encoding", "").strip().lower()
    if packing not in ("", "identity", *_PACKED):
        raise BodyRefused(f"the server's answer is packed as {packing[:20]!r}, which was not asked for")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32) if packing in _PACKED else None
    content = bytearray()
    async for raw in response.aiter_raw():
        content += unpacker.decompress(raw, most + 1 - len(content)) if unpacker else raw
        if len(content) > most or (unpacker and unpacker.unconsumed_tail):
            raise BodyRefused(f"the server's answer is longer than {most // 2**20} MB")
    return bytes(content)
