"""The address of an endpoint, and its identity in cache keys and banks."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from condition_miner.errors import MinerError

OPENAI = "https://api.openai.com/v1"
LOCAL = "local"
"""Identity of any server on this machine. The port is left out, since it changes no answer."""
IN_PROCESS = "transformers"
"""Identity of a model that runs in this process."""


@dataclass(frozen=True)
class Address:
    """The address of an endpoint.

    Attributes:
        base_url: base URL of the server. It may have credentials, also in its query, so print `display` instead.
        endpoint: its identity, see `endpoint_identity`.
        key: of a server that this process started; None for the user's key in OPENAI_API_KEY.
    """

    base_url: str
    endpoint: str
    key: str | None = field(default=None, repr=False)

    @classmethod
    def resolve(cls, base_url: str | None) -> Address:
        """The address of a base URL; None for OPENAI_BASE_URL, else OpenAI's.

        Raises:
            MinerError: it is not an http(s) URL.
        """
        url = (base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI).strip()
        return cls(url, endpoint_identity(url))

    @property
    def port(self) -> int:
        """The port that the base URL names; 0 if it names none."""
        return urlsplit(self.base_url).port or 0

    @property
    def host(self) -> str:
        """The name of the server's host, in lower case; "" where there is none."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def request_url(self) -> str:
        """The base URL of requests: without query and fragment."""
        scheme, host, path, _, _ = urlsplit(self.base_url)
        return urlunsplit((scheme, host, path, "", ""))

    @property
    def query(self) -> dict[str, str]:
        """The query of the base URL, which goes with each request: Azure's api-version."""
        return dict(parse_qsl(urlsplit(self.base_url).query))

    @property
    def is_near(self) -> bool:
        """Whether the server is on this machine or in a private network, so that no proxy leads to it."""
        if self.endpoint == LOCAL:
            return True
        try:
            number = ipaddress.ip_address(self.host.partition("%")[0])
        except ValueError:
            return False
        return number.is_private or number.is_link_local

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
    if _is_loopback(host):
        return LOCAL
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def _is_loopback(host: str) -> bool:
    name = host.rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        number = ipaddress.ip_address(name)
    except ValueError:
        return False
    return number.is_loopback or number.is_unspecified
