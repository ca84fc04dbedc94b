"""Shared links: a token that calls one service until a time, and does nothing else."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from modelport.store.links import LinkRow, add_link, list_links
from tests.house import PATIENCE_S, POLL_S, Answer, open_house, wait_until
from tests.services.conftest import PLAIN, OpenOwner, Owner

pytestmark = pytest.mark.slow

DAY_S = 86400.0


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def share(opened: Owner, name: str, **options: Any) -> Any:
    answer = await opened.ask("POST", f"/deployments/{name}/links", json=options)
    assert answer.status == 201, answer.text
    return answer.json()


async def links(opened: Owner, name: str) -> Any:
    return (await opened.ask("GET", f"/deployments/{name}/links")).json()


async def call(opened: Owner, name: str, token: str, **options: Any) -> Answer:
    return await opened.house.post(f"/{name}", json={}, headers={**bearer(token), **options})


async def wait_counted(opened: Owner, calls: int) -> None:
    """Until the store has it."""
    store = opened.house.server.store
    assert store is not None
    async with asyncio.timeout(PATIENCE_S):
        while [row.calls for row in await store.read(list_links)] != [calls]:
            await asyncio.sleep(POLL_S)


async def test_a_link_calls_its_service_until_it_is_revoked(owner: OpenOwner) -> None:
    opened = await owner()
    for name in ("one", "two"):
        await opened.deploy(name=name)
    link = await share(opened, "one", note="for Anna")
    token = link["token"]
    assert link["url"] == f"{opened.house.url}/ui/shared/one#{token}"
    assert link["endpoint"] == f"{opened.house.url}/run/one"
    for path in ("/one", "/v2/models/one/predict/", "/run/one"):
        assert (await opened.house.post(path, json={}, headers=bearer(token))).status == 200
    assert (await opened.house.get("/deployments/one/card", headers=bearer(token))).status == 200
    for path in ("/two", "/v2/models/two/predict/", "/run/two", "/nowhere"):
        assert (await opened.house.post(path, json={}, headers=bearer(token))).status == 401
    [listed] = await links(opened, "one")
    assert (listed["note"], listed["state"], listed["calls"], listed["calls_limit"]) == ("for Anna", "valid", 3, None)
    assert not {"token", "url", "digest"} & set(listed)
    assert await links(opened, "two") == []
    assert (await opened.ask("DELETE", f"/deployments/two/links/{link['id']}")).status == 404
    assert (await opened.ask("DELETE", f"/deployments/one/links/{link['id']}")).status == 204
    assert (await call(opened, "one", token)).status == 401
    assert await links(opened, "one") == []


async def test_a_link_and_its_calls_outlive_the_server(owner: OpenOwner) -> None:
    opened = await owner()
    await opened.deploy(name="one")
    token = (await share(opened, "one", calls_limit=2))["token"]
    assert (await call(opened, "one", token)).status == 200
    await wait_counted(opened, 1)
    store = opened.house.home / "store.sqlite"
    opened = await owner()
    assert token.encode() not in store.read_bytes()
    assert (await call(opened, "one", token)).status == 200
    refused = await call(opened, "one", token)
    assert refused.status == 403
    assert "this link was for 2 calls, and all have been made" in refused.text
    [listed] = await links(opened, "one")
    assert (listed["state"], listed["calls"]) == ("used up", 2)
    # What it has led to can still be looked at.
    assert (await opened.house.get("/jobs", headers=bearer(token))).status == 200


async def test_calls_at_once_do_not_pass_the_limit(owner: OpenOwner) -> None:
    opened = await owner()
    await opened.deploy(name="one")
    token = (await share(opened, "one", calls_limit=3))["token"]
    answers = await asyncio.gather(*(call(opened, "one", token) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200] * 3 + [403] * 5


async def test_an_ended_link_is_told_so_everywhere_and_is_forgotten_in_the_end(owner: OpenOwner) -> None:
    opened = await owner()
    await opened.deploy(name="one")
    token = (await share(opened, "one", until="1m"))["token"]
    gateway, store = opened.house.gateway, opened.house.server.store
    assert store is not None
    [row] = gateway.links.of("one")
    gateway.links._rows[row.id] = LinkRow(**{**vars(row), "ends": time.time() - 1})
    for path in ("/one", "/v2/models/one/predict/", "/run/one", "/v1/embeddings", "/v2/models/one/infer"):
        answer = await opened.house.post(path, json={"model": "one", "input": "a"}, headers=bearer(token))
        assert answer.status == 401
        assert "this link ended on 20" in answer.text and "ask for a new one" in answer.text, path
    assert (await opened.house.get("/jobs", headers=bearer(token))).status == 401
    assert [each["state"] for each in await links(opened, "one")] == ["expired"]
    old = LinkRow("old", "one", "0", "", 0.0, time.time() - opened.house.server.settings.link_kept_s - 1)
    await store.write(add_link, old)
    opened = await owner()
    assert [each["id"] for each in await links(opened, "one")] == [row.id]


async def test_a_link_sees_the_jobs_that_it_made_and_no_others(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy(name="one")
    mine, other = [(await share(opened, "one"))["token"] for _ in range(2)]

    async def job(token: str, path: str = "/one") -> str:
        headers = {**bearer(token), "Prefer": "respond-async", "Idempotency-Key": "the same"}
        answer = await opened.house.post(path, json={}, headers=headers)
        assert answer.status == 202, answer.text
        return str(answer.json()["id"])

    jobs = {token: await job(token) for token in (mine, other, row["token"])}
    assert len(set(jobs.values())) == 3  # the same key is another's job
    assert await job(mine, "/v2/models/one/predict/") == jobs[mine]  # and the same call is the same job
    for path in ("/jobs", "/jobs?deployment=one"):
        listed = (await opened.house.get(path, headers=bearer(mine))).json()["jobs"]
        assert [each["id"] for each in listed] == [jobs[mine]]
    for path in ("/run/one", "/job/one", "/one/async"):
        answer = await opened.house.post(path, json={}, headers={**bearer(mine), "Prefer": "respond-async"})
        location = answer.headers["Location"].replace("/status/", "/jobs/")
        for token, status in ((mine, 200), (other, 404), (row["token"], 200)):
            assert (await opened.house.get(location, headers=bearer(token))).status == status
        assert (await opened.house.ask("DELETE", location, headers=bearer(mine))).status in (200, 204)
    for ending in ("", "/log", "/events"):
        assert (await opened.house.get(f"/jobs/{jobs[mine]}{ending}", headers=bearer(mine))).status == 200
        for others in (jobs[other], jobs[row["token"]]):
            assert (await opened.house.get(f"/jobs/{others}{ending}", headers=bearer(mine))).status == 404
    assert (await opened.house.ask("DELETE", f"/jobs/{jobs[other]}", headers=bearer(mine))).status == 404
    assert (await opened.house.ask("DELETE", f"/jobs/{jobs[mine]}", headers=bearer(mine))).status == 204
    # The service's own token, and the owner, see them all.
    listed = (await opened.house.get("/jobs", headers=bearer(row["token"]))).json()["jobs"]
    assert {jobs[other], jobs[row["token"]]} <= {each["id"] for each in listed}


async def test_a_stream_of_events_ends_with_its_link(owner: OpenOwner) -> None:
    opened = await owner(heartbeat_s=0.05)
    await opened.deploy(name="one")
    link = await share(opened, "one")
    headers = {**bearer(link["token"]), "Prefer": "respond-async"}
    answer = await opened.house.post("/one", json={"seconds": 600}, headers=headers)
    events = opened.house.get(f"{answer.headers['Location']}/events", headers=headers)
    following = asyncio.create_task(events)
    await wait_until(lambda: opened.house.gateway.streams._open == 1)
    assert (await opened.ask("DELETE", f"/deployments/one/links/{link['id']}")).status == 204
    async with asyncio.timeout(PATIENCE_S):
        assert (await following).status == 200


async def test_a_link_goes_with_its_service(owner: OpenOwner) -> None:
    opened = await owner()
    await opened.deploy(name="one")
    token = (await share(opened, "one"))["token"]
    assert (await opened.ask("DELETE", "/deployments/one")).status == 204
    await opened.deploy(name="one")
    assert (await call(opened, "one", token)).status == 401
    assert await links(opened, "one") == []
    store = opened.house.server.store
    assert store is not None and await store.read(list_links) == []


async def test_a_link_is_not_inherited_by_a_later_service_of_the_name(tmp_path: Path) -> None:
    settings = {"home": tmp_path / "home"}
    async with open_house(tmp_path / "1", {"one": PLAIN}, token="secret", **settings) as house:
        token = (await share(Owner(house), "one"))["token"]
        assert (await house.post("/one", json={}, headers=bearer(token))).status == 200
    async with open_house(tmp_path / "2", {}, **settings) as house:
        opened = Owner(house)
        await opened.deploy(name="one")
        assert (await call(opened, "one", token)).status == 401
        assert await links(opened, "one") == []
        trial = await opened.deploy(name="two", temporary=True)
        refused = await opened.ask("POST", f"/deployments/{trial['name']}/links", json={})
        assert (refused.status, refused.json()["error"]) == (409, "conflict")


@pytest.mark.parametrize("elsewhere", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
async def test_a_token_lets_pages_of_elsewhere_only_where_it_opens(tmp_path: Path, elsewhere: dict[str, str]) -> None:
    """What is named on the command line of a server without a token is open, but not to them."""
    async with open_house(tmp_path, {"open": PLAIN}) as house:
        opened = Owner(house)
        row = await opened.deploy(name="one")
        link = (await share(opened, "one"))["token"]
        for token, headers in (("", {}), (link, {}), (row["token"], {})):
            assert (await house.post("/open", json={}, headers={**headers, **bearer(token)})).status == 200
        for token in (link, row["token"]):
            assert (await call(opened, "one", token, **elsewhere)).status == 200
            assert (await call(opened, "open", token, **elsewhere)).status in (401, 403)
            listed = await house.get("/v2/models/", headers={**bearer(token), **elsewhere})
            assert "open" not in [model["id"] for model in listed.json()["models"]]
        assert (await call(opened, "open", opened.token, **elsewhere)).status == 200
        assert (await house.get("/metrics", headers={**bearer(link), **elsewhere})).status == 403
        [made] = opened.house.gateway.links.of("one")
        opened.house.gateway.links._rows[made.id] = LinkRow(**{**vars(made), "ends": time.time() - 1})
        for path in ("/open", "/one", "/metrics", "/openapi.json", "/events"):
            answer = await house.get(path, headers={**bearer(link), **elsewhere})
            assert answer.status in (401, 403), path


async def test_a_link_may_not_ask_for_objects_of_the_bucket(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy(name="one")
    token = (await share(opened, "one"))["token"]
    event = {"Records": [{"eventName": "s3:ObjectCreated:Put", "eventSource": "minio:s3"}]}
    event["Records"][0]["s3"] = {"bucket": {"name": row["bucket"]["bucket"]}, "object": {"key": "inputs/a"}}  # type: ignore[assignment]
    assert (await opened.house.post("/job/one", json=event, headers=bearer(token))).status == 403


async def test_what_a_link_cannot_be_is_said(owner: OpenOwner) -> None:
    opened = await owner()
    await opened.deploy(name="one")
    for sent, named in (
        *(({"until": until}, "until") for until in ("soon", "0d", "2020-01-01", "91d", "9999-12-31", 7)),
        *(({"calls_limit": limit}, "calls_limit") for limit in (0, "many")),
        ({"note": "x" * 201}, "note"),
        ({"scope": "all"}, ""),
    ):
        answer = await opened.ask("POST", "/deployments/one/links", json=sent)
        assert answer.status == 422, answer.text
        assert list(answer.json().get("fields", {})) == ([named] if named else []), sent
    assert await links(opened, "one") == []


async def test_the_settings_say_how_long_and_how_many(owner: OpenOwner) -> None:
    opened = await owner(link_s=5 * DAY_S, link_limit_s=2 * DAY_S, links_limit=2)
    await opened.deploy(name="one")
    now = time.time()
    await share(opened, "one")
    [row] = opened.house.gateway.links.of("one")
    assert row.ends == pytest.approx(now + 2 * DAY_S, abs=PATIENCE_S)
    assert (await opened.ask("POST", "/deployments/one/links", json={"until": "3d"})).status == 422
    await share(opened, "one", until="2d")
    refused = await opened.ask("POST", "/deployments/one/links", json={})
    assert (refused.status, refused.json()["error"]) == (409, "conflict")
    assert (await opened.ask("POST", "/deployments/none/links", json={})).status == 404


async def test_a_right_token_at_a_wrong_place_is_not_a_guess(owner: OpenOwner) -> None:
    opened = await owner(guess_free=1, guess_delay_s=60.0)
    await opened.deploy(name="one")
    token = (await share(opened, "one"))["token"]
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(4):
            assert (await opened.house.get("/deployments", headers=bearer(token))).status == 401
