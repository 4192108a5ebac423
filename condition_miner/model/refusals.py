"""What a server's refusal means, decided here alone: for this question, for the form of the request, or for the run.

Servers put the reason in many places of the body, and use the same status for different things: a 400 may mean an
unknown parameter, an account in arrears or a content filter. So the words count beside the status.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from condition_miner.errors import MiningFailed
from condition_miner.model.backend import BadRequest, ContentRefused, RequestFailed, TransientFailure
from condition_miner.model.untrusted import words

OVERLOAD_STATUSES = (429, 503, 504, 529)
"""HTTP statuses of an overloaded server."""
TRANSIENT_STATUSES = (408, 409, 425, *OVERLOAD_STATUSES)
"""HTTP statuses after which a retry may succeed, besides those from 500 on."""
MAX_NAMED = 4000
"""The most characters of a body in which the name of a parameter is looked for."""
_DEEPEST = 12
_ECHO = ("input", "body", "request", "ctx")
"""Keys under which servers repeat the request."""
_SAID = ("message", "msg", "detail", "details", "error", "raw", "error_description", "title", "reason", "description")
"""Keys under which the words for people stand, the best first."""

_CONTENT = re.compile(
    r"content[ _-]?(filter|policy|management|moderation)|moderation|flagged|ResponsibleAI|safety|inappropriate"
    r"|data_?inspection|sensitive|prohibited[ _]content|usage polic|harmful|high risk|blocked by",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"insufficient[ _-]?(quota|balance|fund|credit|user)|arrear|overdue"
    r"|(not|no) (enough|sufficient|more) (credit|balance|fund)"
    r"|(credit|balance|fund)s?( balance)? (is|are|has|have)? ?(too low|exhausted|insufficient|run out|used up|depleted)"
    r"|billing[ _](hard[ _]limit|not[ _]active|is disabled)|payment required|good standing|out of credit|欠费|余额不足",
    re.IGNORECASE,
)
_ACCOUNT = re.compile(
    r"api[ _-]?key|unauthori[sz]ed|authenticat|invalid[ _]token|access denied|permission|forbidden|billing"
    r"|account|subscription|(organi[sz]ation|project) (must|is|has)|credits?\b|balance"
    r"|(country|region|location|territory).{0,40}(not|un) ?(supported|available|allowed)|unsupported_country",
    re.IGNORECASE,
)
_SERVER = re.compile(
    r"no models? (is |are )?(currently )?(loaded|available|found)|load a model"
    r"|model[ _](is[ _])?(not[ _](found|loaded|exist|supported)|does not exist)"
    r"|model.{0,80}(not found|does(n.t| not) exist|not loaded|is not available)"
    r"|model.{0,80}has been (deprecated|decommissioned|retired)"
    r"|maintenance|deployment.{0,40}(not exist|not found)|unknown model|invalid model|no such model|API version",
    re.IGNORECASE,
)
_FORM = re.compile(
    r"response_format|json[_ ]?schema|grammar|guided|structured|\bschema\b|additionalProperties|min(Items|Length)"
    r"|max(Items|Length)|unimplemented keys",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(r"context (size|length|window)|context_length|too long|too large|maximum context", re.IGNORECASE)
_LOADING = re.compile(r"loading|starting|warming|overloaded|try again|capacity|temporar", re.IGNORECASE)
_MAINTENANCE = re.compile(r"maintenance", re.IGNORECASE)
_REFUSING = (400, 403, 422, 451)
"""Statuses with which a content filter refuses a question."""
_NO_CREDIT = "the account has no credit left; top it up, then run the same command again"
_BY_STATUS = {
    401: "the key was refused; check OPENAI_API_KEY",
    403: "this may not be done with this key or from this place; check OPENAI_API_KEY",
    404: "check --model, and that --base-url ends in /v1",
}
"""What the user should do about a status, whatever its words are."""
_RETRY_DELAY = re.compile(r'"?retryDelay"?\s*[:=]?\s*"?(\d{1,6}(?:\.\d+)?)s')
_STATUS_OF_WORDS = (
    (re.compile(r"rate.?limit|too many|429|throttl|resource_exhausted", re.IGNORECASE), 429),
    (re.compile(r"overload|unavailable|capacity|upstream|timed? ?out|loading", re.IGNORECASE), 503),
    (re.compile(r"invalid|unsupported|not supported|bad.?request|unknown|not found|denied|key", re.IGNORECASE), 400),
)


def failure(
    status: int, body: Any, where: str, wait: float | None = None, in_body: bool = False
) -> RequestFailed | MiningFailed:
    """The failure that a server's refusal means.

    Args:
        status: the HTTP status, or that which an error in the body of a 200 stands for.
        body: the body: JSON, or text.
        where: the endpoint, for messages.
        wait: seconds that the server asks to wait.
        in_body: whether the body came with status 200.
    """
    said, told = server_words(body).rstrip(" .;"), named_text(body)
    reason = f"{status}{' in the body' if in_body else ''} {said}".strip()
    ended = _of_the_run(status, said, told)
    if ended:
        return MiningFailed(f"{where}: {reason}; {ended}")
    if status in _REFUSING and _CONTENT.search(told):
        return ContentRefused(f"refused for its content: {reason}")
    if status >= 500 and status not in OVERLOAD_STATUSES and _FORM.search(told):
        return BadRequest(reason, told)
    if status in TRANSIENT_STATUSES or status >= 500:
        wait = wait if wait is not None else _delay(told)
        return TransientFailure(reason, wait, status in OVERLOAD_STATUSES, status)
    return BadRequest(reason, told) if status in (400, 405, 415, 422, 501) else RequestFailed(reason)


def _of_the_run(status: int, said: str, told: str) -> str | None:
    """What the user should do where no request can succeed; None if only this one failed."""
    advice = _BY_STATUS.get(status)
    if status == 402 or (status < 500 and _QUOTA.search(told)):
        advice = _NO_CREDIT
    elif status in _REFUSING and _CONTENT.search(told):
        advice = None
    elif status in (400, 422) and not _TOO_LONG.search(told):
        if _SERVER.search(told):
            advice = "look after the server's models, or name another --model; then run the same command again"
        elif _ACCOUNT.search(said) and not _FORM.search(said):
            advice = "look after the account and OPENAI_API_KEY; then run the same command again"
    elif status >= 500 and _MAINTENANCE.search(told) and not _LOADING.search(told):
        advice = "run the same command again when it is over"
    return advice


def error_in(content: Any) -> tuple[int, Any] | None:
    """The status and the error in the body of an answer with status 200; None if there is no error."""
    if not isinstance(content, dict):
        return None
    choices = content.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    found = content.get("error")
    if isinstance(first, dict) and not found:
        found = first.get("error")
    elif isinstance(first, dict) and first.get("message"):
        return None  # an answer, whatever else is told
    if not found and first is None and any(content.get(key) for key in ("detail", "message", "msg")):
        found = content
    if not found:
        return None
    return _status_of(found, content), found if isinstance(found, dict) else {"message": found}


def too_long(error: RequestFailed) -> bool:
    """Whether a request was refused for its length, which another form would not reduce."""
    return bool(_TOO_LONG.search(str(error)))


def may_be_the_form(error: RequestFailed) -> bool:
    """Whether a server may have failed over the form of a request: some answer 500 to a schema that they don't know."""
    status = error.status if isinstance(error, TransientFailure) else None
    return status is not None and status >= 500 and status not in OVERLOAD_STATUSES


def server_words(body: Any) -> str:
    """The words for people in an error's body, in one short line that is safe to print; "" if there are none."""
    if isinstance(body, str):
        return "" if body.lstrip()[:1] == "<" else words(body)
    found: list[str] = []
    for text in _told(body, 0):
        line = words(text)
        if line and not any(line in other for other in found):
            found.append(line)
    return words("; ".join(found))


def named_text(body: Any) -> str:
    """All texts of an error's body in which a parameter may be named, without those that repeat the request."""
    if isinstance(body, str):
        return "" if body.lstrip()[:1] == "<" else body[:MAX_NAMED]
    return " ".join(_texts(body, 0))[:MAX_NAMED]


def _told(body: Any, depth: int) -> Iterator[str]:
    if isinstance(body, str):
        yield body
    elif depth > _DEEPEST:
        return
    elif isinstance(body, list):
        for one in body[:20]:
            yield from _told(one, depth + 1)
    elif isinstance(body, dict):
        for key in ("errors", *_SAID, "metadata"):
            if body.get(key):
                yield from _told(body[key], depth + 1)
        loc = body.get("loc")
        if isinstance(loc, list):
            yield ".".join(str(part) for part in loc[:8])


def _texts(body: Any, depth: int) -> Iterator[str]:
    if isinstance(body, str):
        yield body[:MAX_NAMED]
    elif depth > _DEEPEST:
        return
    elif isinstance(body, list):
        for one in body[:50]:
            yield from _texts(one, depth + 1)
    elif isinstance(body, dict):
        for key, value in list(body.items())[:50]:
            if key not in _ECHO:
                yield from _texts(value, depth + 1)


def _status_of(error: Any, content: dict[str, Any]) -> int:
    """The HTTP status that an error in a body stands for; 500, which is sent again, where nothing says it."""
    for holder in (error, content):
        if isinstance(holder, dict):
            for key in ("code", "status", "status_code", "http_status"):
                value = holder.get(key)
                number = int(value) if isinstance(value, str) and re.fullmatch(r"[45]\d\d", value) else value
                if type(number) is int and 400 <= number < 600:
                    return number
    told = named_text(error)
    if _QUOTA.search(told):
        return 402
    return next((status for pattern, status in _STATUS_OF_WORDS if pattern.search(told)), 500)


def _delay(told: str) -> float | None:
    """The delay that Gemini's errors name in their body."""
    found = _RETRY_DELAY.search(told) or re.search(r"retry in (\d{1,6}(?:\.\d+)?) ?s", told, re.IGNORECASE)
    return float(found[1]) if found else None
