"""Where the objects are, and by which keys: what `minio_provider` and `minio.default` say, to each caller his own."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from modelport.bucketjobs import BucketAccess
from modelport.http.access import Access, Caller
from modelport.http.gateway import Gateway
from modelport.store.deployments import DeploymentRow

# The dashboard shows no buckets where the region is empty.
REGION = "us-east-1"
HIDDEN = "hidden"


class Providers:
    """Documents as OSCAR's clients take them."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def of_caller(self, request: web.Request, caller: Caller) -> dict[str, Any]:
        """Keys to all that is the caller's: for the administrator all buckets, for an account those of its services."""
        bucket_jobs = self._gateway.bucket_jobs
        if bucket_jobs is None:
            return _document(self._gateway.base_url(request), "", "", "")
        keys = bucket_jobs.bucket_keys
        access = keys.owner_access() if caller.administrator else await keys.account_access(caller.user)
        return self._shown(request, access)

    def of_service(self, request: web.Request, caller: Caller, row: DeploymentRow) -> dict[str, Any]:
        """The service's own keys, which reach its bucket only, for who may see its token."""
        if (access := self._gateway.bucket_access(row.name)) is None:
            return _document(self._gateway.base_url(request), HIDDEN, HIDDEN, "")
        document = self._shown(request, access)
        if not (Access.owns(caller, row) and access.access_key):
            document |= {"access_key": HIDDEN, "secret_key": HIDDEN}
        return document

    def _shown(self, request: web.Request, access: BucketAccess) -> dict[str, Any]:
        endpoint = self._gateway.store_url(request, access.endpoint)
        return _document(endpoint, access.access_key, access.secret_key, access.region)


def _document(endpoint: str, access_key: str, secret_key: str, region: str) -> dict[str, Any]:
    return {
        "endpoint": endpoint,
        "verify": True,
        "access_key": access_key,
        "secret_key": secret_key,
        "region": region or REGION,
    }
