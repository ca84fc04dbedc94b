"""What a shared link opens in a browser: the form of one deployment, and the runs that were made with the link."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from modelport.deployments.deployments import Deployment
from modelport.describe.statuses import STATUS
from modelport.errors import ModelportError, Unauthorized
from modelport.frontends.dashboard.invoking import CallForms
from modelport.frontends.dashboard.signing import sent_form, set_cookie, to
from modelport.http.job_documents import moment
from modelport.http.sharing import cookie_of
from modelport.identity.links import check_end
from modelport.store.links import LinkRow


class SharedForms(CallForms):
    """`/ui/shared/<name>` with `runs` and `examples/<file>`. The token is behind the `#` of the link's address, which
    browsers do not send: a script puts it into a form, and a cookie holds it from then on."""

    place, form, template = "shared", (), "shared.html"

    def add_routes(self, app: web.Application) -> None:
        guarded, here = self._pages.guarded, f"{self._pages.base}/shared/{{name}}"
        app.router.add_get(here, guarded(self.show, open=True))
        app.router.add_post(here, guarded(self.open, open=True))
        app.router.add_get(f"{here}/runs", guarded(self.strip, open=True))
        app.router.add_get(f"{here}/examples/{{file}}", guarded(self.example, open=True))

    async def show(self, request: web.Request) -> web.StreamResponse:
        if self._gateway.signed_in(request):
            return to(self._pages.url(request, "inference", request.match_info["name"], "invoke"))
        return self._landing(request) if self._link(request) is None else await self.invoke(request)

    async def open(self, request: web.Request) -> web.StreamResponse:
        """Raises InvalidRequest, TooLarge."""
        sent = await sent_form(self._gateway, request)
        name, token = request.match_info["name"], sent.get("token", "").strip()
        link = self._gateway.links.find(token)
        try:
            if link is None or link.deployment != name:
                raise Unauthorized("this link is not valid; it may have been revoked, so ask for a new one")
            check_end(link)
        except Unauthorized as error:
            refusal = self._landing(request, error)
            return refusal if link is not None else await self._gateway.gate.refuse(request, refusal)
        response = to(self._pages.url(request, "shared", name))
        left_s = min(link.ends - time.time(), self._gateway.settings.session_s)
        host = self._gateway.proxies.view(request).host
        set_cookie(self._gateway, request, response, cookie_of(host), token, left_s)
        return response

    def _landing(self, request: web.Request, problem: ModelportError | None = None) -> web.Response:
        """The same whether there is such a deployment or not."""
        message = "" if problem is None else f"{problem.message}."
        return self._pages.page(
            request,
            "open_link.html",
            status=200 if problem is None else STATUS[problem.kind],
            name=request.match_info["name"],
            problem=message[:1].upper() + message[1:],
        )

    def _link(self, request: web.Request) -> LinkRow | None:
        """The link to this deployment that speaks for the request. Raises LinkEnded."""
        link = self._gateway.sharing.of(request)
        return link if link is not None and link.deployment == request.match_info["name"] else None

    # What differs from the owner's form

    def _deployment(self, request: web.Request) -> Deployment:
        """Raises Unauthorized."""
        if self._link(request) is None:
            raise Unauthorized("open the whole link that you were sent")
        return super()._deployment(request)

    def _owner(self, request: web.Request) -> str | None:
        return self._gateway.sharing.owner(request, request.match_info["name"])

    def _more(self, request: web.Request, deployment: Deployment) -> dict[str, Any]:
        link = self._link(request)
        assert link is not None
        return {"token": self._gateway.sharing.token(request), "link": link, "until": moment(link.ends)}
