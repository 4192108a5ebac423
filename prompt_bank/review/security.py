"""Who may talk to the review page's server.

It listens on 127.0.0.1, but every page that the browser has open can send requests there, and every user of the machine
can. So content is given only to who knows the token, and only where the browser says that its own page asks.
"""

from __future__ import annotations

import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
"""Host names under which a browser may ask. Another one is a foreign name that was made to point here."""

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
"""Only files of the package run or style the page, and no text can become markup."""

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class SecurityHeaders:
    """Puts HEADERS on every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and add the headers."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


class SameOriginOnly:
    """Refuses what under `path` comes without the token, or from another page than ours."""

    def __init__(self, app: ASGIApp, token: str, path: str) -> None:
        self.app, self.token, self.path = app, token.encode(), path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is ours."""
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
