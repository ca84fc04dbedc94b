"""The door of the command line and the dashboard: deploy, look, change, undeploy. For the owner only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
from aiohttp import web

from modelport.deployments.deployments import Deployment
from modelport.deployments.quantity import memory_bytes
from modelport.errors import Disabled, InvalidArguments, ModelportError
from modelport.frontends.deployments.paths import deployment_paths
from modelport.http.body import read_document
from modelport.http.gateway import Gateway, guarded
from modelport.store.deployments import DeploymentRow

# What may be said of a deployment, by its name in JSON; null takes the server's setting.
TEXTS = ("title", "description")
OPTIONS = ("python", "min_workers", "max_workers", "idle_s", "timeout_s", "cpu")
MAPPINGS = ("environment", "secrets")


class DeploymentsFrontend:
    """`/deployments`, JSON in and out."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        gateway.describers.append(self.openapi_paths)

    def add_routes(self, app: web.Application) -> None:
        all, one = (
            f"{self.gateway.settings.base_path}/deployments",
            f"{self.gateway.settings.base_path}/deployments/{{name}}",
        )
        for method, path, handler in (
            ("GET", all, self.list),
            ("POST", all, self.deploy),
            ("GET", one, self.show),
            ("PATCH", one, self.change),
            ("DELETE", one, self.undeploy),
            ("POST", f"{one}/token", self.rotate),
            ("POST", f"{one}/bucket", self.rotate_keys),
            ("GET", f"{one}/log", self.log),
        ):
            app.router.add_route(method, path, guarded(handler, _error, check=self.gateway.check_owner))
        app.router.add_get(f"{one}/card", guarded(self.card, _error, check=self._check_caller))

    def _check_caller(self, request: web.Request) -> None:
        """Who may call a service may know what it takes. Raises Unauthorized, NotFound."""
        if not self.gateway.is_owner(request):
            self.gateway.find(request, request.match_info["name"])

    async def list(self, request: web.Request) -> web.StreamResponse:
        """Services; with ?all=1 also what is named on the command line, with ?usage=1 the memory that each takes."""
        everything = request.query.get("all", "").lower() in ("1", "true", "yes")
        found = [deployment for deployment in self.gateway.deployments if everything or deployment.row is not None]
        plain = [self._plain(request, each) for each in sorted(found, key=lambda each: each.name)]
        if request.query.get("usage", "").lower() in ("1", "true", "yes"):
            used = await self.gateway.gauge.of({each.name: each.processes() for each in found})
            for each in plain:
                each["used_bytes"] = used[each["name"]]
        return _json(plain)

    async def deploy(self, request: web.Request) -> web.StreamResponse:
        document = await read_document(request, self.gateway.settings)
        row = DeploymentRow(name=_text(document, "name"), module=_text(document, "module"))
        temporary = document.pop("temporary", False)
        if not isinstance(temporary, bool):
            raise InvalidArguments("temporary: must be true or false", fields={"temporary": ["must be true or false"]})
        row = replace(row, **_changes(document, ("name", "module")))
        row = await self.gateway.services.deploy(row, temporary=temporary)
        plain = self._plain(request, self.gateway.deployments.get(row.name))
        return _json(plain, status=201, headers={"Location": f"{self.gateway.root(request)}/deployments/{row.name}"})

    async def show(self, request: web.Request) -> web.StreamResponse:
        return _json(self._plain(request, self._deployment(request)))

    async def change(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.gateway.services.get(name)
        document = await read_document(request, self.gateway.settings)
        if document.get("name", name) != name:
            raise InvalidArguments("name: a name stays", fields={"name": ["a name stays"]})
        changes = _changes(document, ("name", "module"))
        if "module" in document:
            changes["module"] = _text(document, "module")
        await self.gateway.services.update(name, **changes)
        return _json(self._plain(request, self._deployment(request)))

    async def undeploy(self, request: web.Request) -> web.StreamResponse:
        await self.gateway.services.undeploy(request.match_info["name"])
        return web.Response(status=204)

    async def rotate(self, request: web.Request) -> web.StreamResponse:
        return _json({"token": await self.gateway.services.rotate_token(request.match_info["name"])})

    async def rotate_keys(self, request: web.Request) -> web.StreamResponse:
        """New keys of its bucket; from now on the old ones are nobody's."""
        name, bucket_jobs = self._deployment(request).name, self.gateway.bucket_jobs
        if bucket_jobs is None or bucket_jobs.tree is None:
            raise Disabled(f"{name} has no keys of its own: its bucket is on another S3 service, or there is none")
        await bucket_jobs.bucket_keys.rotate(name)
        return _json(self._bucket(request, name))

    async def card(self, request: web.Request) -> web.StreamResponse:
        return _json((await self._deployment(request).wait_card()).to_plain())

    async def log(self, request: web.Request) -> web.StreamResponse:
        """What the module's processes have printed, from its end; with ?follow=1 also what they will."""
        deployment = self._deployment(request)
        if request.query.get("follow", "").lower() not in ("1", "true", "yes"):
            return web.Response(text=deployment.printed.text(), headers=TEXT)
        response = web.StreamResponse(headers=TEXT)
        await response.prepare(request)
        async for chunk in deployment.printed.follow():
            await response.write(chunk)
        await response.write_eof()
        return response

    async def openapi_paths(self, request: web.Request) -> dict[str, Any]:
        """Only for who may use them."""
        return deployment_paths(self.gateway.settings.base_path) if self.gateway.is_owner(request) else {}

    def _deployment(self, request: web.Request) -> Deployment:
        return self.gateway.deployments.get(request.match_info["name"])

    def _plain(self, request: web.Request, deployment: Deployment) -> dict[str, Any]:
        counts, row, spec = deployment.counts(), deployment.row, deployment.spec
        plain: dict[str, Any] = {
            "name": deployment.name,
            "module": spec.module,
            "status": deployment.state,
            "endpoint": f"{self.gateway.base_url(request)}/run/{deployment.name}",
            "token": deployment.token,
            "bucket": self._bucket(request, deployment.name),
            "title": "",
            "description": "",
            "created": None,
            "updated": None,
            "kept": row is not None,
            "temporary": self.gateway.services.is_temporary(deployment.name),
            "calls": deployment.calls,
            "p50_s": self.gateway.metrics.median_s(deployment.name),
            "workers": counts.workers,
            "busy": counts.busy,
            "starting": counts.starting,
            "queued": counts.queued,
            "loaded": counts.loaded,
            "restarts": counts.restarts,
            "failure": _failure(deployment.failure),
        }
        if row is not None:
            for name in (*TEXTS, *OPTIONS, "created", "updated", "memory_bytes"):
                plain[name] = getattr(row, name)
            plain["environment"] = dict(row.environment)
            plain["secrets"] = sorted(row.secrets)  # their values are not told again
        return plain

    def _bucket(self, request: web.Request, name: str) -> dict[str, str] | None:
        """None where there are no buckets. On another S3 service the keys are the server's own: its owner's."""
        bucket_jobs = self.gateway.bucket_jobs
        access = None if bucket_jobs is None else bucket_jobs.bucket_keys.access(name)
        if bucket_jobs is None or access is None:
            return None
        keys = access if access.access_key else bucket_jobs.bucket_keys.owner_access()
        return {
            "bucket": access.bucket,
            "endpoint": self.gateway.store_url(request, access.endpoint),
            "access_key": keys.access_key,
            "secret_key": keys.secret_key,
            "region": access.region,
        }


TEXT = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}


def _failure(error: ModelportError | None) -> dict[str, str] | None:
    return None if error is None else {"error": error.kind, "message": error.message, "log": error.detail}


def _text(document: dict[str, Any], name: str) -> str:
    """Raises InvalidArguments."""
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidArguments(f"{name}: must be text", fields={name: ["must be text"]})
    return value or ""


def _changes(document: dict[str, Any], others: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a row that the document names. Their values are checked where they are kept.

    Raises InvalidArguments for names that mean nothing here, and memory that cannot be read.
    """
    changes: dict[str, Any] = {}
    problems: dict[str, list[str]] = {}
    for name, value in document.items():
        if name in TEXTS:
            changes[name] = "" if value is None else value
        elif name in MAPPINGS:
            changes[name] = {} if value is None else value
        elif name in OPTIONS:
            changes[name] = value
        elif name in ("memory", "memory_bytes"):
            try:
                changes["memory_bytes"] = None if value is None else memory_bytes(value)
            except ValueError as error:
                problems[name] = [str(error)]
        elif name not in others:
            problems[name] = ["unknown; known are " + ", ".join((*others, *TEXTS, *OPTIONS, "memory", *MAPPINGS))]
    if problems:
        message = "; ".join(f"{name[:60]}: {why[0]}" for name, why in problems.items())
        raise InvalidArguments(message, fields=problems)
    return changes


def _json(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    # The tokens in it are nobody's but the owner's.
    everywhere = {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store", **(headers or {})}
    return web.Response(status=status, body=msgspec.json.encode(document), headers=everywhere)


def _error(error: ModelportError, status: int) -> web.Response:
    plain: dict[str, Any] = {"error": error.kind, "message": error.message}
    if error.fields:
        plain["fields"] = error.fields
    return _json(plain, status=status)
