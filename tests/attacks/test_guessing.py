"""Wrong secrets, by every way to present one: held back, counted, told without a word of them, and nobody shut out."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from modelport.identity.guesses import Guesses
from modelport.objectstore import sigv4
from modelport.settings import Settings
from modelport.store.deployments import DeploymentRow
from tests.conftest import OpenHouse
from tests.house import Answer, House, wait_until
from tests.oscar.issuer import OTHER_RSA_KEY, Issuer

PLUGIN = "def predict(**k): return 1\n"
PASSWORD = "open sesame"
# The first wrong one waits for ever, a second one of the same address is one too many.
HELD = {"guess_free": 0, "guess_delay_s": 3600.0, "guess_delay_limit_s": 3600.0, "guess_held": 1}
WRONG = "wr0ng-s3cret"


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


Way = Callable[[House, Issuer], Awaitable[Answer]]


def by_header(method: str, path: str, headers: dict[str, str]) -> Way:
    async def present(house: House, issuer: Issuer) -> Answer:
        return await house.ask(method, path, headers=headers)

    return present


def by_form(**fields: str) -> Way:
    async def present(house: House, issuer: Issuer) -> Answer:
        return await house.post("/ui/login", data=fields)

    return present


def by_signature(key: str | None) -> Way:
    """key: None: a key that is somebody's."""

    async def present(house: House, issuer: Issuer) -> Answer:
        assert house.gateway.bucket_jobs is not None
        access = house.gateway.bucket_jobs.bucket_keys.access("x")
        assert access is not None
        url = f"{access.endpoint}/{access.bucket}"
        return await house.get(url, headers=sigv4.sign("GET", url, {}, key or access.access_key, WRONG, "us-east-1"))

    return present


def by_presigned_url() -> Way:
    async def present(house: House, issuer: Issuer) -> Answer:
        assert house.gateway.bucket_jobs is not None
        access = house.gateway.bucket_jobs.bucket_keys.access("x")
        assert access is not None
        url = f"{access.endpoint}/{access.bucket}/outputs/a"
        return await house.get(sigv4.presign("GET", url, access.access_key, WRONG, "us-east-1", 60))

    return present


def by_account(path: str, **claims: Any) -> Way:
    async def present(house: House, issuer: Issuer) -> Answer:
        return await house.get(path, headers=bearer(issuer.token(**claims)))

    return present


# Also where the answer is not 401: it tells as well whether the secret was right.
WAYS: dict[str, Way] = {
    "form, password": by_form(user="oscar", password=WRONG),
    "form, user": by_form(user=WRONG, password=PASSWORD),
    "form, code": by_form(code=WRONG),
    "basic at deployments": by_header("GET", "/deployments", basic("oscar", WRONG)),
    "basic at system": by_header("GET", "/system/services", basic("oscar", WRONG)),
    "basic at modules": by_header("GET", "/modules", basic("oscar", WRONG)),
    "basic at files": by_header("GET", "/files/x", basic("oscar", WRONG)),
    "keys at files": by_header("GET", "/files/x", basic("some-key", WRONG)),
    "basic at webhooks": by_header("GET", "/webhooks/secret", basic("oscar", WRONG)),
    "basic where none is needed": by_header("GET", "/health", basic("oscar", WRONG)),
    "basic at a list": by_header("GET", "/jobs", basic("oscar", WRONG)),
    "basic at the document": by_header("GET", "/openapi.json", basic("oscar", WRONG)),
    "basic at ready": by_header("GET", "/ready", basic("oscar", WRONG)),
    "basic at metrics": by_header("GET", "/metrics", basic("oscar", WRONG)),
    "bearer at deployments": by_header("GET", "/deployments", bearer(WRONG)),
    "bearer at jobs": by_header("GET", f"/jobs/{'0' * 32}", bearer(WRONG)),
    "bearer at plain": by_header("GET", "/svc", bearer(WRONG)),
    "bearer at status": by_header("GET", f"/status/{'0' * 32}", bearer(WRONG)),
    "bearer at deepaas": by_header("POST", "/v2/models/svc/predict/", bearer(WRONG)),
    "bearer at run": by_header("POST", "/run/svc", bearer(WRONG)),
    "bearer at job": by_header("POST", "/job/svc", bearer(WRONG)),
    "bearer at code": by_header("POST", "/ui/code", bearer(WRONG)),
    "bearer that is no account's": by_header("GET", "/system/services", bearer(WRONG)),
    "bearer from another page": by_header("GET", "/health", {**bearer(WRONG), "Origin": "https://evil.example"}),
    "account, expired": by_account("/system/services", exp=1),
    "account, of another issuer": by_account("/system/services", iss="https://evil.example"),
    "account, expired, at run": by_account("/system/info", exp=1),
    "signature": by_signature(None),
    "signature of an unknown key": by_signature("nobody"),
    "presigned URL": by_presigned_url(),
}


@contextlib.asynccontextmanager
async def held(house: House, present: Awaitable[Answer], source: str = "127.0.0.1") -> AsyncIterator[None]:
    """While its answer is held back. source: by what its address is counted."""
    guesses = house.gateway.guesses
    waiting = asyncio.ensure_future(present)
    await wait_until(lambda: guesses._held[source] or waiting.done())
    assert not waiting.done(), waiting.result()
    try:
        yield
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


@pytest.mark.slow
async def test_each_way_is_slowed_counted_and_not_shown_and_the_owner_comes_in(
    house: OpenHouse, caplog: pytest.LogCaptureFixture
) -> None:
    async with Issuer() as issuer:
        opened = await house(PLUGIN, password=PASSWORD, oidc_issuers=issuer.url, trusted_proxies="127.0.0.1", **HELD)
        module = str(opened.folder / "plugins" / "plugin_0.py")
        await opened.gateway.services.deploy(DeploymentRow("svc", module))
        for number, (name, way) in enumerate(WAYS.items()):
            opened.session.headers["X-Forwarded-For"] = f"192.0.2.{number}"
            async with held(opened, way(opened, issuer), f"192.0.2.{number}"):
                refused = await way(opened, issuer)
                assert (refused.status, refused.headers.get("Retry-After")) == (429, "3600"), name
                for right in (bearer(opened.gateway.owner.token), basic("oscar", PASSWORD)):
                    assert (await opened.get("/deployments", headers=right)).status == 200, name
        opened.gateway.guesses.close()
    told = [line for line in caplog.messages if "wrong tokens" in line]
    line = "2 wrong tokens, passwords, codes or signatures came from 192.0.2.{} within 60 s"
    assert told == [line.format(number) for number in range(len(WAYS))]
    assert WRONG not in caplog.text


async def test_what_is_not_a_guess_is_not_held_back(house: OpenHouse) -> None:
    opened = await house(PLUGIN, **HELD)
    module = str(opened.folder / "plugins" / "plugin_0.py")
    one, two = [await opened.gateway.services.deploy(DeploymentRow(name, module)) for name in ("one", "two")]
    for path, headers, status in (
        ("/deployments", {}, 401),
        ("/one", {}, 401),
        ("/one", bearer(two.token), 401),  # right, and not for this
        ("/v2/models/", bearer("not needed"), 200),
        ("/x", bearer("not needed"), 200),
        ("/nowhere", bearer(opened.gateway.owner.token), 404),
        ("/deployments", {"Origin": "https://evil.example"}, 403),
        ("/deployments", {"Host": "evil.example"}, 403),
    ):
        assert (await opened.get(path, headers=headers)).status == status, path
    assert one.token != two.token


async def test_one_addresss_mistakes_are_not_anothers_behind_a_named_proxy(house: OpenHouse) -> None:
    opened = await house(PLUGIN, trusted_proxies="127.0.0.1", **HELD)

    def guess(address: str) -> Awaitable[Answer]:
        return opened.get("/deployments", headers={**bearer(WRONG), "X-Forwarded-For": address})

    async with held(opened, guess("192.0.2.1"), "192.0.2.1"):
        assert (await guess("192.0.2.1")).status == 429
        async with held(opened, guess("192.0.2.2"), "192.0.2.2"):
            pass
        async with held(opened, guess("2001:db8:0:1::1"), "2001:db8:0:1::/64"):
            assert (await guess("2001:db8:0:1:ffff::2")).status == 429  # the same network, so the same customer


async def test_whoever_is_no_proxy_cannot_say_who_they_are(house: OpenHouse) -> None:
    opened = await house(PLUGIN, **HELD)
    async with held(opened, opened.get("/deployments", headers={**bearer(WRONG), "X-Forwarded-For": "192.0.2.1"})):
        other = {**bearer(WRONG), "X-Forwarded-For": "192.0.2.2"}
        assert (await opened.get("/deployments", headers=other)).status == 429


async def test_the_answer_that_is_one_too_many_ends_the_connection_and_has_the_doors_shape(house: OpenHouse) -> None:
    opened = await house(PLUGIN, **HELD)
    assert opened.gateway.bucket_jobs is not None
    access = opened.gateway.bucket_jobs.bucket_keys.access("x")
    assert access is not None
    async with held(opened, opened.get("/deployments", headers=bearer(WRONG))):
        refused = await opened.get("/deployments", headers=bearer(WRONG))
        assert (refused.headers["Connection"], refused.json()["error"]) == ("close", "overloaded")
        assert "detail" in (await opened.get(f"/status/{'0' * 32}", headers=basic("oscar", WRONG))).json()
        assert (await opened.get("/system/info", headers=bearer(WRONG))).type.startswith("text/plain")
        page = await opened.post("/ui/login", data={"user": "oscar", "password": WRONG})
        assert page.type.startswith("text/html")
        url = f"{access.endpoint}/{access.bucket}"
        signed = sigv4.sign("GET", url, {}, access.access_key, WRONG, "us-east-1")
        assert "<Code>TooManyRequests</Code>" in (await opened.get(url, headers=signed)).text


async def test_delays_grow_up_to_a_limit_and_all_addresses_together_have_one_too() -> None:
    table = Settings(guess_free=2, guess_delay_s=1.0, guess_delay_limit_s=5.0)
    guesses = Guesses(table)
    assert [guesses._delay_s(number) for number in (1, 2, 3, 4, 5, 6, 1000)] == [0, 0, 1, 2, 4, 5, 5]
    patient = Guesses(Settings(guess_free=0, guess_delay_s=3600.0, guess_delay_limit_s=3600.0, guess_held_total=3))
    waiting = [asyncio.create_task(patient.wrong(f"192.0.2.{number}")) for number in range(3)]
    await wait_until(lambda: patient._held.total() == 3)
    begun = time.monotonic()
    with pytest.raises(Exception, match="Too many wrong"):
        await patient.wrong("192.0.2.9")
    assert time.monotonic() - begun < 60
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert not patient._held


async def test_a_code_is_still_good_after_wrong_ones(house: OpenHouse) -> None:
    opened = await house(PLUGIN, **HELD)
    link = await opened.post("/ui/code", headers=bearer(opened.gateway.owner.token))
    code = urlsplit(link.json()["url"]).query.removeprefix("code=")
    async with held(opened, opened.post("/ui/login", data={"code": WRONG})):
        assert (await opened.post("/ui/login", data={"code": code})).status == 303


async def test_an_account_that_is_right_is_answered_at_once(house: OpenHouse) -> None:
    async with Issuer() as issuer:
        opened = await house(PLUGIN, oidc_issuers=issuer.url, **HELD)
        async with held(opened, by_account("/system/services", key=OTHER_RSA_KEY)(opened, issuer)):
            assert (await opened.get("/system/services", headers=bearer(issuer.token()))).status == 200
