"""Run in the environments of the real packages: `x402 URL` buys a call as x402's own package does; `nevermined URL
BACKEND KEY` verifies and settles what URL asks for, as payments-py does."""

from __future__ import annotations

import base64
import json
import os
import sys
import urllib.request
from typing import Any
from urllib.error import HTTPError

BODY = b'{"text": "b"}'


def ask(url: str, **headers: str) -> tuple[int, Any, bytes]:
    headers = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = urllib.request.Request(url, BODY, headers)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.headers, response.read()
    except HTTPError as error:
        return error.code, error.headers, error.read()


def x402(url: str) -> dict[str, Any]:
    from x402.http import utils  # type: ignore[import-not-found]
    from x402.schemas import PaymentPayload  # type: ignore[import-not-found]

    _, headers, _ = ask(url)
    asked = utils.decode_payment_required_header(headers["payment-required"])
    payload = PaymentPayload(
        x402_version=2,
        accepted=asked.accepts[0],
        payload={"signature": "0x1", "authorization": {"from": "0xb0", "nonce": "0x" + os.urandom(16).hex()}},
    )
    # A plan is no field of theirs: Nevermined's clients add it.
    said = json.loads(base64.b64decode(utils.encode_payment_signature_header(payload)))
    said["accepted"]["planId"] = json.loads(base64.b64decode(headers["payment-required"]))["accepts"][0]["planId"]
    token = base64.b64encode(json.dumps(said).encode()).decode()
    status, headers, body = ask(url, payment_signature=token)
    receipt = utils.decode_payment_response_header(headers["payment-response"])
    return {"status": status, "body": body.decode(), "success": receipt.success, "transaction": receipt.transaction}


def nevermined(url: str, backend: str, key: str) -> dict[str, Any]:
    os.environ["NVM_BACKEND_URL"] = backend
    from payments_py import PaymentOptions, Payments  # type: ignore[import-not-found]
    from payments_py.x402.types import X402PaymentRequired  # type: ignore[import-not-found]

    _, headers, _ = ask(url)
    document = json.loads(base64.b64decode(headers["payment-required"]))
    asked = X402PaymentRequired.model_validate(document)
    token = sys.stdin.read().strip()
    payments = Payments.get_instance(PaymentOptions(nvm_api_key=key, environment="custom"))
    verified = payments.facilitator.verify_permissions(asked, token, "2")
    settled = payments.facilitator.settle_permissions(asked, token, "2", verified.agent_request_id)
    return {"valid": verified.is_valid, "success": settled.success, "plan": asked.accepts[0].plan_id}


if __name__ == "__main__":
    which, *rest = sys.argv[1:]
    print(json.dumps(x402(*rest) if which == "x402" else nevermined(*rest)))
