"""Who may see which jobs: who has a deployment's token, or owns it, sees all of its jobs; another account that may call
it, and a shared link, sees its own; the owner of the server sees everything."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection
from dataclasses import dataclass

from aiohttp import web

from modelport.contract.job import Job
from modelport.errors import ModelportError, NotFound, Unauthorized
from modelport.http import paying
from modelport.http.access import Access, Caller
from modelport.http.credentials import TOKEN_NEEDED, bearer
from modelport.http.gateway import Gateway
from modelport.identity.links import owner_of_jobs
from modelport.identity.oidc import is_jwt
from modelport.payments import x402

JOB_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True)
class Sight:
    """What a caller may see.

    everything: the owner. deployments: all their jobs. account, or a link: its own jobs in `shared`, services that it
        may call.
    known: the caller has shown a token that is good for something, and is told the truth of what is not there.
    """

    everything: bool = False
    deployments: frozenset[str] = frozenset()
    account: str = ""
    shared: frozenset[str] = frozenset()
    known: bool = False

    def sees(self, deployment: str, owner: str) -> bool:
        if self.everything or deployment in self.deployments:
            return True
        return bool(self.account) and owner == self.account and deployment in self.shared

    def scope(self, names: Collection[str]) -> tuple[list[str], str | None]:
        """(deployments, owner), as `Jobs.list` takes them, for a list of these deployments. An account's is its own."""
        if self.everything or self.deployments.issuperset(names):
            return list(names), None
        if not self.account:
            return [name for name in names if name in self.deployments], None
        return [name for name in names if name in self.deployments | self.shared], self.account


class JobAccess:
    """Answers 401 to strangers, the same for what is there and what is not."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._access = Access(gateway)

    async def enter(self, request: web.Request) -> Sight:
        """Raises Unauthorized where everybody needs a token, and this one is nobody's."""
        gateway, token = self._gateway, bearer(request)
        if gateway.is_owner(request):
            return Sight(everything=True, known=True)
        open = frozenset(deployment.name for deployment in gateway.deployments if gateway.may_call(request, deployment))
        if (link := gateway.sharing.of(request)) is not None:
            linked = frozenset({link.deployment})
            return Sight(
                deployments=open - linked, account=owner_of_jobs(link, link.deployment), shared=linked, known=True
            )
        account = await self._account(token, needed=not open)
        if account is not None:
            rows = list(self._access.rows(account))
            own = {row.name for row in rows if self._access.owns(account, row)}
            shared = frozenset(row.name for row in rows)
            return Sight(deployments=open | own, account=account.user, shared=shared, known=True)
        if not open and gateway.has_secrets:
            raise Unauthorized(TOKEN_NEEDED)
        return Sight(deployments=open, known=gateway.knows_token(token) or not gateway.has_secrets)

    async def find(self, request: web.Request, job_id: str, *, position: bool = False, buyers: bool = False) -> Job:
        """buyers: also for who has paid for it, and shows the payment again.

        Raises NotFound to who may know that there is none, else Unauthorized; PaymentRequired where that failed.
        """
        payments, token = self._gateway.payments, request.headers.get(x402.TOKEN)
        if buyers and payments is not None and token is not None and JOB_ID.fullmatch(job_id):
            with contextlib.suppress(NotFound):
                job = await payments.bought(job_id, token)
                request[paying.HEADERS] = await payments.receipt(job)
                return job
        sight = await self.enter(request)
        try:
            if JOB_ID.fullmatch(job_id):
                job = await self._gateway.jobs.get(job_id, position=position)
                if sight.sees(job.deployment, job.owner):
                    return job
        except NotFound:
            pass
        if not sight.known:
            raise Unauthorized(TOKEN_NEEDED)
        raise NotFound(f"there is no job {job_id[:64]}; jobs that have ended are removed after some time")

    async def _account(self, token: str, *, needed: bool) -> Caller | None:
        """Raises Unauthorized and the like only where nothing else lets the caller in."""
        if not token or not self._access.accounts.enabled or not is_jwt(token):
            return None
        try:
            return Caller(user=await self._access.accounts.check(token))
        except ModelportError:
            if needed:
                raise
            return None
