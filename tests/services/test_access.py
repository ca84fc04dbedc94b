"""Who may do what: the owner all, a service's token that service, a stranger nothing."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path

import pytest

from modelport.identity.owner import Owner as Secrets
from modelport.settings import Settings
from modelport.store import Store
from tests.house import open_house
from tests.services.conftest import PLAIN, OpenOwner, Owner

ROUTES = [
    ("GET", "/deployments"),
    ("POST", "/deployments"),
    ("GET", "/deployments/one"),
    ("PATCH", "/deployments/one"),
    ("DELETE", "/deployments/one"),
    ("POST", "/deployments/one/token"),
    ("GET", "/deployments/one/log"),
    ("GET", "/deployments/none"),
]


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_whoever_may_call_a_service_may_know_what_it_takes(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy(name="one")
    for headers, status in (
        (bearer(row["token"]), 200),
        (bearer(opened.token), 200),
        (bearer("wrong"), 401),
        ({}, 401),
    ):
        answer = await opened.house.ask("GET", "/deployments/one/card", headers=headers)
        assert answer.status == status
        assert (await opened.house.ask("GET", "/deployments/two/card", headers=bearer(row["token"]))).status == 401


async def test_only_the_owner_manages(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy(name="one")
    strangers = [
        {},
        bearer(""),
        bearer("wrong"),
        bearer(row["token"]),
        bearer(opened.password),
        basic("oscar", "wrong"),
        basic("oscar", opened.token),
        basic("other", opened.password),
        basic("", ""),
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()},
        {"Authorization": "Bearer \udcff"},
    ]
    for method, path in ROUTES:
        for headers in strangers:
            answer = await opened.house.ask(method, path, headers=headers, json={"module": "my_model"})
            assert (answer.status, answer.json()["error"]) == (401, "unauthorized"), (method, path, headers)
            assert "WWW-Authenticate" in answer.headers
    assert [each.name for each in opened.services.list()] == ["one"]
    for headers in (bearer(opened.token), basic("oscar", opened.password)):
        answer = await opened.house.get("/deployments/one", headers=headers)
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")


async def test_a_servers_token_is_the_owners(owner: OpenOwner) -> None:
    opened = await owner(token="secret", password="word")
    assert (await opened.house.get("/deployments", headers=bearer("secret"))).status == 200
    assert (await opened.house.get("/deployments", headers=basic("oscar", "word"))).status == 200


async def test_browsers_have_a_limit_and_the_oldest_makes_room(owner: OpenOwner) -> None:
    opened = await owner(sessions_limit=2)
    sessions = opened.house.gateway.sessions
    browsers = [await sessions.open() for _ in range(3)]
    assert [sessions.holds(browser) for browser in browsers] == [False, True, True]


async def test_a_services_token_opens_that_service_alone(owner: OpenOwner) -> None:
    opened = await owner()
    one, two = [await opened.deploy(name=name) for name in ("one", "two")]
    for token, name, status in (
        (one["token"], "one", 200),
        (one["token"], "two", 401),
        (opened.token, "two", 200),
        (two["token"], "none", 401),
        (opened.token, "none", 404),
        ("", "one", 401),
        ("", "none", 401),  # the same for one that is not there
    ):
        for path in (f"/v2/models/{name}/predict/", f"/v2/models/{name}/"):
            method = "POST" if path.endswith("predict/") else "GET"
            answer = await opened.house.ask(method, path, headers=bearer(token) if token else {})
            assert answer.status == status, (token, name)
    # A service's page has no list of its trainings for others either.
    assert (await opened.house.get("/v2/models/one/train/", headers=bearer(two["token"]))).status == 401


async def test_lists_show_what_the_caller_may_know(tmp_path: Path) -> None:
    async with open_house(tmp_path, {"open": PLAIN}) as house:
        opened = Owner(house)
        row = await opened.deploy(name="one")
        await opened.deploy(name="two")
        await opened.wait_loaded("one")
        await opened.wait_loaded("two")

        async def listed(headers: dict[str, str]) -> tuple[set[str], set[str]]:
            models = (await house.get("/v2/models/", headers=headers)).json()["models"]
            paths = (await house.get("/swagger.json", headers=headers)).json()["paths"]
            ready = (await house.get("/ready", headers=headers)).json()["deployments"]
            found = {model["links"][0]["href"].rsplit("/", 1)[1] for model in models}
            assert set(ready) == found
            return found, {path.split("/")[3] for path in paths if path.startswith("/v2/models/") and path[11:]}

        assert await listed({}) == ({"open"}, {"open"})
        assert await listed(bearer(row["token"])) == ({"open", "one"}, {"open", "one"})
        assert await listed(bearer(opened.token)) == ({"open", "one", "two"}, {"open", "one", "two"})
        assert (await house.predict(name="open")).status == 200


async def test_with_a_servers_token_nothing_is_open(tmp_path: Path) -> None:
    async with open_house(tmp_path, {"open": PLAIN}, token="secret") as house:
        opened = Owner(house)
        row = await opened.deploy(name="one")
        for headers, status in (({}, 401), (bearer("wrong"), 401), (bearer("secret"), 200)):
            assert (await house.get("/v2/models/", headers=headers)).status == status
            assert (await house.predict(name="open", headers=headers)).status == status
        assert (await house.predict(name="one", headers=bearer(row["token"]))).status == 200
        assert (await house.predict(name="open", headers=bearer(row["token"]))).status == 401
        models = (await house.get("/v2/models/", headers=bearer(row["token"]))).json()["models"]
        assert [model["links"][0]["href"] for model in models] == ["/v2/models/one"]


async def test_without_services_a_name_that_is_not_there_is_not_there(tmp_path: Path) -> None:
    async with open_house(tmp_path, {"open": PLAIN}) as house:
        assert (await house.predict(name="none")).status == 404


@pytest.mark.parametrize("given", ["", "x", "oscar", "\udcff", "é"])
async def test_secrets_are_compared_whole(tmp_path: Path, given: str) -> None:
    async with await Store.open(tmp_path / "store.sqlite") as store:
        secrets = Secrets(dataclasses.replace(Settings(), password="pässword"), store)
        assert not secrets.has_token(given)  # none is there yet
        await secrets.restore()
        assert not secrets.has_token(given) and secrets.has_token(secrets.token)
        assert not secrets.has_password("oscar", given) and not secrets.has_password(given + "-", "pässword")
        assert secrets.has_password("oscar", "pässword")
