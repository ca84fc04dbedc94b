"""The plain door's jobs: `POST /<name>/async`, `GET /status/<id>`, `GET /results/<id>`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.house import PATIENCE_S, Answer
from tests.plain.conftest import Doors, bearer

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def begin(doors: Doors, path: str = "/everything/async", **options: Any) -> Any:
    answer = await doors.post(path, **options)
    assert answer.status == 202, answer.text
    return answer.json()


async def result(doors: Doors, job: Any, **options: Any) -> Answer:
    """What it gave, when it has ended."""
    async with asyncio.timeout(PATIENCE_S):
        while (answer := await doors.get(job["result_url"], **options)).status == 409:
            await asyncio.sleep(0.005)
    return answer


async def test_a_job_is_begun_asked_for_and_fetched(doors: Doors) -> None:
    answer = await doors.post("/everything/async", json={"word": "a"})
    job = answer.json()
    assert (answer.status, answer.headers["Location"], answer.headers["Retry-After"]) == (202, job["status_url"], "1")
    assert job == {
        "job_id": job["job_id"],
        "status": job["status"],
        "status_url": f"/status/{job['job_id']}",
        "result_url": f"/results/{job['job_id']}",
    }
    usual = await doors.post("/everything", json={"word": "a"})
    found = await result(doors, job)
    assert (found.status, found.body, found.type) == (200, usual.body, usual.type)
    status = (await doors.get(job["status_url"])).json()
    assert status == {**job, "status": "succeeded", "progress": None, "message": "", "error": None}
    assert (await doors.get(f"/jobs/{job['job_id']}")).json()["source"] == "plain"


async def test_what_is_not_there_yet_says_so(doors: Doors) -> None:
    # The service has one worker; what it does first holds up the second.
    headers = bearer(doors.token)
    jobs = [await begin(doors, "/svc/async", json={"mode": "die"}, headers=headers) for _ in range(3)]
    answer = await doors.get(jobs[-1]["result_url"], headers=headers)
    assert (answer.status, answer.headers["Retry-After"]) == (409, "1")
    assert "ask again" in answer.json()["detail"]
    for job in jobs:
        answer = await result(doors, job, headers=headers)
        assert (answer.status, "exit" in answer.json()["detail"]) == (500, True)
        status = (await doors.get(job["status_url"], headers=headers)).json()
        assert (status["status"], status["error"]) == ("failed", answer.json()["detail"])


async def test_files_come_and_go_as_in_any_call(doors: Doors) -> None:
    job = await begin(doors, data={"mode": "named", "accept": "application/pdf"})
    found = await result(doors, job)
    assert (found.body, found.type) == (b"%PDF-1.7 named", "application/pdf")
    assert found.headers["Content-Disposition"].startswith("inline; filename=")
    page = await result(doors, await begin(doors, json={"accept": "text/html"}))
    assert page.headers["Content-Security-Policy"] == "sandbox"
    look = await doors.ask("HEAD", job["result_url"])
    assert (look.status, look.type, look.body) == (200, "application/pdf", b"")


async def test_what_is_wrong_has_the_shape_of_the_call(doors: Doors) -> None:
    at_once = await doors.post("/everything/async", json={"wrod": "a"})
    assert (at_once.status, at_once.json()["detail"][0]["type"]) == (422, "extra_forbidden")
    for body in ({"count": 99, "secret": "x"}, {"mode": "refuse", "word": "a"}, {"mode": "refuse all"}):
        usual = await doors.post("/everything", json=body)
        found = await result(doors, await begin(doors, json=body))
        assert (found.status, found.json()) == (usual.status, usual.json())


async def test_the_same_key_is_the_same_job(doors: Doors) -> None:
    headers = {"Idempotency-Key": "plain"}
    first, again = [await begin(doors, json={"word": "a"}, headers=headers) for _ in range(2)]
    assert first["job_id"] == again["job_id"]
    answer = await doors.post("/everything/async", json={"word": "b"}, headers=headers)
    assert (answer.status, "detail" in answer.json()) == (409, True)


async def test_strangers_learn_nothing(doors: Doors) -> None:
    job = await begin(doors, "/svc/async", json={}, headers=bearer(doors.token))
    for path in (job["status_url"], job["result_url"], f"/status/{'0' * 32}"):
        for headers, said in (({}, "Not authenticated"), (bearer("wrong"), "Invalid or missing token")):
            answer = await doors.get(path, headers=headers)
            assert (answer.status, answer.json()) == (401, {"detail": said})
    assert (await doors.post("/svc/async", json={})).status == 401
    missing = await doors.get(f"/status/{'0' * 32}", headers=bearer(doors.token))
    assert (missing.status, list(missing.json())) == (404, ["detail"])


async def test_only_what_makes_sense_is_allowed(doors: Doors) -> None:
    for method, path, allowed in (
        ("GET", "/everything/async", "POST, OPTIONS"),
        ("POST", f"/status/{'0' * 32}", "GET, HEAD, OPTIONS"),
        ("DELETE", f"/results/{'0' * 32}", "GET, HEAD, OPTIONS"),
    ):
        answer = await doors.ask(method, path)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)
        assert answer.json() == {"detail": "Method Not Allowed"}
    answer = await doors.ask("OPTIONS", "/everything/async")
    assert (answer.status, answer.headers["Allow"]) == (204, "POST, OPTIONS")
    # Other doors' names have no such thing.
    assert (await doors.post("/deployments/async", headers=bearer(doors.owner))).status == 405
