"""The DEEPaaS V2 door: its routes, documents, status codes and bodies, for the clients that exist.

Where deepaas itself has a defect, this does what is right; docs/deepaas.md lists each difference.
"""

from __future__ import annotations

import json
from datetime import datetime
from importlib.resources import files
from typing import Any

from aiohttp import web

import modelport
from modelport import openapi, swagger
from modelport.card import Card
from modelport.deployments import Deployment
from modelport.errors import Disabled, ModelFailed, ModelportError, NotImplementedByModel
from modelport.frontends import pages
from modelport.frontends.http import Hall, Handler, guarded, reason_phrase
from modelport.prediction import Status
from modelport.trainings import Training

# The envelope of an answer without a schema.
BEFORE, AFTER = b'{"status": "OK", "predictions": ', b"}"
JSON = "application/json; charset=utf-8"

# What deepaas calls the states of a training; one that waits for its turn is "running" too.
TRAINING_STATUS = {
    Status.QUEUED: "running",
    Status.RUNNING: "running",
    Status.SUCCEEDED: "done",
    Status.FAILED: "error",
    Status.CANCELLED: "cancelled",
}


class DeepaasFrontend:
    """`/`, `/v2/…`, `/swagger.json`, `/api`, and the same for today's clients: `/openapi.json`, `/docs`."""

    def __init__(self, hall: Hall) -> None:
        self.hall = hall
        self.settings = hall.settings
        self.base = hall.settings.base_path

    def add_routes(self, app: web.Application) -> None:
        base, model = self.base, f"{self.base}/v2/models/{{name}}/"
        add = app.router.add_route
        for method, path, handler in (
            ("POST", f"{model}predict/", self.predict),  # first, since routes are tried in this order
            ("GET", base or "/", self.versions),
            ("GET", f"{base}/v2/", self.version),
            ("GET", f"{base}/v2/models/", self.models),
            ("GET", model, self.model),
            ("POST", f"{model}train/", self.train),
            ("GET", f"{model}train/", self.trainings),
            ("GET", f"{model}train/{{uuid}}", self.training),
            ("DELETE", f"{model}train/{{uuid}}", self.cancel),
            ("GET", f"{base}/v2/debug/", self.debug),
            ("GET", f"{base}/swagger.json", self.swagger),
            ("GET", f"{base}/openapi.json", self.openapi),
        ):
            add(method, path, self._guarded(handler))
        self._add_pages(app)

    def _add_pages(self, app: web.Application) -> None:
        """The pages ask for no token: they hold nothing of the models, the documents that they read do."""
        if not self.settings.doc_endpoint:
            return
        base = self.base
        for path, handler in (("ui", self.ui), ("api", self.api_page), ("docs", self.docs_page)):
            app.router.add_route("GET", f"{base}/{path}", handler)
        assets = str(files("modelport.frontends") / "static" / "swagger")
        app.router.add_static(f"{base}/static/swagger/", assets)

    def _guarded(self, handler: Handler) -> Handler:
        return guarded(handler, self._error, check=self.hall.check_token)

    def _error(self, error: ModelportError, status: int) -> web.Response:
        """Argument errors as marshmallow's messages by field; anything else as a line of text, as aiohttp does."""
        if error.kind in ("invalid_arguments", "invalid_json"):
            return web.Response(status=status, body=_dumps(error.fields), content_type="application/json")
        text = f"{status}: {error.message}"
        if self.settings.debug and error.detail:
            text += "\n\n" + error.detail
        return web.Response(status=status, reason=reason_phrase(error.message), text=text)

    # Documents

    def _links(self) -> list[dict[str, str]]:
        links = [{"rel": "describedby", "type": "application/json", "href": f"{self.base}/swagger.json"}]
        if self.settings.doc_endpoint:
            links.insert(0, {"rel": "help", "type": "text/html", "href": f"{self.base}/api"})
        return links

    def _version(self) -> dict[str, Any]:
        own = [{"rel": "self", "type": "application/json", "href": f"{self.base}/v2/"}]
        return {"version": "stable", "id": "v2", "links": own}

    async def versions(self, request: web.Request) -> web.StreamResponse:
        return _json({"versions": [self._version()], "links": self._links()})

    async def version(self, request: web.Request) -> web.StreamResponse:
        return _json(self._version())

    async def models(self, request: web.Request) -> web.StreamResponse:
        """One whose metadata fail is listed by its name: the others are not to blame."""
        return _json({"models": [self._model(each.name, await each.wait_card()) for each in self.hall.deployments]})

    async def model(self, request: web.Request) -> web.StreamResponse:
        deployment = self._deployment(request)
        card = await deployment.wait_card()
        if card.metadata_error:
            raise ModelFailed(f"get_metadata of {deployment.name} failed: {card.metadata_error}")
        return _json(self._model(deployment.name, card))

    def _model(self, name: str, card: Card) -> dict[str, Any]:
        own = {"id": name, "name": name, "links": [{"rel": "self", "href": f"{self.base}/v2/models/{name}"}]}
        return {**own, **(card.metadata or _no_metadata(name))}

    def _deployment(self, request: web.Request) -> Deployment:
        return self.hall.deployments.get(request.match_info["name"])

    async def _cards(self) -> dict[str, Card]:
        return {each.name: await each.wait_card() for each in self.hall.deployments}

    async def swagger(self, request: web.Request) -> web.StreamResponse:
        document = swagger.swagger2(
            await self._cards(),
            base_path=self.base,
            version=modelport.__version__,
            predict=self.settings.predict_endpoint,
            train=self.settings.train_endpoint,
            token=bool(self.settings.token),
        )
        return _json(document)

    async def openapi(self, request: web.Request) -> web.StreamResponse:
        document = openapi.openapi31(
            await self._cards(),
            base_path=self.base,
            version=modelport.__version__,
            predict=self.settings.predict_endpoint,
            train=self.settings.train_endpoint,
            token=bool(self.settings.token),
        )
        return _json(document)

    # Pages

    async def ui(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"{self.base}/api")

    async def api_page(self, request: web.Request) -> web.StreamResponse:
        return self._page("swagger.json")

    async def docs_page(self, request: web.Request) -> web.StreamResponse:
        return self._page("openapi.json")

    def _page(self, document: str) -> web.Response:
        html = pages.swagger_page("modelport", f"{self.base}/{document}", f"{self.base}/static/swagger/")
        return web.Response(text=html, content_type="text/html", headers={"Content-Security-Policy": pages.POLICY})

    # Predictions

    async def predict(self, request: web.Request) -> web.StreamResponse:
        if not self.settings.predict_endpoint:
            raise Disabled("the predict endpoint is switched off here")
        deployment = self._deployment(request)
        self.hall.predictions.check_room(deployment)
        async with self.hall.predictions.scratch() as scratch:
            call = await self.hall.read_call(request, deployment, scratch)
            outcome = await self.hall.predict(deployment, call)
            card = await deployment.wait_card()
            if not outcome.is_json or call.accept not in (None, "application/json"):
                return await self.hall.respond(request, outcome)
            if card.answer_schema is not None:
                return await self.hall.respond(request, outcome, media_type=JSON)
            return await self.hall.respond(request, outcome, before=BEFORE, after=AFTER, media_type=JSON)

    # Trainings

    async def train(self, request: web.Request) -> web.StreamResponse:
        deployment = self._trainable(request)
        card = await deployment.wait_card()
        if "train" not in card.capabilities:
            raise NotImplementedByModel(f"Not implemented by underlying model (loaded '{deployment.name}')")
        scratch = self.hall.predictions.scratch()
        try:
            call = await self.hall.read_call(request, deployment, scratch, method="train")
        except BaseException:
            await scratch.remove()
            raise
        training = await self.hall.trainings.start(deployment, call, scratch)
        return web.Response(body=_training_json(training), headers={"Content-Type": JSON})

    async def trainings(self, request: web.Request) -> web.StreamResponse:
        deployment = self._trainable(request)
        rows = [_training_json(each) for each in self.hall.trainings.list(deployment.name)]
        return web.Response(body=b"[" + b", ".join(rows) + b"]", headers={"Content-Type": JSON})

    async def training(self, request: web.Request) -> web.StreamResponse:
        deployment = self._trainable(request)
        training = self.hall.trainings.get(deployment.name, request.match_info["uuid"])
        return web.Response(body=_training_json(training), headers={"Content-Type": JSON})

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        deployment = self._trainable(request)
        training = await self.hall.trainings.cancel(deployment.name, request.match_info["uuid"])
        return web.Response(body=_training_json(training), headers={"Content-Type": JSON})

    def _trainable(self, request: web.Request) -> Deployment:
        if not self.settings.train_endpoint:
            raise Disabled("the train endpoint is switched off here")
        return self._deployment(request)

    # Debug

    async def debug(self, request: web.Request) -> web.StreamResponse:
        """What the models have printed, each from its end; empty (204) unless the operator has switched it on."""
        if not self.settings.debug_endpoint:
            return web.Response(status=204)
        marker = f"--- DEBUG MARKER {datetime.now()} ---\n"
        printed = "".join(each.printed.text() for each in self.hall.deployments)
        return web.Response(text=printed + marker)


def _no_metadata(name: str) -> dict[str, Any]:
    """What deepaas says of a plugin without any."""
    text = f"Could not load description from underlying model (loaded '{name}')"
    return {"id": "0", "name": name, "description": text}


def _dumps(document: Any) -> bytes:
    """As deepaas writes JSON, blanks and all: people's scripts look for `"status": "done"`."""
    return json.dumps(document).encode()


def _json(document: Any) -> web.Response:
    return web.Response(body=_dumps(document), headers={"Content-Type": JSON})


def _training_json(training: Training) -> bytes:
    """A training as deepaas tells it; what the plugin returned is passed through unread."""
    row = {
        "date": _dumps(str(training.started)),
        "args": training.arguments,
        "uuid": _dumps(training.uuid),
        "status": _dumps(TRAINING_STATUS[training.status]),
    }
    if training.status is Status.SUCCEEDED:
        assert training.finished is not None
        result = {
            "output": training.result or b"null",
            "finish_date": _dumps(str(training.finished)),
            "duration": _dumps(str(training.finished - training.started)),
        }
        row["result"] = _object(result)
    elif training.status is Status.FAILED and training.error is not None:
        row["message"] = _dumps(training.error.message)
    elif training.status is Status.RUNNING and training.fraction is not None:
        row["progress"] = _dumps({"fraction": training.fraction, "message": training.message})
    return _object(row)


def _object(members: dict[str, bytes]) -> bytes:
    """A JSON object of members that are JSON already."""
    return b"{" + b", ".join([_dumps(name) + b": " + value for name, value in members.items()]) + b"}"
