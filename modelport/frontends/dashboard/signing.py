"""Signing in: by the link that `modelport serve` prints, or by the owner's password. And out."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from modelport.describe.documents import STATUS
from modelport.errors import ModelportError, Unauthorized
from modelport.frontends.dashboard.rendering import HEADERS, Section
from modelport.http.body import FORM, read_form
from modelport.http.browsers import cookie_name, session_of
from modelport.http.gateway import Gateway, guarded
from modelport.http.json_answers import error_answer
from modelport.identity.owner import USER


class Signing(Section):
    """`/ui/login`, `/ui/logout`, and `/ui/code` for a new link."""

    def add_routes(self, app: web.Application) -> None:
        base = self._pages.base
        app.router.add_get(f"{base}/login", self.show)
        app.router.add_post(f"{base}/login", self.sign_in)
        app.router.add_post(f"{base}/logout", self.sign_out)
        app.router.add_post(f"{base}/code", guarded(self.code, error_answer, check=self._gateway.check_owner))

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The form. A code in the address is used up only when the form is sent, not by whoever looks at the link."""
        if self._gateway.signed_in(request):
            return to(self._next(request, request.query.get("next", "")))
        return self._form(request, code=request.query.get("code", ""), next=request.query.get("next", ""))

    def _form(
        self, request: web.Request, *, code: str = "", next: str = "", problem: str = "", status: int = 200
    ) -> web.Response:
        return self._pages.page(
            request,
            "login.html",
            status=status,
            code=code[:200],
            next=self._next(request, next),
            problem=problem,
            user=USER,
        )

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != FORM:
            return self._form(request, problem="This form did not come from the sign-in page.", status=400)
        try:
            sent = await read_form(request, self._gateway.settings, "sign_in_limit_bytes")
        except ModelportError as error:
            return self._form(request, problem=error.message, status=STATUS[error.kind])
        form = {name: values[-1] for name, values in sent.items()}
        next = form.get("next", "")
        try:
            self._check(form)
            session = await self._gateway.sessions.open()
        except Unauthorized as error:
            refusal = self._form(request, next=next, problem=error.message, status=401)
            return await self._gateway.gate.refuse(request, refusal)
        except ModelportError as error:
            return self._form(request, next=next, problem=error.message, status=503)
        response = to(self._next(request, next))
        self._set_cookie(request, response, session, self._gateway.settings.session_s)
        return response

    def _check(self, form: dict[str, str]) -> None:
        """Raises Unauthorized."""
        if form.get("code"):
            if self._gateway.sessions.take_code(form["code"]):
                return
            raise Unauthorized(
                "This link has been used, or is too old. `modelport dashboard` prints a new one; or use the password."
            )
        if not self._gateway.owner.has_password(form.get("user", ""), form.get("password", "")):
            raise Unauthorized("The user name or the password is wrong.")

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        response = to(self._pages.url(request, "login"))
        if self._gateway.signed_in(request):
            await self._gateway.sessions.close(session_of(request, self._gateway.proxies.view(request).host))
            self._set_cookie(request, response, "", 0)
        return response

    async def code(self, request: web.Request) -> web.StreamResponse:
        """For the command line: a link that opens one session."""
        url = f"{self._gateway.base_url(request)}/ui/login?code={self._gateway.sessions.new_code()}"
        return web.json_response({"url": url}, headers=HEADERS)

    def _set_cookie(self, request: web.Request, response: web.Response, value: str, max_age_s: float) -> None:
        name = cookie_name(self._gateway.proxies.view(request).host)
        set_cookie(self._gateway, request, response, name, value, max_age_s)

    def _next(self, request: web.Request, address: str) -> str:
        """Where to go on; only to a page of the dashboard. address: a path, or what comes after the first page's."""
        first = self._pages.url(request)
        address = address if address.startswith("/") or urlsplit(address).scheme else first + address
        parts = urlsplit(address)
        own = not parts.scheme and not parts.netloc and address.startswith(first) and address.isprintable()
        return address if own and "\\" not in address and not parts.path.endswith("/login") else first


def set_cookie(
    gateway: Gateway, request: web.Request, response: web.Response, name: str, value: str, max_age_s: float
) -> None:
    """One that no script reads, and that comes back in requests of our own pages alone."""
    response.set_cookie(
        name,
        value,
        max_age=int(max_age_s),
        path=f"{gateway.root(request)}/",
        httponly=True,
        samesite="Strict",
        secure=gateway.proxies.view(request).scheme == "https",
    )


def to(address: str) -> web.Response:
    return web.Response(status=303, headers={**HEADERS, "Location": address})
