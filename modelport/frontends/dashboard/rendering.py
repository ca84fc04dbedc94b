"""Pages as HTML: templates, the headers that keep them safe, and what is shown instead of a page."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import mimetypes
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import web
from markupsafe import Markup

import modelport
from modelport.describe.statuses import STATUS
from modelport.errors import ModelportError, NotFound
from modelport.frontends.dashboard.filters import FILTERS
from modelport.http.browsers import follows_link
from modelport.http.bucket_files import BucketFiles
from modelport.http.deployment_documents import DeploymentDocument, deployment_document
from modelport.http.gateway import Gateway, Handler

if TYPE_CHECKING:
    from jinja2 import Environment

logger = logging.getLogger(__name__)

HERE = Path(str(files("modelport.frontends.dashboard")))

# Scripts and styles are files of ours and nothing else; pictures, sounds and PDFs of answers are blobs.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; "
    "frame-src blob:; object-src blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Others learn nothing of our addresses. Not "no-referrer": forms would come with `Origin: null`, and ours could not
    # be told from others'.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# Swagger UI sets styles on elements and brings style sheets of its own making. Scripts stay files of ours.
STYLED = {"Content-Security-Policy": POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")}
FOREVER = "public, max-age=31536000, immutable"
# By the switch at the side; the page comes in its colours at once, without a script.
THEME_COOKIE, THEMES = "modelport-theme", ("light", "dark")
# What a page shows besides may take so long to find out; what takes longer is there when the page asks again.
PATIENCE_S = 0.02
# Of parts of pages so many are kept, about 1 kB each.
PIECES_LIMIT = 2000

TITLES = {
    400: "That did not work",
    401: "Please sign in",
    403: "Not here",
    404: "Page not found",
    409: "That is not possible now",
    500: "Something went wrong",
    503: "Not now",
}


class Pages:
    """Makes pages; whoever has not signed in gets the way there instead."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.files = BucketFiles(gateway)
        self.base = f"{gateway.settings.base_path}/ui"  # of routes; links begin with `url`
        self._static = _load(HERE / "static")
        version = hashlib.sha256(b"".join(name.encode() + body for name, body in sorted(self._static.items())))
        self.version = version.hexdigest()[:16]
        self._pieces: OrderedDict[Hashable, Markup] = OrderedDict()

    @cached_property
    def _environment(self) -> Environment:
        """Made for the first page: loading Jinja2 would take a good part of the server's start."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.filters.update(FILTERS)
        environment.globals.update(
            version=modelport.__version__,
            documented=self.gateway.settings.doc_endpoint,
        )
        return environment

    # Pages

    def page(
        self,
        request: web.BaseRequest,
        template: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: Any,
    ) -> web.Response:
        host = self.gateway.proxies.view(request).host
        text = self._rendered(request, template, host=host, **values)
        return web.Response(text=text, status=status, content_type="text/html", headers={**HEADERS, **(headers or {})})

    def _rendered(self, request: web.BaseRequest, template: str, **values: Any) -> str:
        root = self.gateway.root(request)
        chosen = request.cookies.get(THEME_COOKIE, "")
        values |= {"root": root, "base": f"{root}/ui", "static": f"{root}/ui/static/{self.version}"}
        return self._environment.get_template(template).render(theme=chosen if chosen in THEMES else "", **values)

    def piece(self, request: web.BaseRequest, template: str, key: Hashable, **values: Any) -> Markup:
        """A part of a page, such as a row of a long table: made once, for what the key tells of the values.

        A row takes 0.2 ms to make, so a page of a hundred would hold up everybody else for 20 ms.
        """
        name = (template, self.gateway.root(request), key)
        if (made := self._pieces.pop(name, None)) is None:
            made = Markup(self._rendered(request, template, **values))  # noqa: S704 (escaped by it)
            if len(self._pieces) >= PIECES_LIMIT:
                self._pieces.popitem(last=False)
        self._pieces[name] = made
        return made

    def fresh(
        self,
        request: web.Request,
        template: str,
        part: str,
        seen: str,
        address: str = "",
        **values: Any,
    ) -> web.Response:
        """The page; for htmx the part of it alone, and nothing where that has not changed since `seen`.

        address: of what is shown, for the browser, where somebody has chosen it.
        """
        if "HX-Request" not in request.headers:
            return self.page(request, template, seen=seen, **values)
        if request.query.get("seen") == seen:
            return web.Response(status=204, headers=HEADERS)
        headers = {"HX-Replace-Url": address} if address and "seen" not in request.query else {}
        return self.page(request, part, headers=headers, seen=seen, **values)

    async def deployments(self, request: web.Request) -> list[DeploymentDocument]:
        """All by name, with the memory that each takes; null where it takes none, or it is not known in time."""
        deployments = sorted(self.gateway.deployments, key=lambda deployment: deployment.name)
        used = await self.gateway.gauge.of(
            {deployment.name: deployment.processes() for deployment in deployments}, PATIENCE_S
        )
        documents = [deployment_document(self.gateway, request, deployment) for deployment in deployments]
        for document in documents:
            document.used_bytes = used[document.name] or None
        return documents

    def url(self, request: web.BaseRequest, *parts: str) -> str:
        """Of a page, for the browser that asks; without parts: of the first."""
        return "/".join([f"{self.gateway.root(request)}/ui", *(quote(part, safe="") for part in parts or ("",))])

    def guarded(self, handler: Handler, *, open: bool = False) -> Handler:
        """`handler` for who has signed in; errors as pages. open: it sees itself to who may come in."""

        async def guard(request: web.Request) -> web.StreamResponse:
            try:
                if "_environment" not in vars(self):
                    await asyncio.to_thread(getattr, self, "_environment")
                return await handler(request) if open or self.gateway.owns(request) else self._sign_in(request)
            except ModelportError as error:
                return self.failed(request, error)
            except web.HTTPException as error:
                error.headers.update(HEADERS)
                raise
            except Exception:
                logger.exception("%s %s", request.method, request.path)
                return self.failed(request, ModelportError("The server failed; its log says why."))

        return guard

    def _sign_in(self, request: web.Request) -> web.StreamResponse:
        """The way to the page of signing in, and back."""
        if follows_link(request):
            # A link on another page: the browser keeps the cookie back. Asking again from here, it sends it.
            return self.page(request, "again.html", headers={"Refresh": "0"})
        way = self.url(request, "login")
        if request.method in ("GET", "HEAD") and request.path not in (f"{self.base}/", f"{self.base}/login"):
            prefix = self.gateway.proxies.view(request).prefix
            way += "?next=" + quote(prefix + request.path_qs, safe="")
        if "HX-Request" in request.headers:
            return web.Response(status=204, headers={**HEADERS, "HX-Redirect": self.url(request, "login")})
        return web.Response(status=303, headers={**HEADERS, "Location": way})

    def failed(self, request: web.BaseRequest, error: ModelportError, status: int = 0) -> web.Response:
        status = status or error.status or STATUS.get(error.kind, 500)
        title = TITLES.get(status, TITLES[500])
        message = error.message[:1].upper() + error.message[1:]
        return self.page(request, "error.html", status=status, title=title, message=message, detail=error.detail)

    async def missing(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/"):
            raise web.HTTPNotFound  # there may be one without the slash: see http/routing
        raise NotFound("there is no such page")

    async def api(self, request: web.Request) -> web.StreamResponse:
        """Swagger UI within the dashboard, where the documentation pages are served at all."""
        if not self.gateway.settings.doc_endpoint:
            return await self.missing(request)
        return self.page(request, "api.html", headers=STYLED)

    # Files

    async def static(self, request: web.Request) -> web.StreamResponse:
        """Under an address that changes with the files: a browser asks for each but once."""
        name = request.match_info["name"]
        body = self._static.get(name)
        if body is None or request.match_info["version"] != self.version:
            return web.Response(status=404, text="404: Not Found", headers=HEADERS)
        kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0] or "text/plain"
        return web.Response(
            body=body, content_type=kind, charset="utf-8", headers={**HEADERS, "Cache-Control": FOREVER}
        )


class Section:
    """Pages of one subject."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._gateway = pages.gateway


def _load(folder: Path) -> dict[str, bytes]:
    """Every file, by its path below the folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def digest(*shown: Any) -> str:
    """By which an open page says what it has seen, so that it is told of changes alone."""
    return hashlib.sha256(repr(shown).encode("utf-8", "surrogateescape")).hexdigest()[:16]
