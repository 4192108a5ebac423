"""Where a language model answers, and what names that place in keys and banks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from condition_miner.errors import MinerError

OPENAI = "https://api.openai.com/v1"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
LOCAL = "local"
"""Identity of any server on this machine: which port it happens to have changes no answer."""
IN_PROCESS = "transformers"
"""Identity of a model that runs in this process."""


@dataclass(frozen=True)
class Address:
    """Where the model answers.

    Attributes:
        base_url: of the server; may carry credentials, so it is never printed but for LOCAL.
        endpoint: its identity, see `identity`.
    """

    base_url: str
    endpoint: str

    @classmethod
    def of(cls, base_url: str | None) -> Address:
        """From the option, else OPENAI_BASE_URL, else OpenAI's own.

        Raises:
            MinerError: not an http(s) address.
        """
        url = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
        return cls(url, identity(url))

    @property
    def shown(self) -> str:
        """What a message names: the identity, or host and port of a server on this machine; never credentials."""
        if self.endpoint != LOCAL:
            return self.endpoint
        parts = urlsplit(self.base_url)
        if not parts.hostname:  # answers out of the cache, whose server is not known
            return self.endpoint
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"


def identity(base_url: str) -> str:
    """What names an endpoint in keys and in a bank: "local", or scheme, host, port and path, without credentials.

    Raises:
        MinerError: not an http(s) address.
    """
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except ValueError as error:  # a port that is no number, a bracket that isn't closed
        raise MinerError("--base-url: not an address; write http://HOST:PORT/v1 or https://HOST/v1") from error
    if parts.scheme not in ("http", "https") or not host:
        raise MinerError(f"--base-url {parts.scheme}://…: write http://HOST:PORT/v1 or https://HOST/v1")
    if host in LOOPBACK:
        return LOCAL
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"
