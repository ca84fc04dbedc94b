"""Payments in requests and answers: the headers of x402, at whatever front end.

Whoever may not call a deployment may buy a call, where the front end sells them: `Gateway.find(…, sells=True)` leaves
the payment in the request, `prefer` makes a job of the call, and `add_headers` writes what is known at the end.
"""

from __future__ import annotations

from aiohttp import web

from modelport.deployments.deployments import Deployment
from modelport.errors import PaymentRequired, Unauthorized
from modelport.http.body import Request
from modelport.http.credentials import TOKEN_NEEDED
from modelport.http.json_answers import json_answer
from modelport.payments import CONSUMED, Payments, x402
from modelport.store.deployments import Price

# What a request holds: the payment of a stranger; headers for its answer.
PAYMENT = web.RequestKey("payment", x402.Payment)
HEADERS = web.RequestKey("payment_headers", dict[str, str])
EXPOSED = (x402.DEMAND, x402.RECEIPT, CONSUMED)
# Answers to calls that have failed, which some clients of /run see as 200.
FAILED_HEADER = "X-Modelport-Status"


def enter(payments: Payments, request: web.Request, deployment: Deployment, *, sells: bool = True) -> None:
    """Take the payment of a caller who may not call this without one.

    Raises PaymentRequired; Unauthorized where nothing is sold, and for a wrong credential, which is counted.
    """
    document = payments.demand(deployment, request.path, request.method)
    if document is None:
        raise Unauthorized(TOKEN_NEEDED)
    if not sells:
        where = payments.url(deployment)
        raise Unauthorized(f"calls are not sold here, and need a bearer token; buy one at {where}")
    if "Authorization" in request.headers:
        raise Unauthorized("the token is wrong: send the right one, or a payment without the header Authorization")
    if x402.TOKEN not in request.headers:
        raise x402.unpaid(document)
    assert isinstance(request, Request)
    request.limits = ("payment_body_bytes",)  # it is read before the payment is verified
    key = request.headers.get("Idempotency-Key", "")
    request[PAYMENT] = x402.read_token(request.headers[x402.TOKEN], document, key)


def consumed(price: Price) -> dict[str, str]:
    """For the answers to callers with a token: Nevermined's proxy may be one."""
    return {CONSUMED: str(price.credits)}


def unpaid(error: PaymentRequired) -> web.Response:
    """402, in the shape that x402's clients know, at every front end."""
    return json_answer({"error": "Payment Required", "message": error.message}, 402, error.headers)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """A hook on every answer, where something is sold."""
    headers = request.get(HEADERS)
    if headers and response.status == 200 and request.method != "HEAD" and FAILED_HEADER not in response.headers:
        response.headers.update(headers)
