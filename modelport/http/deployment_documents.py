"""Deployments as JSON: what is said of one at /deployments, and what may be said to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from modelport.deployments.deployments import Deployment
from modelport.describe.documents import one_of
from modelport.executors import Node, Place
from modelport.http.gateway import Gateway
from modelport.http.job_documents import Moment
from modelport.store.deployments import Price, Shift
from modelport.store.payments import Earnings


class Options(Struct, kw_only=True):
    """Options of a deployment; null means the server's setting"""

    name: Annotated[str, Meta(description="Made from the module's, where it is left out")] = ""
    module: Annotated[str, Meta(description="A name or path, as `module` of GET /modules; `python` goes with it")] = ""
    title: str = ""
    description: str = ""
    python: Annotated[str | None, Meta(description="Interpreter of the module's environment")] = None
    executor: Annotated[str | None, Meta(description="What runs its calls: see the setting executor")] = None
    min_workers: Annotated[Annotated[int, Meta(ge=0)] | None, Meta(description="Kept warm without calls")] = None
    max_workers: Annotated[int, Meta(ge=1)] | None = None
    idle_s: Annotated[float | None, Meta(description="Memory is freed after this time without calls")] = None
    timeout_s: Annotated[float | None, Meta(description="The longest time of a call")] = None
    cpu: Annotated[float | None, Meta(description="CPUs of each worker: limits its libraries' threads")] = None
    environment: Annotated[Mapping[str, str], Meta(description="Variables for the model")] = {}
    price: Price | None = None


class Changes(Options, kw_only=True):
    """Changes to a deployment"""

    memory: Annotated[str | int | None, Meta(description="Of each worker", examples=["2Gi", 2147483648])] = None
    secrets: Annotated[dict[str, str], Meta(description="Like `environment`, but never shown again")] = {}


class NewDeployment(Changes, kw_only=True):
    """A new deployment"""

    module: str
    temporary: Annotated[bool, Meta(description="To try it: not kept, and removed when nobody calls it")] = False


class BucketDocument(Struct):
    """Where a deployment takes files in and puts results, and the keys to it"""

    bucket: str
    endpoint: str
    access_key: str
    secret_key: str
    region: str


class LoadFailure(Struct):
    """Why it does not load"""

    error: str
    message: str
    log: str


class Sales(Struct):
    """What became of the payments for its calls"""

    paid: Annotated[int, Meta(description="Calls that were paid")]
    credits: int
    failed: Annotated[int, Meta(description="Payments that were refused after the call, or never answered")]
    pending: int
    problem: Annotated[str, Meta(description="Why it cannot be bought; empty: it can")]


class VersionDocument(Struct):
    """One of those that answer the calls of a deployment: itself, or the version to which it shifts calls"""

    name: str
    share: Annotated[int, Meta(description="Per cent of the calls")]
    status: str
    calls: int
    failures: int
    p50_s: float | None


class DeploymentDocument(Options, kw_only=True):
    """A deployment as it is now"""

    name: str
    module: str
    status: Annotated[str, one_of("cold", "loading", "ready", "busy", "failed")]
    endpoint: Annotated[str, Meta(description="Of synchronous calls, the OSCAR way")]
    token: Annotated[str, Meta(description="Of its callers")]
    bucket: BucketDocument | None
    created: Moment | None = None
    updated: Moment | None = None
    kept: Annotated[bool, Meta(description="False: named on the server's command line")]
    temporary: bool
    calls: Annotated[int, Meta(description="Since the server began")]
    failures: Annotated[int, Meta(description="Of these calls, those that did not succeed")]
    p50_s: Annotated[float | None, Meta(description="Median time of the last 200 calls")]
    shift: Annotated[Shift | None, Meta(description="Calls that a version answers")]
    versions: Annotated[list[VersionDocument], Meta(description="While calls are shifted: itself, and the version")]
    version_of: Annotated[str | None, Meta(description="The service whose calls are shifted to this one")]
    workers: int
    busy: int
    starting: int
    queued: int
    loaded: bool
    restarts: int
    places: Annotated[list[Place], Meta(description="Of the workers")]
    failure: LoadFailure | None
    memory_bytes: Annotated[int | None, Meta(description="Of each worker")] = None
    secrets: Annotated[list[str], Meta(description="Their names")] = []
    sales: Annotated[Sales | None, Meta(description="Null without a price")] = None
    nodes: Annotated[list[Node], Meta(description="Of its cluster; where one is shown")] | UnsetType = UNSET
    used_bytes: Annotated[int | None, Meta(description="Of its processes; only with ?usage=1")] | UnsetType = UNSET


# What the document says of a deployment as its row has it.
OF_ROW = (*Options.__struct_fields__[2:], "created", "updated", "memory_bytes")


def deployment_document(gateway: Gateway, request: web.Request, deployment: Deployment) -> DeploymentDocument:
    row, failure, service = deployment.row, deployment.failure, gateway.deployments.service_of(deployment.name)
    kept: dict[str, Any] = {}
    if row is not None:
        kept = {name: getattr(row, name) for name in OF_ROW} | {"secrets": sorted(row.secrets)}
    return DeploymentDocument(
        name=deployment.name,
        module=deployment.spec.module,
        status=deployment.state,
        endpoint=f"{gateway.base_url(request)}/run/{deployment.name}",
        token=deployment.token,
        bucket=bucket_document(gateway, request, deployment.name),
        kept=row is not None,
        temporary=gateway.services.is_temporary(deployment.name),
        calls=deployment.calls,
        failures=gateway.metrics.failures(deployment.name),
        p50_s=gateway.metrics.median_s(deployment.name),
        shift=deployment.shift,
        versions=_versions(gateway, deployment),
        version_of=None if service is None else service.name,
        places=deployment.places(),
        failure=None if failure is None else LoadFailure(failure.kind, failure.message, failure.detail),
        sales=_sales(gateway, deployment),
        **vars(deployment.counts()),
        **{"price": deployment.price, **kept},
    )


def _versions(gateway: Gateway, deployment: Deployment) -> list[VersionDocument]:
    shift = deployment.shift
    if shift is None or shift.to not in gateway.deployments:
        return []
    shares = ((deployment, 100 - shift.share), (gateway.deployments.get(shift.to), shift.share))
    metrics = gateway.metrics
    return [
        VersionDocument(
            version.name,
            share,
            version.state,
            version.calls,
            metrics.failures(version.name),
            metrics.median_s(version.name),
        )
        for version, share in shares
    ]


def _sales(gateway: Gateway, deployment: Deployment) -> Sales | None:
    if deployment.price is None:
        return None
    if gateway.payments is None:
        problem = "the server has no key to sell with: see the setting nevermined_api_key_file"
        return Sales(0, 0, 0, 0, problem)
    earned = gateway.payments.earnings.get(deployment.name, Earnings())
    return Sales(**vars(earned), problem=gateway.payments.problem(deployment.price))


def bucket_document(gateway: Gateway, request: web.Request, name: str) -> BucketDocument | None:
    """None where there are no buckets. On another S3 service the keys are the server's own: its owner's."""
    access = gateway.bucket_access(name)
    if gateway.bucket_jobs is None or access is None:
        return None
    keys = access if access.access_key else gateway.bucket_jobs.bucket_keys.owner_access()
    endpoint = gateway.store_url(request, access.endpoint)
    return BucketDocument(access.bucket, endpoint, keys.access_key, keys.secret_key, access.region)
