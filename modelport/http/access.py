"""Who may do what at the OSCAR front end: the administrator by password, services and accounts by their tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from modelport.deployments.deployments import Deployment
from modelport.errors import Forbidden, InvalidRequest, NotFound, Unauthorized
from modelport.http import paying
from modelport.http.credentials import basic, bearer
from modelport.http.gateway import Gateway
from modelport.http.sharing import LINK
from modelport.identity.links import owner_of_jobs
from modelport.identity.oidc import is_jwt
from modelport.store.deployments import DeploymentRow

# What a request holds for whoever notes requests: who makes the call.
CALLER = web.RequestKey("caller", str)


@dataclass(frozen=True)
class Caller:
    """administrator, or the account `user`, or, with neither, whoever has a service's token.

    A shared link is an account of its own. buyer: has neither, or may not call this one with it, and pays.
    """

    administrator: bool = False
    user: str = ""
    buyer: bool = False

    @property
    def name(self) -> str:
        return "oscar" if self.administrator else self.user or ("payment" if self.buyer else "service token")


ADMINISTRATOR, SERVICE, BUYER = Caller(administrator=True), Caller(), Caller(buyer=True)


class Access:
    """Answers 401 before anything else is said."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.accounts = gateway.accounts

    # /system

    async def enter(self, request: web.Request) -> Caller:
        """Raises Unauthorized; with the status 400 for a bearer that is no JWT, where accounts are known."""
        if self._gateway.is_owner(request):
            return ADMINISTRATOR
        token = bearer(request)
        if not token or not self.accounts.enabled or basic(request)[0]:
            raise Unauthorized("")
        try:
            return Caller(user=await self.accounts.check(token))
        except InvalidRequest as error:
            raise Unauthorized(error.message, status=400) from error

    def rows(self, caller: Caller) -> Iterator[DeploymentRow]:
        """Every service that the caller may see, by name."""
        for deployment in sorted(self._gateway.deployments, key=lambda deployment: deployment.name):
            row = self._row(deployment)
            if self._sees(caller, row):
                yield row

    def row(self, caller: Caller, name: str) -> DeploymentRow:
        """Raises NotFound, Forbidden."""
        row = self._row(self._gateway.deployments.get(name))
        if not self._sees(caller, row):
            raise Forbidden(f"you may not see the service {name}")
        return row

    def known(self, name: str) -> DeploymentRow:
        """Whoever asks. Raises NotFound."""
        return self._row(self._gateway.deployments.get(name))

    def own(self, caller: Caller, name: str) -> DeploymentRow:
        """One that the caller may change. Raises NotFound, Forbidden."""
        deployment = self._gateway.deployments.get(name)
        row = self._row(deployment)
        if not self.owns(caller, row):
            raise Forbidden(f"the service {name} is not yours")
        if deployment.row is None:
            raise Forbidden(f"{name} is served from the command line of this server; it is changed there")
        return row

    def _row(self, deployment: Deployment) -> DeploymentRow:
        """One that is named on the command line has no row and no token of its own: its callers' is the server's."""
        workers = deployment.workers
        return deployment.row or replace(deployment.spec, min_workers=workers, token=self._gateway.owner.token)

    def _sees(self, caller: Caller, row: DeploymentRow) -> bool:
        definition: Any = row.definition or {}
        visibility = definition.get("visibility", "private")
        allowed = visibility == "restricted" and caller.user in definition.get("allowed_users", [])
        return self.owns(caller, row) or visibility == "public" or allowed

    @staticmethod
    def owns(caller: Caller, row: DeploymentRow) -> bool:
        """Whether the caller may know what only a service's owner does: its token, its bucket's keys, all its jobs."""
        return caller.administrator or (bool(row.owner) and row.owner == caller.user)

    def shown(self, caller: Caller, row: DeploymentRow) -> DeploymentRow:
        """What others may see of a service is not its token."""
        return row if self.owns(caller, row) else replace(row, token="")

    # /run and /job

    def check_objects(self, caller: Caller, deployment: Deployment) -> None:
        """Who may call a service by an account of his own may not say what to do with the objects in its bucket.

        Raises Forbidden.
        """
        if caller.buyer or (caller.user and not self.owns(caller, self._row(deployment))):
            raise Forbidden(f"events of the bucket of {deployment.name} are taken with the service's own token")

    async def call(self, request: web.Request, name: str) -> tuple[Deployment, Caller]:
        """The service that is called, and by whom. Raises Unauthorized, and NotFound to who may know."""
        gateway = self._gateway
        deployment = gateway.deployments.by_name.get(name)
        administrator = gateway.owns(request)
        if deployment is not None and (administrator or gateway.may_call(request, deployment)):
            caller = ADMINISTRATOR if administrator else SERVICE
            if LINK in request:
                caller = Caller(user=owner_of_jobs(request[LINK], name))
            request[CALLER] = caller.name
            if deployment.price is not None:
                request[paying.HEADERS] = paying.consumed(deployment.price)
            return deployment, caller
        payments, anonymous = gateway.payments, "Authorization" not in request.headers
        if payments is not None and deployment is not None and deployment.price is not None and anonymous:
            paying.enter(payments, request, deployment)
            return deployment, BUYER
        if administrator:
            raise NotFound(f"there is no service called {name[:100]}")
        token = bearer(request)
        if not self.accounts.enabled or not is_jwt(token):
            raise Unauthorized("")
        try:
            caller = Caller(user=await self.accounts.check(token))
        except InvalidRequest as error:
            raise Unauthorized("") from error
        if deployment is None or not self._sees(caller, self._row(deployment)):
            raise NotFound(f"there is no service called {name[:100]}")
        if deployment.price is not None and not self.owns(caller, self._row(deployment)):
            raise Unauthorized("")  # an account sees it, and buys calls of it as everybody does
        request[CALLER] = caller.name
        return deployment, caller
