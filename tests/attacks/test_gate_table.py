"""Who may ask for what, from where: every route of every port, by every credential, Host and origin.

The tables are the promise. A route that is in none of them fails a test, and so does an entry without a route.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from modelport.frontends.s3.server import RULES
from modelport.http.sharing import cookie_of
from modelport.objectstore import sigv4
from modelport.store.deployments import DeploymentRow
from tests.house import House, open_house

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

# `x` is named on the command line, `one` and `two` are services; whose token opens what follows from that.
PLUGIN = "def predict(**k): return 1\n"
TOKEN = "the-server's"

CREDENTIALS = ("none", "wrong", "another service's", "owner's")
FOREIGN_HOST = "evil.example"
FOREIGN = {"Origin": "https://evil.example"}
CROSS = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}

# What a route answers to the credentials in their order, from where any may ask: i, it lets in; o, it asks for another
# credential. The first word holds where the server asks for no token, the second where it does.
ANSWERS = {
    "anybody": ("iiii", "iiii"),
    "the owner": ("oooi", "oooi"),
    # By the token of the service that is called, or the owner's.
    "a service": ("oooi", "oooi"),
    # The same route for `x`, which is as open as the server.
    "a model of the command line": ("iiii", "oooi"),
    "the server": ("iiii", "oooi"),
    # What the caller may know, perhaps nothing.
    "a list": ("iiii", "ooii"),
    # Who has a token that is good for something learns that there is no such job.
    "a job": ("ooii", "ooii"),
    # By a shared link alone; see below.
    "a link": ("oooo", "oooo"),
    # It has nothing to give, and says so by going back to the page of signing in.
    "signing out": ("oooo", "oooo"),
}

ROUTES: dict[str, str] = {
    # The dashboard
    "GET HEAD /ui/static/{version}/{name}": "anybody",
    "GET HEAD POST /ui/login": "anybody",
    "POST /ui/logout": "signing out",
    "POST /ui/code": "the owner",
    "GET HEAD /ui/": "the owner",
    "GET HEAD /ui/modules/{id}": "the owner",
    "GET HEAD /ui/modules/{id}/arguments": "the owner",
    "GET HEAD /ui/modules/{id}/check": "the owner",
    "GET HEAD /ui/deploy": "the owner",
    "GET HEAD /ui/inference": "the owner",
    "GET HEAD /ui/inference/{name}": "the owner",
    "GET HEAD /ui/inference/{name}/logs": "the owner",
    "GET HEAD /ui/inference/{name}/state": "the owner",
    "GET HEAD /ui/inference/{name}/belongings": "the owner",
    "GET HEAD /ui/inference/{name}/edit": "the owner",
    "GET HEAD /ui/inference/{name}/invoke": "the owner",
    "GET HEAD /ui/inference/{name}/runs": "the owner",
    "GET HEAD /ui/inference/{name}/examples/{file}": "the owner",
    "GET HEAD /ui/inference/{name}/notebook": "the owner",
    "GET HEAD /ui/modules/{id}/examples/{file}": "the owner",
    "GET HEAD /ui/compare": "the owner",
    "GET HEAD /ui/inference/{name}/train": "the owner",
    "GET HEAD /ui/jobs": "the owner",
    "GET HEAD /ui/jobs/{id}": "the owner",
    "GET HEAD /ui/trainings": "the owner",
    "GET HEAD /ui/trainings/new": "the owner",
    "GET HEAD /ui/files": "the owner",
    "GET HEAD /ui/files/{deployment}": "the owner",
    "GET HEAD /ui/files/{deployment}/results": "the owner",
    "GET HEAD /ui/api": "the owner",
    "GET HEAD /ui/status": "the owner",
    "GET HEAD POST /ui/shared/{name}": "anybody",
    "GET HEAD /ui/shared/{name}/runs": "a link",
    "GET HEAD /ui/shared/{name}/examples/{file}": "a link",
    "GET HEAD /ui/{rest}": "the owner",
    # DEEPaaS
    "POST /v2/models/{name}/predict/": "a service",
    "GET /v2/": "a list",
    "GET /v2/models/": "a list",
    "GET /v2/models/{name}/": "a service",
    "GET POST /v2/models/{name}/train/": "a service",
    "GET DELETE /v2/models/{name}/train/{uuid}": "a service",
    "GET /v2/debug/": "a list",
    "GET /swagger.json": "a list",
    "GET HEAD /openapi.json": "a list",
    "GET /": "a list",
    "GET /ui": "anybody",
    "GET /api": "anybody",
    "GET HEAD /docs": "anybody",
    "GET HEAD /static/swagger": "anybody",
    # KServe. Where DEEPaaS redirects, strangers are redirected, too; other clients are checked by the handler.
    "GET HEAD /kserve/v2": "anybody",
    "GET HEAD /kserve/v2/health/live": "anybody",
    "GET HEAD /kserve/v2/health/ready": "anybody",
    "POST /kserve/v2/repository/index": "a list",
    "GET HEAD /kserve/v2/models/{name}": "a service",
    "GET HEAD /kserve/v2/models/{name}/ready": "a service",
    "POST /kserve/v2/models/{name}/infer": "a service",
    "GET HEAD /kserve/v2/models/{name}/versions/{version}": "a service",
    "GET HEAD /kserve/v2/models/{name}/versions/{version}/ready": "a service",
    "POST /kserve/v2/models/{name}/versions/{version}/infer": "a service",
    "GET HEAD /v2": "anybody",
    "GET HEAD /v2/health/live": "anybody",
    "GET HEAD /v2/health/ready": "anybody",
    "POST /v2/repository/index": "a list",
    "GET HEAD /v2/models/{name}": "anybody",
    "GET HEAD /v2/models/{name}/ready": "a service",
    "POST /v2/models/{name}/infer": "a service",
    "GET HEAD /v2/models/{name}/versions/{version}": "a service",
    "GET HEAD /v2/models/{name}/versions/{version}/ready": "a service",
    "POST /v2/models/{name}/versions/{version}/infer": "a service",
    # OpenAI. The model is named in the body, so any token comes in; the handler asks whether it opens that model.
    "GET HEAD /v1/models": "a list",
    "GET HEAD /v1/models/{name}": "a service",
    "POST /v1/embeddings": "a list",
    "POST /v1/chat/completions": "a list",
    # MCP. Its tools are named in the body, as OpenAI's models. A link's key is as good as a token.
    "POST /mcp": "a list",
    "POST /mcp/{name}": "a service",
    "GET HEAD /mcp/results/{file}": "anybody",
    # Deployments, files, modules
    "GET HEAD POST /deployments": "the owner",
    "GET HEAD PATCH DELETE /deployments/{name}": "the owner",
    "POST /deployments/{name}/token": "the owner",
    "POST /deployments/{name}/load": "the owner",
    "POST /deployments/{name}/bucket": "the owner",
    "GET HEAD /deployments/{name}/log": "the owner",
    "GET HEAD /deployments/{name}/card": "the owner",
    "GET HEAD POST /deployments/{name}/links": "the owner",
    "DELETE /deployments/{name}/links/{id}": "the owner",
    "POST DELETE /deployments/{name}/shift": "the owner",
    "GET HEAD /files/{deployment}": "the owner",
    "GET HEAD PUT DELETE /files/{deployment}/{key}": "the owner",
    "GET HEAD /modules": "the owner",
    "POST /modules/refresh": "the owner",
    "GET HEAD POST /modules/sources": "the owner",
    "DELETE /modules/sources/{id}": "the owner",
    "GET HEAD /modules/{id}": "the owner",
    "GET HEAD /modules/{id}/card": "the owner",
    "GET HEAD POST /modules/{id}/check": "the owner",
    "GET HEAD /modules/{id}/metadata": "the owner",
    "GET HEAD /modules/{id}/metadata.jsonld": "the owner",
    # Machines that watch
    "GET HEAD /health": "anybody",
    "GET HEAD /ready": "anybody",
    "GET HEAD /metrics": "the server",
    # Jobs
    "GET HEAD DELETE /jobs": "a list",
    "GET HEAD DELETE /jobs/{id}": "a job",
    "GET HEAD /jobs/{id}/result": "a job",
    "GET HEAD /jobs/{id}/files/{number}": "a job",
    "GET HEAD /jobs/{id}/metrics": "a job",
    "GET HEAD /jobs/{id}/artifacts/{name}": "a job",
    "GET HEAD /jobs/{id}/log": "a job",
    "GET HEAD /jobs/{id}/events": "a job",
    "POST /jobs/{id}/cancel": "a job",
    "POST /jobs/{id}/run-again": "a job",
    "GET HEAD /events": "a list",
    "GET HEAD /webhooks/secret": "the owner",
    # OSCAR
    "POST /run/{name}": "a service",
    "POST /job/{name}": "a service",
    "HEAD /job/{name}": "anybody",
    "GET HEAD POST PUT /system/services": "the owner",
    "GET HEAD DELETE /system/services/{name}": "the owner",
    "GET HEAD /system/services/{name}/deployment": "the owner",
    "GET HEAD /system/services/{name}/deployment/logs": "the owner",
    "POST /system/services/{name}/start": "the owner",
    "POST /system/services/{name}/stop": "the owner",
    "POST /system/services/{name}/restart": "the owner",
    "GET HEAD /system/logs": "the owner",
    "GET HEAD DELETE /system/logs/{name}": "the owner",
    "GET HEAD DELETE /system/logs/{name}/{job}": "the owner",
    "GET HEAD POST PUT /system/buckets": "the owner",
    "GET HEAD DELETE /system/buckets/{bucket}": "the owner",
    "POST /system/buckets/{bucket}/presign": "the owner",
    "GET HEAD /system/info": "the owner",
    "GET HEAD /system/config": "the owner",
    "GET HEAD /system/status": "the owner",
    "GET HEAD /system/volumes": "the owner",
    "GET HEAD /system/quotas/user": "the owner",
    "GET HEAD /system/quotas/user/{id}": "the owner",
    "GET HEAD /system/metrics": "the owner",
    "GET HEAD /system/metrics/breakdown": "the owner",
    "GET HEAD /system/metrics/{name}": "the owner",
    # There is nothing there, and anybody may know.
    "* /system": "anybody",
    "* /system/{tail}": "anybody",
    "* /run": "anybody",
    "* /run/{tail}": "anybody",
    "* /job": "anybody",
    "* /job/{tail}": "anybody",
    # The plain door
    "GET HEAD POST /{name}": "a service",
    "* /{name}": "anybody",
    "POST /{name}/async": "a service",
    "* /{name}/async": "anybody",
    "GET HEAD /status/{id}": "a job",
    "* /status/{id}": "anybody",
    "GET HEAD /results/{id}": "a job",
    "* /results/{id}": "anybody",
}

# Of the S3 port, where nothing is answered without a signature: by none, a wrong one, another service's, the owner's.
OPERATIONS: dict[str, str] = dict.fromkeys((rule.operation for rule in RULES), "")
OPERATIONS |= dict.fromkeys(
    (
        *("HeadBucket", "CreateBucket", "GetBucketLocation", "ListMultipartUploads", "ListObjectsV2", "ListObjects"),
        *("DeleteObjects", "HeadObject", "ListParts", "GetObject", "UploadPart", "PutObject", "CreateMultipartUpload"),
        *("CompleteMultipartUpload", "AbortMultipartUpload", "DeleteObject", "GetBucketVersioning", "GetBucketAcl"),
        *("GetObjectTagging", "GetObjectAcl"),
    ),
    "oooi",
)
OPERATIONS["ListBuckets"] = "ooii"  # each lists its own


def rows() -> Iterator[tuple[str, str, str]]:
    for entry, whose in ROUTES.items():
        *methods, path = entry.split()
        for method in methods:
            yield method, path, whose


@dataclass
class Place:
    house: House
    tokens: dict[str, str]
    needs_token: bool

    async def ask(self, method: str, path: str, headers: dict[str, str], **options: Any) -> tuple[int, Any, str]:
        """(status, headers, text of a refusal)."""
        url = f"http://127.0.0.1:{self.house.server.port}{path}"
        async with self.house.session.request(
            method, url, headers=headers, allow_redirects=False, **options
        ) as response:
            text = await response.text() if response.status in (401, 403) else ""  # others may have no end
            return response.status, response.headers, text


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["", TOKEN], ids=["no token", "a token"])
async def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("gate")
    async with open_house(folder, PLUGIN, start_method="fork", token=request.param) as house:
        module = str(folder / "plugins" / "plugin_0.py")
        services = [await house.gateway.services.deploy(DeploymentRow(name, module)) for name in ("one", "two")]
        tokens = dict(zip(CREDENTIALS, ("", "wrong", services[1].token, house.gateway.owner.token), strict=True))
        yield Place(house, tokens, bool(request.param))


async def test_every_route_is_in_the_table_and_has_no_second_entry(place: Place) -> None:
    app = place.house.server.app
    assert app is not None
    routes = set()
    for route in app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical
        # Clients differ in the final slash: the same handler stands there.
        double = path.endswith("/") and path.startswith(("/system", "/run", "/job", "/{name}"))
        routes.add((route.method, path.rstrip("/") if double else path))
    listed = [(method, path) for method, path, _ in rows()]
    assert len(listed) == len(set(listed))
    assert set(listed) == routes


# Something that is there for the routes of one deployment; elsewhere nothing, lest it be removed.
FILLINGS = {
    "{id}": "0" * 32,
    "{uuid}": "0",
    "{number}": "0",
    "{key}": "a",
    "{file}": "a",
    "{job}": "0",
    "{tail}": "a/b",
    "{rest}": "nowhere",
    "{version}": "0",
    "{deployment}": "nobody",
    "{bucket}": "nobody",
}


def filled(path: str, name: str) -> str:
    path = "/static/swagger/swagger-ui.css" if path == "/static/swagger" else path
    for place, value in {**FILLINGS, "{name}": name}.items():
        path = path.replace(place, value)
    return path


def origins(place: Place, host: str) -> dict[str, dict[str, str]]:
    return {"none": {}, "own": {"Origin": f"http://{host}"}, "foreign": FOREIGN, "unnamed foreign": CROSS}


def verdict(status: int, headers: Any, text: str) -> str:
    if status == 403:
        assert "MODELPORT_" in text or not text, text
        return "refused"
    # Who comes by a link from elsewhere is asked to come again from here: the cookie has been kept back.
    if status == 401 or "Refresh" in headers or headers.get("Location", "").partition("?")[0] == "/ui/login":
        return "o"
    assert status != 500
    return "i"


@pytest.mark.parametrize(
    ("method", "path", "whose"), list(rows()), ids=[f"{method} {path}" for method, path, _ in rows()]
)
async def test_a_route(place: Place, method: str, path: str, whose: str) -> None:
    subjects = {"one": whose, "x": "a model of the command line"} if whose == "a service" else {"nobody": whose}
    own = f"127.0.0.1:{place.house.server.port}"
    for name, opens in subjects.items():
        for credential, answer in zip(CREDENTIALS, ANSWERS[opens][place.needs_token], strict=True):
            token = place.tokens[credential]
            authorization = {"Authorization": f"Bearer {token}"} if token else {}
            for host in (own, FOREIGN_HOST):
                for origin, said in origins(place, host).items():
                    elsewhere = host == FOREIGN_HOST or "foreign" in origin
                    strict = not place.needs_token or path.startswith("/ui")
                    refused = strict and elsewhere and credential in ("none", "wrong")
                    # Who needs a token to come from there needs one that opens what is called.
                    other = elsewhere and not place.needs_token and credential == "another service's" and name == "x"
                    expected = "refused" if refused else "o" if other and answer == "i" else answer
                    status, headers, text = await place.ask(
                        "PATCH" if method == "*" else method,
                        filled(path, name),
                        {"Host": host, **authorization, **said},
                        json={},
                    )
                    case = (name, credential, host, origin, status)
                    assert verdict(status, headers, text) == expected, case
                    assert not (refused and "Access-Control-Allow-Origin" in headers), case


@pytest.mark.parametrize("path", sorted({path for _, path, _ in rows()}))
async def test_a_preflight_is_granted_only_where_a_token_will_come(place: Place, path: str) -> None:
    asked = {"Access-Control-Request-Method": "POST", **FOREIGN}
    promised = {**asked, "Access-Control-Request-Headers": "content-type, authorization"}
    for headers, granted in ((asked, place.needs_token and not path.startswith("/ui")), (promised, True)):
        status, said, _ = await place.ask("OPTIONS", filled(path, "one"), headers)
        assert (status == 403) is not granted
        assert "Access-Control-Allow-Origin" not in said or granted


@pytest.mark.parametrize("path", ["/", "/ui", "/ui/", "/ui/login", "/ui/inference", "/api", "/docs"])
async def test_a_link_on_another_page_leads_to_pages_and_a_frame_does_not(place: Place, path: str) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
    status, _, _ = await place.ask("GET", path, {**link, "Sec-Fetch-Dest": "document"})
    assert status in (200, 302, 303)
    status, _, _ = await place.ask("GET", path, {**link, "Sec-Fetch-Dest": "iframe"})
    assert (status == 403) is (not place.needs_token or path.startswith("/ui"))


# Shared links


# What a link to `one` opens besides what anybody may ask for.
LINKED = """
    GET HEAD POST /{name}
    POST /{name}/async
    POST /run/{name}
    POST /job/{name}
    POST /v2/models/{name}/predict/
    GET /v2/models/
    GET /v2/models/{name}/
    GET HEAD /openapi.json
    GET HEAD /deployments/{name}/card
    GET HEAD /kserve/v2/models/{name}
    GET HEAD /kserve/v2/models/{name}/ready
    POST /kserve/v2/models/{name}/infer
    GET HEAD /kserve/v2/models/{name}/versions/{version}
    GET HEAD /kserve/v2/models/{name}/versions/{version}/ready
    POST /kserve/v2/models/{name}/versions/{version}/infer
    GET HEAD /v2/models/{name}
    GET HEAD /v2/models/{name}/ready
    POST /v2/models/{name}/infer
    GET HEAD /v2/models/{name}/versions/{version}
    GET HEAD /v2/models/{name}/versions/{version}/ready
    POST /v2/models/{name}/versions/{version}/infer
    GET HEAD /v1/models
    GET HEAD /v1/models/{name}
    POST /v1/embeddings
    POST /v1/chat/completions
    GET HEAD /jobs
    GET HEAD DELETE /jobs/{id}
    GET HEAD /jobs/{id}/result
    GET HEAD /jobs/{id}/files/{number}
    GET HEAD /jobs/{id}/log
    GET HEAD /jobs/{id}/metrics
    GET HEAD /jobs/{id}/artifacts/{name}
    GET HEAD /jobs/{id}/events
    POST /jobs/{id}/cancel
    GET HEAD /status/{id}
    GET HEAD /results/{id}
    GET HEAD /ui/shared/{name}
    GET HEAD /ui/shared/{name}/runs
    GET HEAD /ui/shared/{name}/examples/{file}
"""
OPENED = {(method, line.split()[-1]) for line in LINKED.split("\n") if line.strip() for method in line.split()[:-1]}


async def test_a_link_opens_the_routes_that_are_named_and_no_others(place: Place) -> None:
    """With its token as a header, and as the cookie of a browser that has opened it; elsewhere it is as no token."""
    own = f"127.0.0.1:{place.house.server.port}"
    _, token = await place.house.gateway.links.make("one", time.time() + 3600)
    cookie = {"Cookie": f"{cookie_of(own)}={token}", "Sec-Fetch-Site": "same-origin"}
    elsewhere = {**cookie, "Sec-Fetch-Site": "cross-site"}
    unseen = set(OPENED)
    for method, path, whose in rows():
        unseen.discard((method, path))
        for subject in ("one", "two", "x") if "{name}" in path and not path.startswith("/jobs") else ("one",):
            sent = "PATCH" if method == "*" else method
            without = verdict(*await place.ask(sent, filled(path, subject), {}, json={}))
            opens = (method, path) in OPENED and subject == "one"
            for headers, right in (({"Authorization": f"Bearer {token}"}, True), (cookie, True), (elsewhere, False)):
                answer = verdict(*await place.ask(sent, filled(path, subject), headers, json={}))
                case = (method, path, subject, headers)
                if not right:
                    assert answer in ("refused", without), case
                else:
                    assert answer == ("i" if opens else without), case
            if not place.needs_token and not path.startswith("/ui"):  # it makes up for a page of elsewhere there only
                from_page = {"Authorization": f"Bearer {token}", **FOREIGN}
                answer = verdict(*await place.ask(sent, filled(path, subject), from_page, json={}))
                nobodys = whose == "anybody" or (
                    without == "i" and subject != "x"
                )  # such as that there is no such model
                assert (answer == "i") is opens or nobodys, (method, path, subject)
    assert not unseen


# The S3 port


def s3_cases() -> Iterator[tuple[str, str, str]]:
    """(operation, method, path and query), below the bucket of `one`."""
    for rule in RULES:
        path = {"service": "/", "bucket": "/{bucket}", "object": "/{bucket}/outputs/none"}[rule.about]
        query = "&".join(f"{name}=1" for name in sorted(rule.needed.split()))
        yield rule.operation, rule.method, f"{path}?{query}" if query else path


async def test_every_s3_operation_is_in_the_table() -> None:
    assert set(OPERATIONS) == {rule.operation for rule in RULES}
    assert all(OPERATIONS.values())


@pytest.mark.parametrize(("operation", "method", "target"), list(s3_cases()), ids=[case[0] for case in s3_cases()])
async def test_an_s3_operation(place: Place, operation: str, method: str, target: str) -> None:
    bucket_jobs = place.house.gateway.bucket_jobs
    assert bucket_jobs is not None
    one, two = bucket_jobs.bucket_keys.access("one"), bucket_jobs.bucket_keys.access("two")
    assert one is not None and two is not None
    owner = bucket_jobs.bucket_keys.secret_of("oscar")
    assert owner is not None
    keys = (None, (one.access_key, "wrong"), (two.access_key, two.secret_key), ("oscar", owner[0]))
    port = int(one.endpoint.rpartition(":")[2])
    path = target.replace("{bucket}", one.bucket)
    for credential, pair, answer in zip(CREDENTIALS, keys, OPERATIONS[operation], strict=True):
        for host in (f"127.0.0.1:{port}", FOREIGN_HOST):
            for origin, said in origins(place, host).items():
                url = f"http://{host}{path}"
                signed = {} if pair is None else sigv4.sign(method, url, {}, *pair, "us-east-1")
                headers = {"Host": host, **said, **signed}
                answered = await place.house.ask(method, f"http://127.0.0.1:{port}{path}", headers=headers)
                case = (credential, host, origin, answered.status)
                assert (answered.status == 403) is (answer == "o"), case
                assert answered.status != 500, case
