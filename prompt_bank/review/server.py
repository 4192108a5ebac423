"""The web application of the review page: a JSON API under the page and its static files."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fedmpt.common.local_page.application import page_application, read_body, refusals
from prompt_bank.errors import BankConflict, BankError, Problem
from prompt_bank.reading.validation import type_problems
from prompt_bank.review import view
from prompt_bank.review.drafts import Draft, DraftId, delete
from prompt_bank.review.session import OperationRefused, Session, UnknownBase

HERE = Path(__file__).parent
MAX_BODY_BYTES = 4 * 2**20
"""The maximum size of a request body in bytes."""


class RequestBody(BaseModel):
    """Base of the request bodies."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class EditsRequest(RequestBody):
    """The page's unsaved edits; the server adds author and time."""

    id: DraftId
    base: Annotated[str, Field(max_length=100)]
    operations: list[Any]
    undone: list[Any] = []

    def draft(self, by: str) -> Draft:
        """The edits as a draft.

        Raises:
            ValidationError: an operation is malformed.
        """
        return Draft.model_validate({**self.model_dump(), "by": by})


class SaveRequest(EditsRequest):
    """The edits to save.

    Attributes:
        did: the message of the revision.
        over: hash of a content other than the base that may be overwritten.
    """

    did: Annotated[str, Field(min_length=1, max_length=500)]
    over: Annotated[str, Field(max_length=100)] | None = None


class MatrixRequest(EditsRequest):
    """The edits, and the condition whose affinity is requested."""

    condition: Annotated[str, Field(max_length=64)]


class DraftRequest(RequestBody):
    """The draft that is requested."""

    id: DraftId


def application(session: Session, token: str) -> Starlette:
    """The ASGI application.

    Args:
        session: the bank under review.
        token: the bearer token that requests to the API must have.
    """
    routes = [
        Route("/bank", partial(_get, session.open)),
        Route("/now", partial(_get, lambda: {"hash": session.current_hash()})),
        Route("/draft", partial(_post, DraftRequest, partial(_draft, session)), methods=["POST"]),
        Route("/discard", partial(_post, DraftRequest, partial(_discard, session)), methods=["POST"]),
        Route("/preview", partial(_post, EditsRequest, partial(_preview, session)), methods=["POST"]),
        Route("/affinity", partial(_post, MatrixRequest, partial(_affinity, session)), methods=["POST"]),
        Route("/rebase", partial(_post, EditsRequest, partial(_rebase, session)), methods=["POST"]),
        Route("/save", partial(_post, SaveRequest, partial(_save, session)), methods=["POST"]),
    ]
    return page_application(HERE, routes, token)


async def _get(answer: Callable[[], dict[str, Any]], request: Request) -> Response:
    return await run_in_threadpool(_respond, answer)


async def _post(kind: type[RequestBody], answer: Callable[[Any], dict[str, Any]], request: Request) -> Response:
    """Parse the request body, and respond from a thread, as the work is file I/O."""
    try:
        asked = kind.model_validate(json.loads(await read_body(request, MAX_BODY_BYTES)))
    except ValidationError as error:
        return _error_response(400, type_problems(error))
    except (ValueError, RecursionError) as error:
        return _error_response(400, [Problem("", f"the request is not JSON: {error}")])
    return await run_in_threadpool(_respond, partial(answer, asked))


def _respond(answer: Callable[[], dict[str, Any]]) -> Response:
    """The answer or the error as JSON."""
    try:
        return JSONResponse(answer())
    except ValidationError as error:
        return _error_response(400, type_problems(error))
    except OperationRefused as error:
        return _error_response(422, error.problems, operation=error.index)
    except UnknownBase:
        return _error_response(
            410, [Problem("", "the edits belong to a version of the bank that this server has not loaded")]
        )
    except BankError as error:
        return _error_response(422, [problem for problem in error.problems if problem.severity == "error"])
    except OSError as error:
        return _error_response(500, [Problem("", f"{error.filename or 'writing'}: {error.strerror or error}")])


def _preview(session: Session, edits: EditsRequest) -> dict[str, Any]:
    return session.preview(edits.draft(session.by))


def _affinity(session: Session, asked: MatrixRequest) -> dict[str, Any]:
    return session.affinity(EditsRequest(**asked.model_dump(exclude={"condition"})).draft(session.by), asked.condition)


def _rebase(session: Session, edits: EditsRequest) -> dict[str, Any]:
    return session.rebase(edits.draft(session.by))


def _save(session: Session, save: SaveRequest) -> dict[str, Any]:
    draft = EditsRequest(**save.model_dump(exclude={"did", "over"})).draft(session.by)
    try:
        return {"saved": session.save(draft, save.did, save.over)}
    except BankConflict:
        return {"conflict": session.conflict(draft)}


def _draft(session: Session, asked: DraftRequest) -> dict[str, Any]:
    draft = session.draft(asked.id)
    return {"draft": draft.model_dump(mode="json", exclude_none=True) if draft else None}


def _discard(session: Session, asked: DraftRequest) -> dict[str, Any]:
    delete(session.path, asked.id)
    return {}


def _error_response(status: int, found: list[Problem], **more: Any) -> Response:
    return refusals(status, view.problems_as_json(found), **more)
