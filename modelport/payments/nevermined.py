"""Nevermined as the facilitator of payments: who says whether a token is good, and takes what it is worth."""

from __future__ import annotations

from typing import Any, Protocol

from modelport.errors import ModelportError
from modelport.payments.backend import BACKENDS, Backend, BackendFailed

VERIFY, SETTLE = "/api/v1/x402/verify", "/api/v1/x402/settle"
# A single-use token has been settled already.
SPENT = "BCK.X402.0059"
# These are about us or about now, and not about the payment.
NOT_OF_THE_PAYMENT = (401, 408, 429)
LIVE, SANDBOX = "eip155:8453", "eip155:84532"


class Refused(ModelportError):
    """The facilitator says no, for good. code: its own, such as SPENT."""

    kind = "payment_refused"

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Unavailable(ModelportError):
    """The facilitator gave no answer, or none that means anything. sent: it may have done what it was asked."""

    kind = "payments_unavailable"

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Facilitator(Protocol):
    """Both raise Refused and Unavailable. demand: what the token answers, the same at both. amount: in credits.

    network: of plans whose price names none.
    """

    network: str

    async def verify(self, demand: dict[str, Any], token: str, amount: int) -> str:
        """Whether it is good, which takes nothing. Returns what `settle` is told of it."""

    async def settle(self, demand: dict[str, Any], token: str, amount: int, request_id: str) -> dict[str, Any]:
        """The receipt. Asked again with the same request_id, it takes nothing more."""

    async def aclose(self) -> None: ...


class Nevermined:
    """Its backend, by the wire format of payments-py 1.18."""

    def __init__(self, url: str, key: str, timeout_s: float) -> None:
        """Raises InvalidRequest for what cannot be a key."""
        self._backend = Backend(url, key, timeout_s)
        live = url == BACKENDS["live"] or (url not in BACKENDS.values() and key.lower().startswith("live"))
        self.network = LIVE if live else SANDBOX

    async def verify(self, demand: dict[str, Any], token: str, amount: int) -> str:
        answer = await self._ask(VERIFY, demand, token, amount)
        if answer.get("isValid") is False:
            raise Refused(str(answer.get("invalidReason") or "the payment is not valid"))
        if answer.get("isValid") is not True:
            raise Unavailable("the answer of a verification does not say whether it is valid", sent=True)
        return str(answer.get("agentRequestId") or "")

    async def settle(self, demand: dict[str, Any], token: str, amount: int, request_id: str) -> dict[str, Any]:
        answer = await self._ask(SETTLE, demand, token, amount, agentRequestId=request_id)
        if answer.get("success") is False:
            reason = answer.get("errorReason") or answer.get("message") or "the payment was not settled"
            raise Refused(str(reason), str(answer.get("code") or ""))
        if answer.get("success") is not True:
            raise Unavailable("the answer of a settlement does not say whether it is done", sent=True)
        return answer

    async def _ask(self, path: str, demand: dict[str, Any], token: str, amount: int, **more: str) -> dict[str, Any]:
        body = {"paymentRequired": demand, "x402AccessToken": token, "maxAmount": str(amount), **more}
        try:
            return await self._backend.send("POST", path, body)
        except BackendFailed as error:
            # Its errors have codes, with whatever status; those of something in front of it have none. One with a 5xx
            # leaves it open whether a settlement has taken effect.
            final = path == VERIFY or not error.sent or error.code == SPENT
            if error.code and final and error.answered not in NOT_OF_THE_PAYMENT:
                raise Refused(error.reason, error.code) from error
            raise Unavailable(error.message, sent=error.sent) from error

    async def aclose(self) -> None:
        await self._backend.aclose()
