"""Access control of a local page's server.

The server listens on 127.0.0.1, but any page open in the browser and any user of the machine can send requests to it.
So requests need a token, and must come from the server's own page.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
"""Allowed Host headers. Any other host name points here through DNS rebinding."""

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every response, besides the content security policy."""


def content_security_policy(image_sources: Sequence[str] = ()) -> str:
    """Allows only scripts and styles of the package; text cannot become markup.

    Args:
        image_sources: what images may come from besides this server.
    """
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            " ".join(["img-src 'self'", *image_sources]),
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


class SecurityHeaders:
    """Middleware that adds HEADERS and the content security policy to every response."""

    def __init__(self, app: ASGIApp, image_sources: Sequence[str] = ()) -> None:
        self.app = app
        self.headers = {**HEADERS, "Content-Security-Policy": content_security_policy(image_sources)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request and add the headers to the response."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


class SameOriginOnly:
    """Middleware that refuses requests under `path` without the token or from another origin."""

    def __init__(self, app: ASGIApp, token: str, path: str) -> None:
        self.app, self.token, self.path = app, token.encode(), path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request, or respond with 403."""
        if scope["type"] == "http" and scope["path"].startswith(self.path):
            reason = self._refusal(scope["method"], Headers(scope=scope))
            if reason:
                body = {"problems": [{"place": "", "message": reason}]}
                await JSONResponse(body, status_code=403)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _refusal(self, method: str, headers: Headers) -> str | None:
        own = f"http://{headers.get('host', '')}"
        if headers.get("origin", own if method == "GET" else "") != own:
            return "the request comes from another page"
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return "the request comes from another page"
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if not secrets.compare_digest(given.encode(), self.token):
            return "the token is wrong: open the address that the terminal shows"
        return None
