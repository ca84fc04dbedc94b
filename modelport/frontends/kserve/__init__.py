"""The Open Inference Protocol V2 (KServe V2), for clients of Triton, KServe and MLServer: docs/kserve.md.

Its paths are below `/kserve/v2`, and again below `/v2`, beside DEEPaaS's. Of the paths that DEEPaaS redirects to its
own, clients that say in their User-Agent that they speak this protocol get this protocol's answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import urlsplit

from aiohttp import web

import modelport
from modelport.extending import (
    Access,
    Call,
    Deployment,
    ExampleCall,
    Frontend,
    GreetingRow,
    ModelportError,
    NotFound,
    Outcome,
    Route,
    Snippet,
    json_answer,
)
from modelport.frontends.kserve import documents
from modelport.frontends.kserve.answers import Answers, outputs
from modelport.frontends.kserve.arguments import TensorSpec, input_specs, inputs
from modelport.frontends.kserve.documents import BINARY_DATA, NAME, VERSION
from modelport.frontends.kserve.reading import HEAD_LENGTH, receive
from modelport.frontends.kserve.tensors import shown

PREFIXES = ("/kserve/v2", "/v2")
ONE_VERSION = "/versions/{version}"
JSON = "application/json"
BINARY = {"application/octet-stream": {"type": "string", "format": "binary"}}
MODEL, READY = {200: documents.ModelMetadata}, {200: documents.ModelReady}
# A call by tritonclient, to be pasted.
TRITON = """\
import numpy as np
import tritonclient.http as triton
from tritonclient.utils import triton_to_np_dtype

client = triton.InferenceServerClient({server})
inputs = []
for name, datatype, values in [
{rows}]:
    array = np.array(values, dtype=triton_to_np_dtype(datatype))
    inputs.append(triton.InferInput(name, array.shape, datatype))
    inputs[-1].set_data_from_numpy(array)
result = client.infer({name}, inputs{headers})
for output in result.get_response()["outputs"]:
    print(output["name"], result.as_numpy(output["name"]))
"""


class KserveFrontend(Frontend):
    """`/kserve/v2/…` and `/v2/…`: metadata, health and inference."""

    segments = ("kserve",)
    shares = ("v2",)
    # The protocol has no 422; its clients tell a wrong request from a failure by 400.
    statuses: ClassVar[Mapping[str, int]] = {"invalid_arguments": 400}
    exposed = (HEAD_LENGTH,)

    tag, failure = "kserve", documents.Failure

    def routes(self) -> Iterable[Route]:
        for prefix in PREFIXES:
            for route in self._routes(prefix):
                if route.method == "GET" and route.path in ("/v2", "/v2/models/{name}"):
                    route = replace(route, handler=self._beside(route.handler), access=Access.ANYONE)
                yield route

    def _routes(self, prefix: str) -> Iterable[Route]:
        """In pairs where a model is named: without a version, and with one."""
        open_, caller, index = Access.ANYONE, Access.CALLER, {200: list[documents.IndexedModel]}
        live, ready = {200: documents.Live}, {200: documents.Ready}
        about = {200: documents.ServerMetadata}
        yield Route("GET", prefix, self.server, open_, "The server, and what it can do", about)
        yield Route("GET", f"{prefix}/health/live", self.live, open_, "The server answers", live)
        yield Route("GET", f"{prefix}/health/ready", self.ready, open_, "The server can predict", ready)
        yield Route("POST", f"{prefix}/repository/index", self.index, caller, "All models", index, (401,))
        for version, of in (("", ""), (ONE_VERSION, ", in one version")):
            path, can = f"{prefix}/models/{{name}}{version}", f"Whether the model can predict{of}"
            yield Route("GET", path, self.model, caller, f"The model's inputs and outputs{of}", MODEL, (401, 404, 500))
            yield Route("GET", f"{path}/ready", self.model_ready, caller, can, READY, (401, 404))
            yield Route(
                "POST",
                f"{path}/infer",
                self.infer,
                summary=f"Make a prediction{of}",
                answers={200: {JSON: documents.InferenceResponse, **BINARY}},
                errors=(400, 401, 404, 413, 500, 503, 504),
                body={JSON: documents.InferenceRequest, **BINARY},
            )

    def _beside(self, handler: Any) -> Any:
        """`handler` for the clients of this protocol; to others, there is no such path without a final slash.

        It is for anybody: to strangers the redirect says nothing, and the handler checks its caller itself.
        """
        names = [name.strip() for name in self.context.settings.kserve_clients.split(",")]
        ours = tuple("" if name == "*" else name for name in names if name)

        async def answer(request: web.Request) -> web.StreamResponse:
            if not request.headers.get("User-Agent", "").startswith(ours):
                raise web.HTTPNotFound
            response: web.StreamResponse = await handler(request)
            return response

        return answer

    def error(self, error: ModelportError, status: int) -> web.Response:
        return json_answer(documents.Failure(error.message), status)

    # The server

    async def server(self, request: web.Request) -> web.Response:
        return json_answer(documents.ServerMetadata(NAME, modelport.__version__, [BINARY_DATA]))

    async def live(self, request: web.Request) -> web.Response:
        return json_answer(documents.Live(True))

    async def ready(self, request: web.Request) -> web.Response:
        ready = self.context.models_ready()
        return json_answer(documents.Ready(ready), 200 if ready else 503)

    async def index(self, request: web.Request) -> web.Response:
        await self.context.reader(request, "document_limit_bytes").read()  # a filter, which clients send empty
        return json_answer([_indexed(deployment) for deployment in self.context.visible(request)])

    # A model

    async def model(self, request: web.Request) -> web.Response:
        deployment = self._deployment(request)
        card = await deployment.wait_card()
        return json_answer(
            documents.ModelMetadata(deployment.name, [VERSION], "modelport_python", inputs(card), outputs(card))
        )

    async def model_ready(self, request: web.Request) -> web.Response:
        deployment = self._deployment(request)
        ready = deployment.is_ready
        return json_answer(documents.ModelReady(deployment.name, ready), 200 if ready else 503)

    async def infer(self, request: web.Request) -> web.StreamResponse:
        called = self._deployment(request)
        deployment = self.context.version(request, called)
        self.context.check_room(deployment)
        async with AsyncExitStack() as stack:
            card = await deployment.wait_card()
            sent, items = await receive(self.context, request, card, stack)
            answers = Answers(self.context, request, called.name, sent, card)
            calls = [self.context.make_call(card, item.values, item.scratch, files=item.files) for item in items]
            return await answers.respond(await self._predict(deployment, calls))

    async def _predict(self, deployment: Deployment, calls: list[Call]) -> list[Outcome]:
        """All at once, as far as there are workers. The first that fails ends the others."""
        if len(calls) == 1:
            return [await self.context.predict(deployment, calls[0])]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._item(deployment, call, n)) for n, call in enumerate(calls)]
        except* ModelportError as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _item(self, deployment: Deployment, call: Call, number: int) -> Outcome:
        """number: from 0, as a client counts its rows."""
        try:
            return await self.context.predict(deployment, call)
        except ModelportError as error:
            error.message = f"item {number}: {error.message}"
            raise

    def _deployment(self, request: web.Request) -> Deployment:
        """Raises Unauthorized, NotFound."""
        deployment = self.context.find(request, request.match_info["name"])
        version = request.match_info.get("version", VERSION)
        if version != VERSION:
            raise NotFound(f"the model {deployment.name} has no version {shown(version)}; its version is {VERSION}")
        return deployment

    # Documents

    def greeting(self) -> Iterable[GreetingRow]:
        return [GreetingRow("/kserve/v2", "the Open Inference Protocol, for clients of KServe and Triton", link=True)]

    def snippets(self, call: ExampleCall) -> Iterable[Snippet]:
        return [Snippet("Python: tritonclient", _triton(call))]


def _indexed(deployment: Deployment) -> documents.IndexedModel:
    reason = "" if deployment.failure is None else deployment.failure.message
    return documents.IndexedModel(deployment.name, VERSION, "READY" if deployment.is_ready else "UNAVAILABLE", reason)


def _triton(call: ExampleCall) -> str:
    spec = urlsplit(call.url)
    server = json.dumps(f"{spec.netloc}{spec.path}/kserve") + (", ssl=True" if spec.scheme == "https" else "")
    headers = {"Authorization": f"Bearer {call.token}"}
    return TRITON.format(
        server=server,
        rows="".join(_rows(call)),
        name=json.dumps(call.name),
        headers=f", headers={json.dumps(headers)}" if call.token else "",
    )


def _rows(call: ExampleCall) -> Iterator[str]:
    known = call.card.derive(input_specs)
    for name, value in call.values.items():
        yield f"    ({json.dumps(name)}, {json.dumps(known[name].datatype)}, {_values(known[name], value)!r}),\n"
    for name, path in call.files.items():
        yield f'    ({json.dumps(name)}, "BYTES", [open({json.dumps(path)}, "rb").read()]),\n'


def _values(spec: TensorSpec, value: Any) -> Any:
    if spec.is_json and not (spec.leaf == "any" and isinstance(value, str)):
        return [json.dumps(element) for element in value] if spec.depth else [json.dumps(value)]
    return value if spec.depth else [value]
