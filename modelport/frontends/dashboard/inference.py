"""The deployments: their list, one's page with how to call it, and its log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from modelport.deployments.deployments import Deployment
from modelport.describe import snippets
from modelport.errors import ModelportError
from modelport.frontends.dashboard.filters import when
from modelport.frontends.dashboard.rendering import PATIENCE_S, Pages, digest


@dataclass(frozen=True)
class Bucket:
    """Where a deployment takes files in and puts results. own: the keys are the deployment's, and can be renewed."""

    name: str
    url: str
    access_key: str
    secret_key: str
    region: str
    own: bool = True

    def told(self) -> dict[str, str]:
        """As `snippets` wants it."""
        return {
            "bucket": self.name,
            "endpoint": self.url,
            "access_key": self.access_key,
            "secret_key": self.secret_key,
            "region": self.region,
        }


@dataclass(frozen=True)
class Snippet:
    """How to call a deployment, to be pasted."""

    id: str
    label: str
    text: str


class Inference:
    """`/ui/inference`, `/ui/inference/<name>`, `/ui/inference/<name>/logs`."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._gateway = pages.gateway

    async def overview(self, request: web.Request) -> web.StreamResponse:
        """The page; for htmx the table alone, and nothing where it has not changed since `seen`."""
        rows = await self._rows()
        seen = digest(rows, [when(row["created"]) for row in rows])
        if "HX-Request" not in request.headers:
            return self._pages.page(request, "inference.html", rows=rows, seen=seen)
        if request.query.get("seen") == seen:
            return self._pages.nothing()
        return self._pages.page(request, "_deployments.html", rows=rows, seen=seen)

    async def _rows(self) -> list[dict[str, Any]]:
        found = sorted(self._gateway.deployments, key=lambda each: each.name)
        used = await self._gateway.gauge.of({each.name: each.processes() for each in found}, PATIENCE_S)
        return [{**self._facts(each), "used_bytes": used[each.name] or None} for each in found]

    def _facts(self, deployment: Deployment) -> dict[str, Any]:
        row, counts = deployment.row, deployment.counts()
        return {
            "name": deployment.name,
            "title": row.title if row is not None else "",
            "module": deployment.spec.module,
            "python": deployment.spec.python,
            "state": deployment.state,
            "failure": deployment.failure.message if deployment.failure is not None else "",
            "workers": counts.workers,
            "busy": counts.busy,
            "queued": counts.queued,
            "calls": deployment.calls,
            "p50_s": self._gateway.metrics.median_s(deployment.name),
            "created": row.created if row is not None else "",
            "kept": row is not None,
            "temporary": self._gateway.services.is_temporary(deployment.name),
        }

    # One

    async def info(self, request: web.Request) -> web.StreamResponse:
        deployment = self._gateway.deployments.get(request.match_info["name"])
        facts = self._facts(deployment)
        seen = digest(facts, deployment.row, deployment.spec, when(facts["created"]))
        if "HX-Request" in request.headers:
            if request.query.get("seen") == seen:
                return self._pages.nothing()
            values: dict[str, Any] = {"facts": facts, "row": deployment.row, "spec": deployment.spec, "seen": seen}
            return self._pages.page(request, "_details.html", **values)
        plain = self._callable(request, deployment)
        return self._pages.page(
            request,
            "info.html",
            facts=facts,
            row=deployment.row,
            spec=deployment.spec,
            seen=seen,
            called=plain,
            plain_url=snippets.plain_url(plain),
            bucket=(bucket := self._bucket(request, deployment)),
            snippets=await self._snippets(deployment, plain, bucket),
        )

    def _callable(self, request: web.Request, deployment: Deployment) -> dict[str, Any]:
        """What a caller needs, with the token that opens it: a module named on the command line shares the server's."""
        return {
            "name": deployment.name,
            "endpoint": f"{self._gateway.base_url(request)}/run/{deployment.name}",
            "token": deployment.token or self._gateway.settings.token,
        }

    def _bucket(self, request: web.Request, deployment: Deployment) -> Bucket | None:
        """None where there are no buckets. On another S3 service the keys are the server's own: its owner's."""
        bucket_jobs = self._gateway.bucket_jobs
        access = None if bucket_jobs is None else bucket_jobs.bucket_keys.access(deployment.name)
        if bucket_jobs is None or access is None:
            return None
        keys = access if access.access_key else bucket_jobs.bucket_keys.owner_access()
        url = self._gateway.store_url(request, access.endpoint)
        return Bucket(access.bucket, url, keys.access_key, keys.secret_key, access.region, own=bool(access.access_key))

    async def _snippets(self, deployment: Deployment, plain: dict[str, Any], bucket: Bucket | None) -> list[Snippet]:
        """With the module's arguments where they are known: a page does not wait for a module to load."""
        card = deployment.card
        try:
            card = card or (await deployment.wait_card() if deployment.row is None else None)
        except ModelportError:
            card = None
        told = None if bucket is None else snippets.asynchronous({**plain, "bucket": bucket.told()}, card)
        return [
            Snippet("python", "Python", snippets.python(plain, card)),
            Snippet("curl", "curl", "\n".join(snippets.shell(plain, card))),
            Snippet("command", "Command line", "\n".join(snippets.command_line(plain, card))),
            *([Snippet("boto3", "Python: asynchronous", told)] if told else []),
            Snippet("help", "Python: help", snippets.python_help(plain)),
        ]

    async def logs(self, request: web.Request) -> web.StreamResponse:
        deployment = self._gateway.deployments.get(request.match_info["name"])
        return self._pages.page(request, "logs.html", facts=self._facts(deployment))
