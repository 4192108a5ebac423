"""The review page's server: one page, its static files, and the questions that the page asks in JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from prompt_bank.errors import BankConflict, BankError, Problem
from prompt_bank.reading.locate import written
from prompt_bank.reading.validation import described
from prompt_bank.review import view
from prompt_bank.review.drafts import Draft, DraftId, drop
from prompt_bank.review.security import HOSTS, OwnPageOnly, SafeHeaders
from prompt_bank.review.session import OperationRefused, Session, UnknownBase

HERE = Path(__file__).parent
LARGEST_BODY = 4 * 2**20
"""Bytes; a page's edits are text that a person wrote."""


class Asked(BaseModel):
    """Base of what the page sends."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Edits(Asked):
    """The page's unsaved edits; the server adds who makes them and when."""

    id: DraftId
    base: Annotated[str, Field(max_length=100)]
    operations: list[Any]
    undone: list[Any] = []

    def draft(self, by: str) -> Draft:
        """As it is kept.

        Raises:
            ValidationError: something in the lists is no operation.
        """
        return Draft.model_validate({**self.model_dump(), "by": by})


class Save(Edits):
    """Record the edits.

    Attributes:
        did: the revision's message.
        over: hash of another content than the base that may be replaced.
    """

    did: Annotated[str, Field(min_length=1, max_length=500)]
    over: Annotated[str, Field(max_length=100)] | None = None


class WhichMatrix(Edits):
    """Names a condition after the edits."""

    condition: Annotated[str, Field(max_length=64)]


class WhichDraft(Asked):
    """Names a draft."""

    id: DraftId


def application(session: Session, token: str) -> Starlette:
    """The server's application.

    Args:
        session: the bank under review.
        token: what a request for content must show.
    """
    return Starlette(
        routes=[
            Route("/", _page),
            Mount("/static", StaticFiles(directory=HERE / "static")),
            Mount(
                "/api",
                routes=[
                    Route("/bank", partial(_read, session.opened)),
                    Route("/now", partial(_read, lambda: {"hash": session.now()})),
                    Route("/draft", partial(_answered, WhichDraft, partial(_draft, session)), methods=["POST"]),
                    Route("/discard", partial(_answered, WhichDraft, partial(_discard, session)), methods=["POST"]),
                    Route("/preview", partial(_answered, Edits, partial(_preview, session)), methods=["POST"]),
                    Route("/affinity", partial(_answered, WhichMatrix, partial(_affinity, session)), methods=["POST"]),
                    Route("/rebase", partial(_answered, Edits, partial(_rebase, session)), methods=["POST"]),
                    Route("/save", partial(_answered, Save, partial(_save, session)), methods=["POST"]),
                ],
            ),
        ],
        middleware=[
            Middleware(SafeHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
            Middleware(OwnPageOnly, token=token, path="/api"),
        ],
        exception_handlers={HTTPException: _failed},
    )


async def _page(request: Request) -> Response:
    # The page itself holds no content, so that it can be fetched before the token is known to be right.
    environment = SandboxedEnvironment(
        loader=FileSystemLoader(HERE / "pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return HTMLResponse(environment.get_template("page.html.j2").render(version=version("fedmpt")))


async def _read(answer: Callable[[], dict[str, Any]], request: Request) -> Response:
    return await run_in_threadpool(_guarded, answer)


async def _answered(kind: type[Asked], answer: Callable[[Any], dict[str, Any]], request: Request) -> Response:
    """Reads what the page sends, and answers in a thread: the work is with files."""
    try:
        asked = kind.model_validate(json.loads(await _body(request)))
    except ValidationError as error:
        return _refused(400, [Problem(written(found["loc"]), described(found)) for found in error.errors()])
    except (ValueError, RecursionError) as error:
        return _refused(400, [Problem("", f"the request is not JSON: {error}")])
    return await run_in_threadpool(_guarded, partial(answer, asked))


def _guarded(answer: Callable[[], dict[str, Any]]) -> Response:
    """The answer, or what kept it from being given, as JSON."""
    try:
        return JSONResponse(answer())
    except ValidationError as error:
        return _refused(400, [Problem(written(found["loc"]), described(found)) for found in error.errors()])
    except OperationRefused as error:
        return _refused(422, error.problems, operation=error.index)
    except UnknownBase:
        return _refused(410, [Problem("", "the edits belong to a content that this server has not seen")])
    except BankError as error:
        return _refused(422, [problem for problem in error.problems if problem.severity == "error"])
    except OSError as error:
        return _refused(500, [Problem("", f"{error.filename or 'writing'}: {error.strerror or error}")])


def _preview(session: Session, edits: Edits) -> dict[str, Any]:
    return session.preview(edits.draft(session.by))


def _affinity(session: Session, asked: WhichMatrix) -> dict[str, Any]:
    return session.affinity(Edits(**asked.model_dump(exclude={"condition"})).draft(session.by), asked.condition)


def _rebase(session: Session, edits: Edits) -> dict[str, Any]:
    return session.rebase(edits.draft(session.by))


def _save(session: Session, save: Save) -> dict[str, Any]:
    draft = Edits(**save.model_dump(exclude={"did", "over"})).draft(session.by)
    try:
        return {"saved": session.save(draft, save.did, save.over)}
    except BankConflict:
        return {"conflict": session.conflict(draft)}


def _draft(session: Session, asked: WhichDraft) -> dict[str, Any]:
    draft = session.draft(asked.id)
    return {"draft": draft.model_dump(mode="json", exclude_none=True) if draft else None}


def _discard(session: Session, asked: WhichDraft) -> dict[str, Any]:
    drop(session.path, asked.id)
    return {}


async def _body(request: Request) -> bytes:
    """The request's body.

    Raises:
        HTTPException: it is too large; the rest is not read.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise HTTPException(413, f"the request has more than {LARGEST_BODY} bytes")
    return bytes(body)


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # starlette calls it with nothing else
    return _refused(error.status_code, [Problem("", error.detail)])


def _refused(status: int, found: list[Problem], **more: Any) -> Response:
    return JSONResponse({"problems": view.problems(found), **more}, status_code=status)
