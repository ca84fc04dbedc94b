"""x402, version 2: the three headers of a paid call, and what they hold.

A call without `payment-signature` is answered 402 with `payment-required`, which says what to pay and how. The buyer
sends it again with a token, base64 of JSON, and gets the receipt in `payment-response`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelport.errors import PaymentRequired
from modelport.store.deployments import Price

TOKEN, DEMAND, RECEIPT = "payment-signature", "payment-required", "payment-response"
VERSION = 2
IDENTIFIER = "payment-identifier"
IDENTIFIER_RULE = r"[A-Za-z0-9_-]{16,128}"
NOBODY = "0x" + 40 * "0"
# x402's own package refuses a demand without a time limit, an asset and a receiver; Nevermined reads none of them.
OF_X402 = {"asset": NOBODY, "payTo": NOBODY, "maxTimeoutSeconds": 60}
NOT_PAID = "this call has to be paid: send it again with the header payment-signature"


def demand(price: Price, network: str, url: str, verb: str, description: str) -> dict[str, Any]:
    """What to pay, for a call of this address. url: public, without its query: single-use tokens are signed over it."""
    plan = {
        "scheme": price.scheme,
        "network": price.network or network,
        "amount": str(price.credits),
        **OF_X402,
        "extra": {"version": "1", "agentId": price.agent_id, "httpVerb": verb},
    }
    identifier = {"type": "string", "pattern": f"^{IDENTIFIER_RULE}$"}
    return {
        "x402Version": VERSION,
        "error": NOT_PAID,
        "resource": {"url": url, "description": description, "mimeType": "application/json"},
        "accepts": [{**plan, "planId": plan_id} for plan_id in price.plan_ids],
        "extensions": {
            IDENTIFIER: {
                "info": {"required": False},
                "schema": {"type": "object", "properties": {"id": identifier}},
            }
        },
    }


def encoded(document: Mapping[str, Any]) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


def unpaid(document: Mapping[str, Any], why: str = NOT_PAID) -> PaymentRequired:
    """The error that is answered 402, with what to pay."""
    return PaymentRequired(why, headers={DEMAND: encoded({**document, "error": why}), "Cache-Control": "no-store"})


@dataclass
class Payment:
    """A token, and what it is to pay. digest: of what the token says, however it is written.

    key: the call that it pays: the same payment with the same call is the same job. Empty: every use is a call.
    request_id: the backend's, once it has been verified.
    """

    token: str = field(repr=False)
    demand: dict[str, Any]
    digest: str
    key: str
    request_id: str = ""


def read_token(header: str, document: dict[str, Any], idempotency_key: str = "") -> Payment:
    """Raises PaymentRequired for what is no token."""
    try:
        content = header.strip().translate({ord("-"): "+", ord("_"): "/"})
        said = json.loads(base64.b64decode(content + "=" * (-len(content) % 4), validate=True))
        digest = _digest(json.dumps(said, sort_keys=True))
    except (binascii.Error, ValueError, RecursionError):
        said, digest = None, ""
    if not isinstance(said, dict):
        raise unpaid(document, f"{TOKEN} must be the base64 of a JSON object, which a payment client makes")
    identifier = _at(said, "extensions", IDENTIFIER, "info", "id")
    if identifier is not None and not re.fullmatch(IDENTIFIER_RULE, str(identifier), re.ASCII):
        raise unpaid(document, f"{IDENTIFIER}: an id has 16 to 128 letters, digits, hyphens and underscores")
    nonce = _at(said, "payload", "authorization", "nonce")
    key = ""
    if identifier is not None:
        key = _digest(f"id {identifier}")
    elif isinstance(nonce, str) and nonce:  # good for one call only
        key = digest
    elif idempotency_key:
        key = _digest(f"{digest} {idempotency_key}")
    return Payment(header.strip(), document, digest, key and f"x402 {key}")


def digest_of(header: str) -> str:
    """That of `Payment`; empty for what is no token."""
    try:
        return read_token(header, {}).digest
    except PaymentRequired:
        return ""


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
