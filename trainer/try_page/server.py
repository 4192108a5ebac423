"""The web application of the page: two routes under the page and its static files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fedmpt.common.local_page.application import page_application, read_body, refusal
from trainer.data.images import UnreadableImage
from trainer.try_page.answering import MAX_PICTURE_BYTES, Answerer

HERE = Path(__file__).parent


def application(answerer: Answerer, token: str) -> Starlette:
    """The ASGI application.

    Args:
        answerer: of the model that is tried.
        token: the bearer token that requests to the API must have.
    """
    routes = [
        Route("/model", partial(_model, answerer)),
        Route("/picture", partial(_picture, answerer), methods=["POST"]),
    ]
    return page_application(HERE, routes, token, image_sources=["data:"])


async def _model(answerer: Answerer, request: Request) -> Response:
    return JSONResponse(answerer.describe())


async def _picture(answerer: Answerer, request: Request) -> Response:
    content = await read_body(request, MAX_PICTURE_BYTES)
    return await run_in_threadpool(_answer, answerer, content)


def _answer(answerer: Answerer, content: bytes) -> Response:
    """The answer as JSON, or the reason why the picture cannot be read; its name is the page's own."""
    try:
        return JSONResponse(answerer.answer(content))
    except UnreadableImage as error:
        return refusal(422, error.reason)
