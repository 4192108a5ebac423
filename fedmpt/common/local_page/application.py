"""The web application of a local page: the page, its static files, and the routes of its API."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from fedmpt.common.local_page.security import ALLOWED_HOSTS, SameOriginOnly, SecurityHeaders

HERE = Path(__file__).parent


def page_application(
    own: Path, routes: Sequence[BaseRoute], token: str, image_sources: Sequence[str] = ()
) -> Starlette:
    """The ASGI application.

    Args:
        own: the page's folder, with `pages/` and `static/`; its files come before the shared ones of the same name.
        routes: of the API, under /api.
        token: the bearer token that requests to the API must have.
        image_sources: what the page's images may come from besides this server, "data:" for instance.
    """
    return Starlette(
        routes=[
            Route("/", partial(_page, own)),
            Mount("/static", StaticFiles(directory=own / "static", packages=[(__package__, "static")])),
            Mount("/api", routes=list(routes)),
        ],
        middleware=[
            Middleware(SecurityHeaders, image_sources=image_sources),
            Middleware(TrustedHostMiddleware, allowed_hosts=ALLOWED_HOSTS, www_redirect=False),
            Middleware(SameOriginOnly, token=token, path="/api"),
        ],
        exception_handlers={HTTPException: _http_error},
    )


async def read_body(request: Request, limit: int) -> bytes:
    """The request's body.

    Raises:
        HTTPException: it has more than `limit` bytes, and the rest is not read; or the browser gave up.
    """
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise HTTPException(413, f"the request has more than {limit} bytes")
    except ClientDisconnect as error:
        raise HTTPException(400, "the request ended early") from error
    return bytes(body)


def refusal(status: int, message: str, place: str = "") -> Response:
    """The response to a request that cannot be answered, for one problem."""
    return refusals(status, [{"place": place, "message": message}])


def refusals(status: int, problems: Sequence[dict[str, str]], **more: Any) -> Response:
    """The response to a request that cannot be answered.

    Args:
        status: the HTTP status.
        problems: each with its `place` ("" for the whole request) and its `message` for the user.
        more: further fields of the JSON.
    """
    return JSONResponse({"problems": list(problems), **more}, status_code=status)


async def _page(own: Path, request: Request) -> Response:
    # The page itself has no content of the user, so it needs no token.
    environment = SandboxedEnvironment(
        loader=FileSystemLoader([own / "pages", HERE / "pages"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return HTMLResponse(environment.get_template("page.html.j2").render(version=version("fedmpt")))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # starlette calls it with nothing else
    return refusal(error.status_code, error.detail)
