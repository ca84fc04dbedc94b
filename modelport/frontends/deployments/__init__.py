"""The front end of the command line and the dashboard: deploy, look, change, undeploy. For the owner only."""

from __future__ import annotations

import codecs
import copy
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from modelport.contract.card import Card
from modelport.deployments.deployments import Deployment
from modelport.deployments.quantity import memory_bytes
from modelport.deployments.tail import Piece
from modelport.errors import Disabled, InvalidArguments
from modelport.frontends.deployments.links import LinksFrontend
from modelport.http.body import read_document, read_struct
from modelport.http.deployment_documents import (
    BucketDocument,
    Changes,
    DeploymentDocument,
    NewDeployment,
    bucket_document,
    deployment_document,
)
from modelport.http.frontend import Access, Route
from modelport.http.job_documents import Moment, moment
from modelport.http.json_answers import encoded, json_answer
from modelport.http.operations import YES, asks_for, query
from modelport.store.deployments import DeploymentRow, Price, Shift

# What null stands for; for the other options it is the server's setting.
EMPTY: dict[str, Any] = {"title": "", "description": "", "environment": {}, "secrets": {}}
NAMED, PRINTED = (401, 404), {200: "text/plain"}
# Of so many processes a log may hold cut characters.
PROCESSES = 1000
SHOWN, KEYS, CARD = {200: DeploymentDocument}, {200: BucketDocument}, {200: Card}


class NewToken(Struct):
    """The old one is nobody's"""

    token: str


class LogRecord(Struct):
    """What a process printed at once, cut anywhere"""

    time: Annotated[Moment, Meta(description="When the server got it")]
    process: int
    job: Annotated[str | None, Meta(description="Whose call printed it, where that is known")]
    text: str


class DeploymentsFrontend(LinksFrontend):
    """`/deployments`, JSON in and out.

    Of the gateway it needs the services, to change them, and their tokens, links, keys, metrics and memory.
    """

    segments = ("deployments",)
    tag = "deployments"
    access = Access.OWNER

    def routes(self) -> Iterable[Route]:
        all, one = "/deployments", "/deployments/{name}"
        listed = (
            query("all", "1: also what is named on the server's command line", YES),
            query("usage", "1: with the memory that each takes, which is measured then", YES),
        )
        of_log = (
            query("follow", "1: also what they will print", YES),
            query("records", "1: as JSON Lines, with the time, process and job of each piece", YES),
        )
        made, loads, changes = {201: DeploymentDocument}, (*NAMED, 500, 503), (*NAMED, 400, 422)
        return (
            self.route(f"GET {all}", self.list, "deployments", "All", {200: list[DeploymentDocument]}, (401,), listed),
            self.route(f"POST {all}", self.deploy, "deploy", "Deploy", made, (400, 401, 409, 422), body=NewDeployment),
            self.route(f"GET {one}", self.show, "deployment", "One of them", SHOWN, NAMED),
            self.route(f"PATCH {one}", self.change, "change_deployment", "Change", SHOWN, changes, body=Changes),
            self.route(f"DELETE {one}", self.undeploy, "undeploy", "Remove it and its jobs", {204: None}, NAMED),
            self.route(f"POST {one}/token", self.rotate, "rotate_token", "Replace its token", {200: NewToken}, NAMED),
            self.route(f"POST {one}/load", self.load, "load", "Load it now, also after a failure", SHOWN, loads),
            self.route(f"POST {one}/bucket", self.rotate_keys, "rotate_keys", "Replace keys", KEYS, (*NAMED, 403)),
            self.route(f"GET {one}/log", self.log, "deployment_log", "What it printed", PRINTED, NAMED, of_log),
            self.route(
                f"GET {one}/card", self.card, "deployment_card", "Its arguments", CARD, loads, access=Access.ANYONE
            ),
            self.route(f"POST {one}/shift", self.shift, "shift", "Shift calls", SHOWN, (*changes, 409), body=Shift),
            self.route(f"DELETE {one}/shift", self.shift_back, "shift_back", "Take all back", SHOWN, (*NAMED, 409)),
            *self.link_routes(),
        )

    async def list(self, request: web.Request) -> web.StreamResponse:
        everything = asks_for(request, "all")
        shown = [deployment for deployment in self.gateway.deployments if everything or deployment.row is not None]
        shown.sort(key=lambda deployment: deployment.name)
        documents = [self._document(request, deployment) for deployment in shown]
        if asks_for(request, "usage"):
            used = await self.gateway.gauge.of({deployment.name: deployment.processes() for deployment in shown})
            for document in documents:
                document.used_bytes = used[document.name]
        return json_answer(documents)

    async def deploy(self, request: web.Request) -> web.StreamResponse:
        document = await read_document(request, self.gateway.settings)
        row = DeploymentRow(name=_text(document, "name"), module=_text(document, "module"))
        temporary = document.pop("temporary", False)
        if not isinstance(temporary, bool):
            raise InvalidArguments.of("temporary", "must be true or false")
        row = replace(row, **_changes(document))
        row = await self.gateway.services.deploy(row, temporary=temporary)
        deployed = self._document(request, self.gateway.deployments.get(row.name))
        location = f"{self.gateway.root(request)}/deployments/{row.name}"
        return json_answer(deployed, 201, {"Location": location})

    async def show(self, request: web.Request) -> web.StreamResponse:
        deployment = self._deployment(request)
        document = self._document(request, deployment)
        document.nodes = await deployment.nodes()
        return json_answer(document)

    async def change(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.gateway.services.get(name)
        document = await read_document(request, self.gateway.settings)
        if document.get("name", name) != name:
            raise InvalidArguments.of("name", "a service cannot be renamed")
        changes = _changes(document)
        if "module" in document:
            changes["module"] = _text(document, "module")
        await self.gateway.services.update(name, **changes)
        return json_answer(self._document(request, self._deployment(request)))

    async def undeploy(self, request: web.Request) -> web.StreamResponse:
        await self.gateway.services.undeploy(request.match_info["name"])
        return web.Response(status=204)

    async def shift(self, request: web.Request) -> web.StreamResponse:
        return await self._shifted(request, await read_struct(request, self.gateway.settings, Shift))

    async def shift_back(self, request: web.Request) -> web.StreamResponse:
        return await self._shifted(request, None)

    async def _shifted(self, request: web.Request, shift: Shift | None) -> web.StreamResponse:
        await self.gateway.services.update(request.match_info["name"], shift=shift)
        return json_answer(self._document(request, self._deployment(request)))

    async def load(self, request: web.Request) -> web.StreamResponse:
        """Try again what failed, without waiting for a call. Raises what it fails with."""
        deployment = self._deployment(request)
        if (failure := await deployment.try_again()) is not None:
            raise copy.copy(failure)
        return json_answer(self._document(request, deployment))

    async def rotate(self, request: web.Request) -> web.StreamResponse:
        return json_answer(NewToken(await self.gateway.services.rotate_token(request.match_info["name"])))

    async def rotate_keys(self, request: web.Request) -> web.StreamResponse:
        """New keys of its bucket; from now on the old ones are nobody's."""
        name, bucket_jobs = self._deployment(request).name, self.gateway.bucket_jobs
        if bucket_jobs is None or bucket_jobs.tree is None:
            raise Disabled(f"{name} has no bucket keys: its bucket is on another S3 service, or it has no bucket")
        await bucket_jobs.bucket_keys.rotate(name)
        return json_answer(bucket_document(self.gateway, request, name))

    async def card(self, request: web.Request) -> web.StreamResponse:
        """Who may call a service may know what it takes. Raises Unauthorized, NotFound."""
        if not self.gateway.is_owner(request):
            self.gateway.find(request, request.match_info["name"])
        return json_answer((await self._deployment(request).wait_card()).to_plain())

    async def log(self, request: web.Request) -> web.StreamResponse:
        printed, records = self._deployment(request).printed, asks_for(request, "records")
        written, headers = (Records().written, LINES) if records else (_joined, TEXT)
        if not asks_for(request, "follow"):
            body = written(printed.pieces()) if records else printed.text().encode()
            return web.Response(body=body, headers=headers)
        response = web.StreamResponse(headers=headers)
        with self.gateway.streams.place():
            await response.prepare(request)
            async for pieces in printed.follow():
                await response.write(written(pieces))
            await response.write_eof()
        return response

    def _deployment(self, request: web.Request) -> Deployment:
        return self.gateway.deployments.get(request.match_info["name"])

    def _document(self, request: web.Request, deployment: Deployment) -> DeploymentDocument:
        return deployment_document(self.gateway, request, deployment)


TEXT = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
LINES = {**TEXT, "Content-Type": "application/x-ndjson"}


class Records:
    """Pieces of a log as JSON Lines. A character that is cut waits for its rest."""

    def __init__(self) -> None:
        self._texts: dict[int, codecs.IncrementalDecoder] = {}

    def written(self, pieces: Iterable[Piece]) -> bytes:
        return b"".join(encoded(self._record(piece)) + b"\n" for piece in pieces)

    def _record(self, piece: Piece) -> LogRecord:
        if len(self._texts) > PROCESSES:
            self._texts.clear()  # most have ended long ago
        decoder = self._texts.setdefault(piece.process, codecs.getincrementaldecoder("utf-8")("replace"))
        return LogRecord(moment(piece.at) or "", piece.process, piece.job or None, decoder.decode(piece.text))


def _joined(pieces: Iterable[Piece]) -> bytes:
    return b"".join(piece.text for piece in pieces)


def _text(document: dict[str, Any], name: str) -> str:
    """Raises InvalidArguments."""
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidArguments.of(name, "must be text")
    return value or ""


def _changes(document: dict[str, Any]) -> dict[str, Any]:
    """The fields of a row that the document names. Their values are checked where they are kept.

    Raises InvalidArguments for names that mean nothing here, and memory that cannot be read.
    """
    known = Changes.__struct_fields__
    changes: dict[str, Any] = {}
    problems: dict[str, list[str]] = {}
    for name, value in document.items():
        if name in ("memory", "memory_bytes"):
            try:
                changes["memory_bytes"] = None if value is None else memory_bytes(value)
            except ValueError as error:
                problems[name] = [str(error)]
        elif name == "price":
            try:
                changes[name] = msgspec.convert(value, Price | None)
            except msgspec.ValidationError as error:
                problems[name] = [str(error)]
        elif name not in known:
            problems[name[:60]] = [f"unknown; known are {', '.join(known)}"]
        elif name not in ("name", "module"):
            changes[name] = EMPTY.get(name) if value is None else value
    if problems:
        message = "; ".join(f"{name}: {why[0]}" for name, why in problems.items())
        raise InvalidArguments(message, fields=problems)
    return changes
