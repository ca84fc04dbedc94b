"""/system/services: definitions in, deployments out, and the other way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from aiohttp import web

from modelport.bucketjobs import BucketAccess
from modelport.contract import naming
from modelport.errors import Conflict, Forbidden, InvalidArguments, InvalidJson, InvalidRequest
from modelport.frontends.oscar.definition import GUARDED_VARIABLES, NAMESPACE, Definition, echo, invalid, parse
from modelport.frontends.oscar.journal import Journal
from modelport.http.access import Access, Caller
from modelport.http.body import read_document
from modelport.http.gateway import Gateway
from modelport.http.json_answers import json_answer
from modelport.store.deployments import DeploymentRow

WARNINGS_HEADER = "X-Modelport-Warnings"
WARNINGS_CHARS = 4000  # clients and proxies cut, or refuse, headers above some 8 KiB
LOG_LINES, LOG_LINES_LIMIT = 200, 1000
# The dashboard shows no buckets where the region is empty.
REGION = "us-east-1"
# Ours → (OSCAR's, what it says). A cold service is ready: a call wakes it.
STATES = {
    "cold": ("ready", "no worker is running; the first call starts one"),
    "loading": ("pending", "the module is loading"),
    "ready": ("ready", ""),
    "busy": ("ready", ""),
    "failed": ("failed", ""),
}

# Handlers that know who asks.
Handler = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]


class Calls:
    """Handlers of /system."""

    def __init__(self, gateway: Gateway, access: Access, journal: Journal) -> None:
        self._gateway = gateway
        self._access = access
        self._journal = journal

    def _provider(self, request: web.Request, access: BucketAccess | None, *, hidden: bool = False) -> dict[str, Any]:
        """Where the objects are, and by which keys. hidden: the caller may not know these."""
        endpoint, access_key, secret_key, region = self._gateway.base_url(request), "", "", ""
        if access is not None:
            endpoint = self._gateway.store_url(request, access.endpoint)
            access_key, secret_key, region = access.access_key, access.secret_key, access.region
        return {
            "endpoint": endpoint,
            "verify": True,
            "access_key": "hidden" if hidden else access_key,
            "secret_key": "hidden" if hidden else secret_key,
            "region": region or REGION,
        }


class ServiceCalls(Calls):
    def __init__(self, gateway: Gateway, access: Access, journal: Journal) -> None:
        super().__init__(gateway, access, journal)

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return (
            ("POST", "/services", self.create),
            ("PUT", "/services", self.update),
            ("GET", "/services", self.list),
            ("GET", "/services/{name}", self.show),
            ("DELETE", "/services/{name}", self.remove),
            ("GET", "/services/{name}/deployment", self.deployment),
            ("GET", "/services/{name}/deployment/logs", self.deployment_logs),
            *(("POST", f"/services/{{name}}/{verb}", self.not_exposed) for verb in ("start", "stop", "restart")),
        )

    async def create(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        definition = parse(await _read(request, self._gateway))
        await self._create(definition, caller)
        return _empty(201, [*definition.warnings, *self._bucket_warnings(definition)])

    async def _create(self, definition: Definition, caller: Caller) -> None:
        taken = f"A service with the provided name already exists: {definition.name}"
        if definition.name in self._gateway.deployments:
            raise Conflict(taken)
        module, python = await self._module(definition, caller)
        row = DeploymentRow(
            name=definition.name,
            module=module,
            python=python,
            owner=caller.user,
            **self._fields(definition, caller, {}),
        )
        try:
            await self._gateway.services.deploy(row, limited=not caller.administrator)
        except InvalidArguments as error:
            raise invalid(error.message) from error
        except Conflict as error:
            raise Conflict(taken) from error

    async def update(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        definition = parse(await _read(request, self._gateway))
        row = self._access.own(caller, definition.name)
        module, python = row.module, row.python
        if definition.path or definition.plain["image"] != self._echo(request, caller, row)["image"]:
            module, python = await self._module(definition, caller)
        changes = {"module": module, "python": python, **self._fields(definition, caller, row.secrets)}
        try:
            await self._gateway.services.update(definition.name, **changes)
        except InvalidArguments as error:
            raise invalid(error.message) from error
        return _empty(204, [*definition.warnings, *self._bucket_warnings(definition)])

    def _bucket_warnings(self, definition: Definition) -> Iterable[str]:
        if not (definition.plain["input"] or definition.plain["output"]):
            return
        if (access := self._gateway.bucket_access(definition.name)) is None:
            yield "input, output: kept, but this server has no buckets"
        elif access.bucket != definition.name:
            yield f"input, output: the bucket of this service is called {access.bucket}"

    def _fields(self, definition: Definition, caller: Caller, secrets: Any) -> dict[str, Any]:
        """The columns that a definition sets. secrets: those that an empty value keeps."""
        least, most = definition.min_workers, definition.max_workers
        if not caller.administrator:
            limit = self._gateway.settings.max_workers
            if max(least or 0, most or 0) > limit:
                definition.warnings.append(f"synchronous: an account's service has at most {limit} workers here")
                least, most = (None if number is None else min(number, limit) for number in (least, most))
            for name in (*definition.variables, *definition.secrets):
                if GUARDED_VARIABLES.fullmatch(name):
                    raise invalid(f"the variable {name} is the server's own")
        return {
            "title": definition.variables.get("PAPI_TITLE", ""),
            "description": definition.variables.get("PAPI_DESCRIPTION", ""),
            "min_workers": least,
            "max_workers": most,
            "memory_bytes": definition.memory_bytes,
            "cpu": definition.cpu,
            "environment": definition.variables,
            "secrets": {name: value or secrets.get(name, "") for name, value in definition.secrets.items()},
            "definition": definition.plain,
        }

    async def _module(self, definition: Definition, caller: Caller) -> tuple[str, str | None]:
        """(module, interpreter): an installed plugin, or what the owner serves or deployed under that name.

        A path is only the owner's to give. Raises InvalidRequest, Forbidden.
        """
        if definition.path is not None:
            if not caller.administrator:
                raise Forbidden("only the owner of this server may deploy a module by its path")
            folder, _, last = definition.path.rpartition("/")
            if not await asyncio.to_thread(Path(folder, last.partition(":")[0]).exists):
                raise invalid(f"there is no module at {definition.path}")
            return definition.path, None
        installed = {plugin.name for plugin in await asyncio.to_thread(naming.installed)}
        own = {
            deployment.name: deployment
            for deployment in self._gateway.deployments
            if deployment.row is None or not deployment.row.owner
        }
        for name in definition.modules:
            if name in installed:
                return name, None
            if name in own:
                return own[name].spec.module, own[name].spec.python
        known = ", ".join(sorted({*installed, *(name for name in own if own[name].row is None)})) or "none"
        image = definition.plain["image"]
        raise invalid(f"the image {image!r} does not name an installed module; installed are: {known}")

    async def list(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        return json_answer([self._shown(request, caller, row) for row in self._access.rows(caller)])

    async def show(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        row = self._access.row(caller, request.match_info["name"])
        return json_answer(self._shown(request, caller, row))

    def _shown(self, request: web.Request, caller: Caller, row: DeploymentRow) -> dict[str, Any]:
        document = self._echo(request, caller, row)
        if request.query.get("include") == "deployment":
            document["deployment"] = self._state(row.name)
        return document

    async def remove(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        row = self._access.own(caller, request.match_info["name"])
        await self._gateway.services.undeploy(row.name)
        return _empty(204)

    async def deployment(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        row = self._access.row(caller, request.match_info["name"])
        return json_answer(self._state(row.name))

    async def deployment_logs(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        row = self._access.row(caller, request.match_info["name"])
        try:
            lines = min(max(1, int(request.query.get("tailLines", LOG_LINES))), LOG_LINES_LIMIT)
        except ValueError:
            raise InvalidRequest("tailLines is a number from 1 to 1000") from None
        lines_printed = self._gateway.deployments.get(row.name).printed.text().splitlines()[-lines:]
        document: dict[str, Any] = {"service_name": row.name, "available": bool(lines_printed)}
        if not lines_printed:
            document["message"] = "the service has printed nothing yet"
        document["entries"] = [{"message": message} for message in lines_printed]
        return json_answer(document)

    async def not_exposed(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        row = self._access.row(caller, request.match_info["name"])
        raise InvalidRequest(f'service "{row.name}" is not exposed')

    def _state(self, name: str) -> dict[str, Any]:
        service = self._gateway.deployments.get(name)
        state, reason = STATES.get(service.state, ("unavailable", ""))
        if state == "failed" and service.failure is not None:
            reason = service.failure.message
        return {
            "service_name": name,
            "namespace": NAMESPACE,
            "state": state,
            "reason": reason,
            "last_transition_time": service.row.updated if service.row is not None else "",
            "active_instances": service.counts().workers,
            "affected_instances": 1 if state == "failed" else 0,
            "resource_kind": "knative_service",
        }

    def _echo(self, request: web.Request, caller: Caller, row: DeploymentRow) -> dict[str, Any]:
        """With the service's own keys, which reach its bucket only, for who may see its token."""
        access, owns = self._gateway.bucket_access(row.name), self._access.owns(caller, row)
        minio = self._provider(request, access, hidden=access is None or not owns or not access.access_key)
        return echo(self._access.shown(caller, row), minio, access.bucket if access is not None else "")


async def _read(request: web.Request, gateway: Gateway) -> dict[str, Any]:
    """Raises InvalidRequest with the sentence that people are shown, TooLarge."""
    try:
        return await read_document(request, gateway.settings)
    except InvalidJson as error:
        raise invalid(error.message) from error


def _empty(status: int, warnings: Iterable[str] = ()) -> web.Response:
    """Clients would parse a body, so what was ignored is told in a header."""
    text = "; ".join(warnings)[:WARNINGS_CHARS]
    text = "".join(character if character.isprintable() and character.isascii() else "?" for character in text)
    return web.Response(status=status, headers={WARNINGS_HEADER: text} if text else {})
