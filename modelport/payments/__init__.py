"""Calls that strangers pay for, by x402: what a deployment with a price asks, and what becomes of each payment.

A paid call is a job, also where its buyer waits for the answer: so its answer is on the disk, with the settlement that
it makes due, before anything is settled, and both outlive whatever dies. In this order: the facilitator says that the
token is good; the job is written, with the token; it runs; its end makes the delivery `payment` due, in one
transaction; the delivery settles; the answer is given out. An answer whose settlement is refused is given to nobody.
One whose settlement gets no answer is given out, and the delivery is tried again, with the same request id, until
`payment_retry_s` has passed.

docs/paid.md says at which front ends calls are sold.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from modelport.contract.job import Job
from modelport.contract.prediction import Call, Status
from modelport.deployments.deployments import Deployment
from modelport.errors import Conflict, ModelportError, NotFound, Overloaded
from modelport.jobs import Jobs
from modelport.jobs.deliveries import Deliveries, Later
from modelport.payments import backend, x402
from modelport.payments.backend import SPENT, BackendFailed, Nevermined, Refused
from modelport.payments.x402 import Payment
from modelport.settings import BadSetting, Settings
from modelport.store import Store
from modelport.store.deployments import Price
from modelport.store.jobs import number_of
from modelport.store.payments import (
    FINAL,
    KIND,
    LATE,
    OPEN,
    REFUSED,
    SENT,
    SETTLED,
    Earnings,
    PaymentRow,
    add_payment,
    end_payment,
    find_payment,
    forget_earnings,
    get_payment,
    list_earnings,
    note_payment,
    release_payment,
)
from modelport.tasks import Tasks

logger = logging.getLogger(__name__)

# A facilitator that gives no answer is asked again after so long.
RETRY_AFTER_S = 5.0
# What Nevermined's proxy reads: https://docs.nevermined.app
CONSUMED = "NVMCreditsConsumed"


def facilitator(settings: Settings) -> Nevermined | None:
    """By the settings; None: nothing is sold here. Raises BadSetting."""
    key = backend.read_key(settings.nevermined_api_key_file or None)
    if not key:
        return None
    try:
        url = backend.choose(key, settings.nevermined_backend or None)
    except BadSetting as error:
        if settings.nevermined_api_key_file or settings.nevermined_backend:
            raise
        logger.warning("nothing is sold: %s: %s", backend.VARIABLE, error.message)  # it may be set for something else
        return None
    return Nevermined(url, key, settings.payment_timeout_s)


class Payments:
    """All payments of a server. `stop` after the deliveries have stopped."""

    def __init__(
        self, settings: Settings, store: Store, jobs: Jobs, deliveries: Deliveries, facilitator: Nevermined
    ) -> None:
        self._settings = settings
        self._store = store
        self._jobs = jobs
        self._facilitator = facilitator
        self._tasks = Tasks("payments")
        self._settling: dict[int, asyncio.Task[PaymentRow | None]] = {}
        # By deployment; of those that have sold nothing there is none.
        self.earnings: Mapping[str, Earnings] = {}
        deliveries.deliverers[KIND] = self._deliver

    async def restore(self) -> None:
        """Raises what the store raises. So at the start, and whenever something has changed."""
        self.earnings = await self._store.read(list_earnings)

    async def stop(self) -> None:
        await self._tasks.end()
        await self._facilitator.aclose()

    # A call

    def url(self, deployment: Deployment) -> str:
        """Where its calls are sold."""
        return f"{self._settings.public_url.rstrip('/')}/{deployment.name}"

    def problem(self, price: Price) -> str:
        """Why it cannot be bought (yet); empty: it can."""
        if not self._settings.public_url:
            return "the setting public_url is missing: a payment names the address that it is for"
        return "" if price.plan_ids else "it has no plan: `modelport nevermined register` makes one"

    def sells(self, deployment: Deployment) -> bool:
        """Whether its calls can be bought."""
        return deployment.price is not None and not self.problem(deployment.price)

    def demand(self, deployment: Deployment, path: str, verb: str) -> dict[str, Any] | None:
        """What a call of this path costs; None: it cannot be bought."""
        price = deployment.price
        if price is None or not self.sells(deployment):
            return None
        url = self._settings.public_url.rstrip("/") + path.removeprefix(self._settings.base_path)
        described = deployment.title or f"A call of {deployment.name}"
        return x402.demand(price, self._facilitator.network, url, verb, described)

    async def submit(
        self, deployment: Deployment, call: Call, payment: Payment, *, waits: bool, owner: str, **options: Any
    ) -> Job:
        """As `Jobs.submit`, once the payment has been verified. With a payment that has paid for this very call it is
        that job. waits: the buyer waits for the answer.

        Raises PaymentRequired; Conflict where the payment is for another call, or for one that still runs; Overloaded
        where the facilitator gives no answer.
        """
        name, credits = deployment.name, int(payment.demand["accepts"][0]["amount"])
        earlier = await self._store.read(find_payment, name, owner, payment.key)
        if earlier is None:
            payment.request_id = await self._verify(payment, credits)
        elif earlier.digest != payment.digest:
            raise Conflict("this payment identifier has been used with another payment")

        def note(connection: Any, job: Job) -> None:
            demand, number = json.dumps(payment.demand), number_of(job.id)
            row = PaymentRow(number, name, payment.token, payment.digest, demand, payment.request_id, credits)
            add_payment(connection, row)

        options["deliver"] = (*options.get("deliver", ()), KIND)
        accepting = self._tasks.spawn(
            self._accept(deployment, call, key=payment.key, owner=owner, in_transaction=note, **options), awaited=True
        )
        try:
            job, new = await asyncio.shield(accepting)
        except asyncio.CancelledError:
            if waits:  # it may run before its buyer hears that it has been accepted
                self._tasks.spawn(self._abandon(accepting))
            raise
        if waits and not new and not job.status.final:
            raise Conflict("this payment pays for a call that still runs; ask again", retry_after_s=1)
        return job

    async def _accept(self, deployment: Deployment, call: Call, **options: Any) -> tuple[Job, bool]:
        job, new = await self._jobs.submit(deployment, call, **options)
        if new:
            await self.restore()
        return job, new

    async def _abandon(self, accepting: asyncio.Task[tuple[Job, bool]]) -> None:
        with contextlib.suppress(ModelportError):  # it has not been accepted
            job, new = await accepting
            if new:
                await self._cancel(job.id)

    async def _verify(self, payment: Payment, credits: int) -> str:
        try:
            return await self._facilitator.verify(payment.demand, payment.token, credits)
        except Refused as error:
            logger.info("payment %s… was refused: %s", payment.digest[:8], error.message)
            raise x402.unpaid(payment.demand, error.message) from error
        except BackendFailed as error:
            logger.warning("payment %s… could not be verified: %s", payment.digest[:8], error.message)
            raise Overloaded("payments cannot be verified now; ask again later", retry_after_s=RETRY_AFTER_S) from error

    def leave(self, job: Job) -> None:
        """The buyer has gone without the answer: the prediction is stopped, and nothing is owed."""
        self._tasks.spawn(self._cancel(job.id))

    async def _cancel(self, job_id: str) -> None:
        try:
            await self._jobs.cancel(job_id)
        except (Conflict, NotFound):
            pass  # it has ended

    # Its answer

    async def receipt(self, job: Job) -> dict[str, str]:
        """Headers for the answer of a paid job that has ended; settled first. Raises PaymentRequired where that was
        refused: then nobody gets the answer."""
        row = await self.settle(job) if job.status is Status.SUCCEEDED else None
        if row is None or row.state != SETTLED or not row.receipt:
            if row is not None and row.state == REFUSED:
                raise x402.unpaid(json.loads(row.demand), row.receipt)
            return {}
        receipt = json.loads(row.receipt)
        consumed = str(receipt.get("creditsRedeemed") or row.credits)
        return {x402.RECEIPT: x402.encoded(receipt), **({CONSUMED: consumed} if consumed.isdecimal() else {})}

    async def bought(self, job_id: str, token: str) -> Job:
        """The job that was paid with this token. Raises NotFound."""
        row = await self._store.read(get_payment, number_of(job_id))
        if row is None or row.digest != x402.digest_of(token):
            raise NotFound("there is no such job")
        return await self._jobs.get(job_id)

    # Settling

    async def settle(self, job: Job) -> PaymentRow | None:
        """One attempt, for all who ask meanwhile; as it is then. None: nothing is owed."""
        number = number_of(job.id)
        if number not in self._settling:
            task = self._settling[number] = self._tasks.spawn(self._settle(job), cancel=True, awaited=True)
            task.add_done_callback(lambda _: self._settling.pop(number))
        row = await asyncio.shield(self._settling[number])
        await self.restore()
        return row

    async def _settle(self, job: Job) -> PaymentRow | None:
        row = await self._store.read(get_payment, number_of(job.id))
        if row is None or row.state in FINAL:
            return row
        if job.status is not Status.SUCCEEDED:
            await self._store.write(release_payment, row.number)
            return None
        in_doubt = row.state == SENT
        if not in_doubt:
            await self._store.write(note_payment, row.number, SENT)
        try:
            receipt = await self._facilitator.settle(json.loads(row.demand), row.token, row.credits, row.request_id)
        except Refused as error:
            if in_doubt and error.code == SPENT:
                # By us: an earlier attempt had no answer. Its receipt is lost.
                return await self._store.write(end_payment, row, SETTLED, "")
            logger.warning("payment of job %s was refused after it: %s", job.id, error.message)
            return await self._store.write(end_payment, row, REFUSED, error.message)
        except BackendFailed as error:
            if not in_doubt and not error.sent:
                await self._store.write(note_payment, row.number, OPEN)
            logger.warning("payment of job %s could not be settled: %s", job.id, error.message)
            return row
        return await self._store.write(end_payment, row, SETTLED, json.dumps(receipt))

    async def _deliver(self, job: Job) -> bool:
        """Raises Later."""
        row = await self.settle(job)
        if row is None or row.state in FINAL:
            return True
        if time.time() - (job.finished or 0.0) < self._settings.payment_retry_s:
            raise Later("its payment is not settled")
        logger.error("job %s was not paid: its settlement had no answer for too long", job.id)
        await self._store.write(end_payment, row, LATE, "no answer")
        await self.restore()
        return True

    async def forget(self, deployment: str) -> None:
        """It has been undeployed."""
        await self._store.write(forget_earnings, deployment)
        await self.restore()
