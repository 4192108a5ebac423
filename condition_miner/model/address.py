"""The address of an endpoint, and its identity in cache keys and banks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from condition_miner.errors import MinerError

OPENAI = "https://api.openai.com/v1"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
LOCAL = "local"
"""Identity of any server on this machine. The port is left out, since it changes no answer."""
IN_PROCESS = "transformers"
"""Identity of a model that runs in this process."""


@dataclass(frozen=True)
class Address:
    """The address of an endpoint.

    Attributes:
        base_url: base URL of the server. It may have credentials, so print `display` instead.
        endpoint: its identity, see `endpoint_identity`.
    """

    base_url: str
    endpoint: str

    @classmethod
    def resolve(cls, base_url: str | None) -> Address:
        """The address of a base URL; None for OPENAI_BASE_URL, else OpenAI's.

        Raises:
            MinerError: it is not an http(s) URL.
        """
        url = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
        return cls(url, endpoint_identity(url))

    @property
    def display(self) -> str:
        """The address as printed: the identity, or the URL of a server on this machine; never credentials."""
        if self.endpoint != LOCAL:
            return self.endpoint
        parts = urlsplit(self.base_url)
        if not parts.hostname:  # cached answers of an unknown port
            return self.endpoint
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"


def endpoint_identity(base_url: str) -> str:
    """The identity of an endpoint: "local" for this machine, else scheme, host, port and path without credentials.

    Raises:
        MinerError: it is not an http(s) URL.
    """
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except ValueError as error:  # invalid port or unbalanced bracket
        raise MinerError("--base-url: not an address; write http://HOST:PORT/v1 or https://HOST/v1") from error
    if parts.scheme not in ("http", "https") or not host:
        raise MinerError(f"--base-url {parts.scheme}://…: write http://HOST:PORT/v1 or https://HOST/v1")
    if host in LOOPBACK:
        return LOCAL
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"
