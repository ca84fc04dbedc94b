"""The cluster's documents, logs of calls, who may see them, and pages of other origins (sections 2, 3, 12 to 15)."""

from __future__ import annotations

import asyncio
import base64
import re

import pytest

from tests.house import PATIENCE_S
from tests.oscar.conftest import OWNER, OpenOscar, Oscar

pytestmark = pytest.mark.asyncio(loop_scope="package")

PATHS: tuple[str, ...] = (
    "/info",
    "/config",
    "/config/",
    "/status",
    "/services",
    "/services/",
    "/logs",
    "/logs/svc",
    "/buckets",
)
PATHS += ("/volumes", "/quotas/user", "/metrics", "/services/svc", "/services/svc/deployment", "/info/")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


# Who may come in


async def test_all_of_system_is_the_administrators(oscar: Oscar) -> None:
    token = await oscar.token("svc")
    wrong = "Basic " + base64.b64encode(b"oscar:wrong").decode()
    for path in PATHS:
        assert (await oscar.system("GET", path)).status == 200, path
        for auth in (None, wrong, "Basic !!!", f"Bearer {token}", "Bearer a.b.c", "Basic"):
            answer = await oscar.system("GET", path, auth=auth)
            assert (answer.status, answer.body) == (401, b""), (path, auth)
            assert answer.headers["WWW-Authenticate"] == 'Basic realm="Authorization Required"'


async def test_writing_is_the_administrators_too(oscar: Oscar) -> None:
    for method, path in (
        ("POST", "/services"),
        ("PUT", "/services"),
        ("DELETE", "/services/svc"),
        ("DELETE", "/logs/svc"),
        ("DELETE", "/logs/svc/job"),
    ):
        assert (await oscar.system(method, path, auth=None, data=b"{")).status == 401


async def test_what_is_not_there_is_404_page_not_found(oscar: Oscar) -> None:
    for method, path in (("GET", "/nope"), ("PATCH", "/services"), ("GET", ""), ("POST", "/info"), ("GET", "/a/b/c/")):
        answer = await oscar.system(method, path)
        assert (answer.status, answer.text, answer.type) == (404, "404 page not found", "text/plain; charset=utf-8")


# Documents


async def test_health_needs_nothing(oscar: Oscar) -> None:
    answer = await oscar.house.get("/health")
    assert (answer.status, answer.text) == (200, "Ok")
    assert answer.type.startswith("text/plain")


async def test_info(oscar: Oscar) -> None:
    document = (await oscar.system("GET", "/info")).json()
    assert tuple(int(part) for part in document["version"].removeprefix("v").split(".")) >= (4, 1, 0)
    assert {type(document[each]) for each in ("git_commit", "architecture", "kubernetes_version")} == {str}
    assert set(document["serverless_backend"]) == {"name", "version"}


async def test_config_with_and_without_the_final_slash(oscar: Oscar) -> None:
    for path in ("/config", "/config/"):
        assert oscar.house.gateway.bucket_jobs is not None
        document = (await oscar.system("GET", path)).json()
        assert document["config"]["oidc_groups"] == [""]
        assert document["config"]["name"] == "oscar"
        assert document["minio_provider"]["region"]
        assert document["minio_provider"] == {
            "endpoint": oscar.house.gateway.bucket_jobs.bucket_keys.owner_access().endpoint,
            "verify": True,
            "access_key": "oscar",
            "secret_key": oscar.house.gateway.bucket_jobs.bucket_keys.owner_access().secret_key,
            "region": "us-east-1",
        }
        assert document["allowed_image_repositories"] == []


async def test_status(oscar: Oscar) -> None:
    document = (await oscar.system("GET", "/status")).json()
    assert document["cluster"]["nodes_count"] == 1
    assert document["cluster"]["nodes"][0]["cpu"]["capacity_cores"] >= 1000
    assert document["cluster"]["metrics"]["memory"]["total_free_bytes"] > 0
    assert TIME.fullmatch(document["oscar"]["deployment"]["creation_timestamp"])
    assert document["oscar"]["oidc"] == {"enabled": False, "issuers": [""], "groups": [""]}


async def test_what_there_is_not_is_empty(oscar: Oscar) -> None:
    assert (await oscar.system("GET", "/volumes")).json() == []
    assert (await oscar.system("GET", "/quotas/user")).json()["user_id"] == "oscar"


async def test_metrics(oscar: Oscar) -> None:
    await oscar.run("svc", {})
    document = (await oscar.system("GET", "/metrics")).json()
    assert document["totals"]["requests_count_total"] >= 1
    assert TIME.fullmatch(document["start"])
    items = (await oscar.system("GET", "/metrics/breakdown?group_by=service")).json()["items"]
    assert next(item for item in items if item["key"] == "svc")["requests_count_sync"] >= 1
    answer = await oscar.system("GET", "/metrics/breakdown?group_by=moon")
    assert (answer.status, list(answer.json())) == (400, ["error"])
    document = (await oscar.system("GET", "/metrics/svc?metric=requests-sync-per-service")).json()
    assert [metric["metric"] for metric in document["metrics"]] == ["requests-sync-per-service"]


# Logs


async def test_calls_are_listed_as_jobs_with_their_logs(oscar: Oscar) -> None:
    token = await oscar.deployed("logged")
    assert (await oscar.system("GET", "/logs/logged")).json() == {"jobs": {}}
    await oscar.run("logged", {"mode": "print"}, token=token)
    await oscar.run("logged", {"number": 11}, token=token)
    jobs = (await oscar.system("GET", "/logs/logged?page=")).json()["jobs"]
    assert [job["status"] for job in jobs.values()] == ["Failed", "Succeeded"]
    failed, succeeded = jobs
    assert succeeded.startswith("logged-")
    assert all(TIME.fullmatch(jobs[failed][each]) for each in ("creation_time", "start_time", "finish_time"))
    log = await oscar.system("GET", f"/logs/logged/{succeeded}?timestamps=false")
    assert (log.status, log.type) == (200, "text/plain; charset=utf-8")
    assert "on stdout\n" in log.text
    assert "return: {" in log.text
    assert "number: Must be" in (await oscar.system("GET", f"/logs/logged/{failed}")).text

    assert (await oscar.system("GET", "/logs/logged/nothing")).status == 404
    assert (await oscar.system("GET", f"/logs/svc/{failed}")).status == 404
    assert (await oscar.system("DELETE", "/logs/logged")).status == 204
    assert list((await oscar.system("GET", "/logs/logged")).json()["jobs"]) == [failed]
    assert (await oscar.system("DELETE", f"/logs/logged/{failed}")).status == 204
    assert (await oscar.system("DELETE", f"/logs/logged/{failed}")).status == 404
    await oscar.run("logged", {"number": 11}, token=token)
    assert (await oscar.system("DELETE", "/logs/logged?all=true")).status == 204
    assert (await oscar.system("GET", "/logs/logged")).json() == {"jobs": {}}
    await oscar.system("DELETE", "/services/logged")


async def test_a_running_call_is_listed_as_running(oscar: Oscar) -> None:
    token = await oscar.deployed("running")
    call = asyncio.create_task(oscar.run("running", {"seconds": 30}, token=token))
    await oscar.house.wait_running(1, "running")
    (job,) = (await oscar.system("GET", "/logs/running")).json()["jobs"].values()
    assert job["status"] == "Running"
    assert "finish_time" not in job
    call.cancel()
    async with asyncio.timeout(PATIENCE_S):
        while job["status"] == "Running":
            (job,) = (await oscar.system("GET", "/logs/running")).json()["jobs"].values()
    assert job["status"] == "Failed"
    await oscar.system("DELETE", "/services/running")


async def test_long_lists_come_in_pages(oscar: Oscar) -> None:
    token = await oscar.deployed("many-many-many-many-many-calls")
    for _ in range(75):
        await oscar.run("many-many-many-many-many-calls", {"help": ""}, token=token)
    path = "/logs/many-many-many-many-many-calls"
    first = (await oscar.system("GET", path)).json()
    assert (len(first["jobs"]), first["remaining_jobs"]) == (70, 5)
    assert next(iter(first["jobs"])).startswith("many-many-many-m")
    second = (await oscar.system("GET", f"{path}?page={first['next_page']}")).json()
    assert len(second["jobs"]) == 5
    assert set(second) == {"jobs"}
    assert not set(first["jobs"]) & set(second["jobs"])
    assert (await oscar.system("GET", f"{path}?page=x")).status == 400
    await oscar.system("DELETE", "/services/many-many-many-many-many-calls")


async def test_every_request_is_in_the_log_of_the_system(oscar: Oscar) -> None:
    await oscar.run("svc", {}, token="wrong")
    last = (await oscar.system("GET", "/logs")).json()["logs"][-1]
    assert (last["status"], last["method"], last["path"]) == ("401", "POST", "/run/svc")
    assert set(last) == {"timestamp", "status", "latency", "client_ip", "method", "path", "user", "raw"}


# Pages of other origins


async def test_any_origin_may_call(oscar: Oscar) -> None:
    headers = {"Origin": "https://dashboard.example", "Access-Control-Request-Method": "POST"}
    headers["Access-Control-Request-Headers"] = "authorization, content-type"
    for path, methods in (
        ("/run/svc", "POST, OPTIONS"),
        ("/job/svc", "HEAD, POST, OPTIONS"),
        ("/system/services", "GET, HEAD, POST, PUT, OPTIONS"),
        ("/system/logs/svc/job", "GET, HEAD, DELETE, OPTIONS"),
    ):
        answer = await oscar.house.ask("OPTIONS", path, headers=headers)
        assert (answer.status, answer.body) == (204, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Allow-Methods"] == methods
        assert answer.headers["Access-Control-Allow-Headers"] == "authorization, content-type"
        assert answer.headers["Access-Control-Max-Age"] == "600"
        for token in ({}, {"Authorization": "Bearer wrong"}):
            answer = await oscar.house.get(path, headers=headers | token)
            assert (answer.status, "Access-Control-Allow-Origin" in answer.headers) == (403, False)
        answer = await oscar.house.get(path, headers=headers | {"Authorization": OWNER})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"  # errors, too: pages shall be able to read them
        assert "X-Modelport-Status" in answer.headers["Access-Control-Expose-Headers"]


async def test_origins_can_be_named_or_none(oscar_with: OpenOscar) -> None:
    opened = await oscar_with(cors_origins="https://a.example, https://b.example/")
    asked = {"Access-Control-Request-Headers": "authorization"}
    for origin, allowed in (("https://b.example", True), ("https://c.example", False)):
        answer = await opened.house.ask("OPTIONS", "/run/plugin", headers={"Origin": origin} | asked)
        assert answer.status == 204
        assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
        assert ("Access-Control-Allow-Headers" in answer.headers) is allowed
        assert answer.headers["Vary"] == "Origin"
    closed = await oscar_with(cors_origins="")
    answer = await closed.house.ask("OPTIONS", "/run/plugin", headers={"Origin": "https://a.example"} | asked)
    assert (answer.status, "Access-Control-Allow-Origin" in answer.headers) == (204, False)


async def test_everything_moves_with_the_base_path(oscar_with: OpenOscar) -> None:
    opened = await oscar_with(base_path="/models")
    answer = await opened.house.get("/models/system/info", headers={"Origin": "https://a.example"})
    assert (answer.status, answer.type.partition(";")[0]) == (403, "text/plain")
    assert (await opened.house.post("/models/run/plugin", json={})).status == 200
