"""The DEEPaaS V2 front end: its routes, documents, status codes and bodies, for the clients that exist.

Where deepaas itself has a defect, this does what is right; docs/deepaas.md lists each difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any

from aiohttp import web

import modelport
from modelport.contract.card import Card
from modelport.contract.prediction import VALUES, Status
from modelport.deployments.deployments import Deployment
from modelport.describe import openapi, swagger
from modelport.errors import Disabled, ModelFailed, ModelportError, NotImplementedByModel
from modelport.http import pages, prefer, streaming
from modelport.http.frontend import GatewayFrontend, GreetingRow
from modelport.http.gate import PathRules
from modelport.http.gateway import Gateway, Handler, guarded
from modelport.http.names import harmless
from modelport.http.pages import greeting, wants_page
from modelport.intake.accept import stream_type
from modelport.jobs.trainings import Training

# The envelope of an answer without a schema.
BEFORE, AFTER = b'{"status": "OK", "predictions": ', b"}"
JSON = "application/json; charset=utf-8"
SOURCE = "deepaas"
# The name of the dashboard's route, where there is one.
DASHBOARD = "dashboard"

# As deepaas has it.
STATUSES = {"disabled": 402}
# What deepaas calls the states of a training; one that waits for its turn is "running" too.
TRAINING_STATUS = {
    Status.QUEUED: "running",
    Status.RUNNING: "running",
    Status.SUCCEEDED: "done",
    Status.FAILED: "error",
    Status.CANCELLED: "cancelled",
}


class DeepaasFrontend(GatewayFrontend):
    """`/`, `/v2/…`, `/swagger.json`, `/api`, and the same for today's clients: `/openapi.json`, `/docs`.

    Of the gateway it needs the trainings, the jobs, and what other front ends say for /openapi.json and the root.
    """

    segments = ("", "v2", "api", "docs", "static", "swagger.json", "openapi.json")
    shares = ("ui",)

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self.settings = gateway.settings
        self.base = gateway.settings.base_path
        rules = PathRules(lambda request, error, status: self._error(error, status), options=False)
        gateway.gate.rules["v2"] = rules
        gateway.gate.rules |= dict.fromkeys(("", "api", "docs"), replace(rules, pages=True))
        gateway.gate.rules.setdefault("ui", replace(rules, pages=True))

    def greeting(self) -> Iterable[GreetingRow]:
        pages = [
            GreetingRow("/docs", "OpenAPI 3.1, with a page to try it", link=True),
            GreetingRow("/api", "Swagger 2.0, for DEEPaaS clients", link=True),
        ]
        return [
            *(pages if self.settings.doc_endpoint else []),
            GreetingRow("/openapi.json", "the arguments and answers of each model, for programs", link=True),
            GreetingRow("/v2/models/", "the DEEPaaS V2 API", link=True),
        ]

    def add_routes(self, app: web.Application) -> None:
        base, model = self.base, f"{self.base}/v2/models/{{name}}/"
        add = app.router.add_route
        # Where deepaas answers GET it answers HEAD with 405.
        own = self.gateway.get_only
        own.update((base or "/", f"{base}/ui", f"{base}/api"))
        for method, path, handler in (
            ("POST", f"{model}predict/", self.predict),  # first, since routes are tried in this order
            ("GET", model, self.model),
            ("POST", f"{model}train/", self.train),
            ("GET", f"{model}train/", self.trainings),
            ("GET", f"{model}train/{{uuid}}", self.training),
            ("DELETE", f"{model}train/{{uuid}}", self.cancel),
        ):
            add(method, path, guarded(handler, self._error, STATUSES))  # `_deployment` looks who asks
            own.add(path)
        for path, handler in (
            (f"{base}/v2/", self.version),
            (f"{base}/v2/models/", self.models),
            (f"{base}/v2/debug/", self.debug),
            (f"{base}/swagger.json", self.swagger),
            (f"{base}/openapi.json", self.openapi),
        ):
            add("GET", path, self._guarded(handler))
            own.add(path)
        own.remove(f"{base}/openapi.json")
        add("GET", base or "/", self._greeted(self._guarded(self.versions)))
        if not self.settings.doc_endpoint:
            return
        # The pages ask for no token: they hold nothing of the models, the documents that they read do.
        add("GET", f"{base}/ui", self.ui)
        add("GET", f"{base}/api", self._page("swagger.json"))
        add("GET", f"{base}/docs", self._page("openapi.json"))
        app.router.add_static(f"{base}/static/swagger/", str(files("modelport.frontends") / "static" / "swagger"))

    def _greeted(self, handler: Handler) -> Handler:
        """A browser gets the dashboard, or else a page that holds nothing of the models, and needs no token for it;
        programs get the document."""

        async def greet(request: web.Request) -> web.StreamResponse:
            if not wants_page(request):
                return await handler(request)
            if DASHBOARD in request.app.router:
                raise web.HTTPFound(f"{self.gateway.root(request)}/ui/", headers={"Vary": "Accept"})
            rows = [(self.gateway.root(request) + path, what, link) for path, what, link in self.gateway.greetings]
            note = "Where a token is needed, it goes in the header Authorization: Bearer …"
            return greeting("modelport", rows, note)

        return greet

    def _guarded(self, handler: Handler) -> Handler:
        """For who has the server's token, or a service's own, which shows that service in lists."""
        return guarded(handler, self._error, check=self.gateway.visible)

    def _error(self, error: ModelportError, status: int) -> web.Response:
        """Argument errors as marshmallow's messages by field; anything else as a line of text, as aiohttp does."""
        if error.kind in ("invalid_arguments", "invalid_json"):
            return web.Response(status=status, body=_dumps(error.fields), content_type="application/json")
        text = f"{status}: {error.message}"
        if self.settings.debug and error.detail:
            text += "\n\n" + error.detail
        return web.Response(status=status, reason=reason_phrase(error.message), text=text)

    # Documents

    def _links(self, root: str) -> list[dict[str, str]]:
        links = [{"rel": "describedby", "type": "application/json", "href": f"{root}/swagger.json"}]
        if self.settings.doc_endpoint:
            links.insert(0, {"rel": "help", "type": "text/html", "href": f"{root}/api"})
        return links

    def _version(self, root: str) -> dict[str, Any]:
        own = [{"rel": "self", "type": "application/json", "href": f"{root}/v2/"}]
        return {"version": "stable", "id": "v2", "links": own}

    async def versions(self, request: web.Request) -> web.StreamResponse:
        root = self.gateway.root(request)
        return _json({"versions": [self._version(root)], "links": self._links(root)})

    async def version(self, request: web.Request) -> web.StreamResponse:
        return _json(self._version(self.gateway.root(request)))

    async def models(self, request: web.Request) -> web.StreamResponse:
        """One whose metadata fail is listed by its name: the others are not to blame."""
        cards, root = await self._cards(request), self.gateway.root(request)
        names = [deployment.name for deployment in self.gateway.visible(request)]
        return _json({"models": [self._model(root, name, cards.get(name)) for name in names]})

    async def model(self, request: web.Request) -> web.StreamResponse:
        deployment = self._deployment(request)
        card = await deployment.wait_card()
        if card.metadata_error:
            raise ModelFailed(f"get_metadata of {deployment.name} failed: {card.metadata_error}")
        return _json(self._model(self.gateway.root(request), deployment.name, card))

    def _model(self, root: str, name: str, card: Card | None) -> dict[str, Any]:
        own = {"id": name, "name": name, "links": [{"rel": "self", "href": f"{root}/v2/models/{name}"}]}
        if card is not None and card.metadata:
            return {**own, **card.metadata}
        # What deepaas says of a plugin without any.
        return {**own, "id": "0", "description": f"Could not load description from underlying model (loaded '{name}')"}

    def _deployment(self, request: web.Request) -> Deployment:
        """The one that is named, for who may call it. Raises Unauthorized, NotFound."""
        return self.gateway.find(request, request.match_info["name"])

    async def _cards(self, request: web.Request) -> dict[str, Card]:
        """Of what the caller may know. A service is not woken for it, and one that does not load hides no other."""
        visible = self.gateway.visible(request)
        cards = {
            deployment.name: await deployment.wait_card() if deployment.row is None else deployment.card
            for deployment in visible
        }
        return {name: card for name, card in cards.items() if card is not None}

    async def swagger(self, request: web.Request) -> web.StreamResponse:
        document = swagger.swagger2(await self._cards(request), **self._served())
        # What a proxy removes from paths is no part of ours, and clients put it before them.
        if prefix := self.gateway.proxies.view(request).prefix:
            document["basePath"] = prefix
        return _json(document)

    def _served(self) -> dict[str, Any]:
        """What both documents say of the server."""
        settings = self.settings
        switches = {"predict": settings.predict_endpoint, "train": settings.train_endpoint}
        return {"base_path": self.base, "version": modelport.__version__, "token": bool(settings.token), **switches}

    async def openapi(self, request: web.Request) -> web.StreamResponse:
        """All front ends' paths, not only those of this one."""
        extra: dict[str, Any] = {}
        for describe in self.gateway.describers:
            extra.update(await describe(request))
        cards = await self._cards(request)
        sold = [name for name in cards if self.gateway.sells(self.gateway.deployments.get(name))]
        document = openapi.openapi31(cards, extra_paths=extra, sold=sold, **self._served())
        if prefix := self.gateway.proxies.view(request).prefix:
            document["servers"] = [{"url": prefix}]
        if public := self.settings.public_url.rstrip("/"):
            document["servers"] = [{"url": public.removesuffix(self.base)}]
        # A marketplace that registers the address of one model reads that model's version here, not ours.
        for card in cards.values() if len(cards) == 1 else ():
            if isinstance(said := card.metadata.get("version"), str) and said.strip():
                document["info"]["version"] = said.strip()
        return _json(document)

    # Pages

    async def ui(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"{self.gateway.root(request)}/api")

    def _page(self, document: str) -> Handler:
        async def page(request: web.Request) -> web.StreamResponse:
            root = self.gateway.root(request)
            html = pages.swagger_page("modelport", f"{root}/{document}", f"{root}/static/swagger/")
            return web.Response(text=html, content_type="text/html", headers={"Content-Security-Policy": pages.POLICY})

        return page

    # Predictions

    async def predict(self, request: web.Request) -> web.StreamResponse:
        deployment = self.gateway.find(request, request.match_info["name"], sells=True)
        preference = prefer.preference_of(request, self.gateway)
        self.gateway.check_room(deployment, later=preference is not None)
        async with self.gateway.predictions.scratch() as scratch:
            card = deployment.card or await deployment.wait_card()
            stream = stream_type(request.headers.get("Accept")) if preference is None else ""
            if stream in card.answer_types:
                stream = ""
            call = await self.gateway.read_call(request, deployment, scratch, stream=VALUES if stream else "")
            if stream:
                return await streaming.respond(self.gateway, request, deployment, call, stream)
            headers = None
            if preference is None:
                outcome = await self.gateway.predict(deployment, call)
                scratch.untouched = outcome.untouched
            else:
                begun = await prefer.predict(self.gateway, request, deployment, call, preference, source=SOURCE)
                if isinstance(begun, web.Response):
                    return begun
                outcome, headers = begun.answer(), begun.headers
            if not outcome.is_json or call.accept not in (None, "application/json"):
                headers = {**harmless(outcome.media_type), **(headers or {})}
                return await self.gateway.respond(request, outcome, headers=headers)
            before, after = (BEFORE, AFTER) if card.answer_schema is None else (b"", b"")
            return await self.gateway.respond(
                request, outcome, before=before, after=after, media_type=JSON, headers=headers
            )

    # Trainings

    async def train(self, request: web.Request) -> web.StreamResponse:
        deployment = self._trainable(request)
        card = await deployment.wait_card()
        if "train" not in card.capabilities:
            raise NotImplementedByModel(f"Not implemented by underlying model (loaded '{deployment.name}')")
        scratch = self.gateway.predictions.scratch()
        try:
            call = await self.gateway.read_call(request, deployment, scratch, method="train")
        except BaseException:
            await scratch.remove()
            raise
        return _json(_training_json(await self.gateway.trainings.start(deployment, call, scratch)))

    async def trainings(self, request: web.Request) -> web.StreamResponse:
        deployment = self._trainable(request)
        rows = [_training_json(training) for training in await self.gateway.trainings.list(deployment.name)]
        return _json(b"[" + b", ".join(rows) + b"]")

    async def training(self, request: web.Request) -> web.StreamResponse:
        deployment = self._trainable(request)
        return _json(_training_json(await self.gateway.trainings.get(deployment.name, request.match_info["uuid"])))

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        deployment = self._trainable(request)
        return _json(_training_json(await self.gateway.trainings.cancel(deployment.name, request.match_info["uuid"])))

    def _trainable(self, request: web.Request) -> Deployment:
        deployment = self._deployment(request)
        if not self.settings.train_endpoint:
            raise Disabled("the train endpoint is switched off here")
        return deployment

    # Debug

    async def debug(self, request: web.Request) -> web.StreamResponse:
        """What the models have printed, each from its end; empty (204) unless the operator has switched it on."""
        if not self.settings.debug_endpoint:
            return web.Response(status=204)
        marker = f"--- DEBUG MARKER {datetime.now()} ---\n"
        printed = "".join(deployment.printed.text() for deployment in self.gateway.visible(request))
        return web.Response(text=printed + marker)


def reason_phrase(text: str) -> str:
    """`text` as a status line may carry it: one line, Latin-1 without control characters, not endless."""
    line = " ".join(text.encode("latin-1", "replace").decode("latin-1").split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)[:300]


def _dumps(document: Any) -> bytes:
    """As deepaas writes JSON, blanks and all: people's scripts look for `"status": "done"`."""
    return json.dumps(document).encode()


def _json(document: Any) -> web.Response:
    """A document, or bytes that are one."""
    body = document if isinstance(document, bytes) else _dumps(document)
    return web.Response(body=body, headers={"Content-Type": JSON})


def _training_json(training: Training) -> bytes:
    """A training as deepaas tells it; what the plugin returned is passed through unread."""
    job = training.job
    row = {
        "date": _dumps(_local(job.created)),
        "args": _dumps(job.arguments),
        "uuid": _dumps(job.id),
        "status": _dumps(TRAINING_STATUS[job.status]),
    }
    if job.status is Status.SUCCEEDED:
        assert job.finished is not None
        result = {
            "output": training.result or b"null",
            "finish_date": _dumps(_local(job.finished)),
            "duration": _dumps(str(timedelta(seconds=max(0.0, job.finished - job.created)))),
        }
        row["result"] = _object(result)
    elif job.status is Status.FAILED and job.error is not None:
        row["message"] = _dumps(job.error.own_text)
        if job.error.raised:
            row["error"] = _dumps(job.error.raised)
    elif job.status is Status.RUNNING and (job.fraction is not None or job.message):
        known = {} if job.fraction is None else {"fraction": job.fraction}
        row["progress"] = _dumps({**known, "message": job.message})
    return _object(row)


def _local(seconds: float) -> str:
    """Local time without a zone, as deepaas gives it."""
    return str(datetime.fromtimestamp(seconds))


def _object(members: dict[str, bytes]) -> bytes:
    """A JSON object of members that are JSON already."""
    return b"{" + b", ".join([_dumps(name) + b": " + value for name, value in members.items()]) + b"}"
