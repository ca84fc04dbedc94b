"""What the plain front end answers: the result in its envelope, or `{"detail": …}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from modelport.contract.prediction import Outcome
from modelport.http.gateway import Gateway
from modelport.http.json_answers import encoded
from modelport.http.names import JSON, answer_headers

BEFORE, AFTER = b'{"result": ', b"}"


async def respond(
    gateway: Gateway, request: web.Request, outcome: Outcome, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """JSON as `{"result": …}`, anything else as it is. headers: more of them; the answer may be sent from here."""
    headers = {**answer_headers(outcome.filename, outcome.media_type), **(headers or {})}
    if outcome.media_type.partition(";")[0].strip().lower() == JSON:
        return await gateway.respond(request, outcome, before=BEFORE, after=AFTER, headers=headers)
    return await gateway.respond(request, outcome, headers=headers)


def refusal(status: int, detail: Any, headers: dict[str, str] | None = None) -> web.Response:
    """detail: a sentence, or rows of `plain_arguments`."""
    # A header may hold what is no text, and is shown to who has sent it.
    return web.Response(status=status, body=encoded({"detail": detail}), content_type=JSON, headers=headers)
