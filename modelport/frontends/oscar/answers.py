"""What /run answers: text with the call's log for those who ask for nothing, the pure answer for those who do.

Bare JSON never goes to who did not ask for it: the OSCAR dashboard breaks on it.
"""

from __future__ import annotations

import asyncio
import base64
import mimetypes
from dataclasses import dataclass

from aiohttp import web

from modelport.contract.card import Card
from modelport.contract.prediction import Outcome
from modelport.errors import InvalidArguments, ModelportError, NotAcceptable
from modelport.http.outcome_answers import server_timing
from modelport.intake.accept import ANY, matches, names_nothing, ranges
from modelport.intake.calls import choose_answer_type
from modelport.intake.scratch import open_answer

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
STATUS_HEADER = "X-Modelport-Status"

# Read and encoded in one go: a multiple of 3, so that no = comes in between.
BASE64_BYTES = 3 << 18

_TEXT_TYPES = ("text/plain", "text/*")


@dataclass(frozen=True)
class AnswerType:
    """pure: the answer itself, without the call's log. accept: its media type; None: whatever the model gives.

    patterns: what a pure answer may be, where the model cannot be asked before.
    """

    pure: bool
    accept: str | None = None
    patterns: tuple[str, ...] = ()


WITH_LOG = AnswerType(False)


def _asked(request: web.Request) -> tuple[str, str]:
    """The query's `format`, and the header Accept; empty where there is none."""
    header = ", ".join(request.headers.getall("Accept")) if "Accept" in request.headers else ""
    return request.query.get("format", "").strip().lower(), header


def answer_type_of(request: web.Request, card: Card) -> AnswerType:
    """By the query's `format`, else the header Accept. Raises NotAcceptable."""
    form, header = _asked(request)
    if not form:
        return _by_header(header, card) if header else WITH_LOG
    if form in ("text", "txt", *_TEXT_TYPES):
        return WITH_LOG
    media_type = form.replace(" ", "+") if "/" in form else mimetypes.guess_type(f"x.{form}")[0]
    if media_type is None:
        raise NotAcceptable(f"format is {form[:100]!r}; give text, json or a media type")
    offer = _offered(card, media_type)
    if offer is None:
        raise _not_acceptable(media_type, card)
    return AnswerType(True, offer, (media_type,))


def _by_header(header: str, card: Card) -> AnswerType:
    """Of equal weight, text goes before anything else (axios sends `application/json, text/plain, */*`), and what is
    named before what is not."""
    patterns = ranges(header, first=_TEXT_TYPES)
    for pattern in patterns:
        if pattern in _TEXT_TYPES or pattern in ANY:
            return WITH_LOG
        if (offer := _offered(card, pattern)) is not None:
            return AnswerType(True, offer, patterns)
    if names_nothing(header):
        return WITH_LOG
    raise _not_acceptable(header, card)


def names_json(request: web.Request) -> bool:
    """Whether JSON is what the client wants before all: then errors come in it, too."""
    form, header = _asked(request)
    if form:
        return form in ("json", JSON)
    return ranges(header, first=_TEXT_TYPES)[:1] == (JSON,)


def _offered(card: Card, pattern: str) -> str | None:
    """The media type by which the model can answer this; None if it cannot."""
    if not card.answer_types:
        # Without `accept` a model gives what it gives; what that is, is seen afterwards.
        return JSON if matches(JSON, pattern) else pattern
    try:
        return choose_answer_type(card, pattern)
    except InvalidArguments:
        return None


def _not_acceptable(asked: str, card: Card) -> NotAcceptable:
    offers = ", ".join(card.answer_types or [JSON])
    return NotAcceptable(f"{asked[:200]!r} is asked for, but the model gives {offers}; or text/plain, with its log")


def check_type(answer_type: AnswerType, outcome: Outcome) -> None:
    """A model without `accept` gives what it gives. Raises NotAcceptable if nobody asked for that."""
    if not any(matches(outcome.media_type, pattern) for pattern in answer_type.patterns):
        raise NotAcceptable(
            f"{', '.join(answer_type.patterns)[:200]} is asked for, but the model gave {outcome.media_type}"
        )


# Text


def failure_text(error: ModelportError, status: int, log: str) -> str:
    """The reason, then the log; without anything that scripts would take for a result."""
    text = f"error {status} ({error.kind}): {error.message}\n" + (f"\nThe call's log:\n{log}" if log else "")
    return text.replace("return:", "return :")


# Files for those who expect text


async def respond_base64(request: web.Request, outcome: Outcome, headers: dict[str, str]) -> web.StreamResponse:
    """As the platform gives a result that is a file: base64 of it on one line, and no log."""
    headers = {
        **headers,
        "Content-Type": TEXT,
        "Server-Timing": server_timing(outcome),
        "X-Modelport-Media-Type": outcome.media_type,
    }
    if outcome.path is None:
        return web.Response(body=base64.b64encode(outcome.body) + b"\n", headers=headers)
    response = web.StreamResponse(headers=headers)
    with open_answer(outcome.path) as file:
        await response.prepare(request)
        while text := await asyncio.to_thread(lambda: base64.b64encode(file.read(BASE64_BYTES))):
            await response.write(text)
    await response.write(b"\n")
    await response.write_eof()
    return response
