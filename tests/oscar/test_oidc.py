"""Account tokens, with an issuer of our own (contract, section 3)."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
import pytest_asyncio

from modelport.identity import oidc
from tests.oscar.conftest import DEMO_APP, OpenOscar, Oscar, definition, returned
from tests.oscar.issuer import EC_KEY, OTHER_RSA_KEY, RSA_KEY, SECRET, Issuer, published

pytestmark = pytest.mark.asyncio(loop_scope="package")

URN = "urn:mace:egi.eu:group:vo.example.eu:role=member#aai.egi.eu"
NEVER_HOME = "http://127.0.0.1:9/realms/egi"


@pytest_asyncio.fixture(loop_scope="package")
async def issuer() -> AsyncIterator[Issuer]:
    async with Issuer() as opened:
        yield opened


async def open_for(issuer: Issuer, oscar_with: OpenOscar, **settings: Any) -> Oscar:
    return await oscar_with(oidc_issuers=f"{NEVER_HOME}, {issuer.url}", oidc_audience="modelport", **settings)


def bearer(token: str) -> dict[str, Any]:
    return {"auth": f"Bearer {token}"}


async def test_an_account_deploys_calls_and_undeploys(issuer: Issuer, oscar_with: OpenOscar) -> None:
    """As PAPI does it."""
    oscar = await open_for(issuer, oscar_with)
    me = bearer(issuer.token())
    assert (await oscar.system("GET", "/services", **me)).json() == []
    mine = definition("ai4papi-mine", allowed_users=["me@egi.eu"])
    assert (await oscar.system("POST", "/services", json=mine, **me)).status == 201
    document = (await oscar.system("GET", "/services/ai4papi-mine", **me)).json()
    assert (document["owner"], document["labels"]["uid"], len(document["token"])) == ("me@egi.eu", "me@egi.eu", 64)
    assert [each["name"] for each in (await oscar.system("GET", "/services", **me)).json()] == ["ai4papi-mine"]
    assert returned(await oscar.run("ai4papi-mine", {}, token=issuer.token()))
    assert returned(await oscar.run("ai4papi-mine", {}, token=document["token"]))
    assert len((await oscar.system("GET", "/logs/ai4papi-mine", **me)).json()["jobs"]) == 2
    assert (await oscar.system("GET", "/config", **me)).status == 200
    assert (await oscar.system("GET", "/logs", **me)).status == 403
    assert (await oscar.system("PUT", "/services", json=mine, **me)).status == 204
    assert (await oscar.system("DELETE", "/services/ai4papi-mine", **me)).status == 204


async def test_who_sees_and_may_change_what(issuer: Issuer, oscar_with: OpenOscar) -> None:
    oscar = await open_for(issuer, oscar_with)
    me, other, third = (bearer(issuer.token(f"{each}@egi.eu")) for each in ("me", "other", "third"))
    for visibility in ("private", "restricted", "public"):
        body = definition(visibility, visibility=visibility, allowed_users=["other@egi.eu"])
        assert (await oscar.system("POST", "/services", json=body, **me)).status == 201

    async def sees(who: dict[str, Any]) -> list[str]:
        return [each["name"] for each in (await oscar.system("GET", "/services", **who)).json()]

    assert await sees(me) == ["private", "public", "restricted"]
    assert await sees(other) == ["public", "restricted"]
    assert await sees(third) == ["public"]
    assert len(await sees({})) == 4
    assert (await oscar.system("GET", "/services/private", **other)).status == 403
    assert (await oscar.system("GET", "/services/public", **third)).json()["token"] == ""
    assert (await oscar.system("GET", "/logs/private", **third)).status == 403
    for name in ("private", "public"):
        for answer in (
            await oscar.system("DELETE", f"/services/{name}", **other),
            await oscar.system("PUT", "/services", json=definition(name), **other),
        ):
            assert (answer.status, answer.text) == (403, f"the service {name} is not yours")
    token = issuer.token("third@egi.eu")
    assert (await oscar.run("public", {}, token=token)).status == 200
    assert (await oscar.run("restricted", {}, token=token)).status == 404
    assert (await oscar.run("nobody", {}, token=token)).status == 404
    assert (await oscar.job("public", {}, token=token)).status == 201
    assert (await oscar.job("restricted", {}, token=token)).status == 404
    # Of the calls and jobs of a public service, others see their own; its owner sees all.
    await oscar.run("public", {}, token=issuer.token())
    assert (await oscar.job("public", {}, token=issuer.token())).status == 201
    assert len((await oscar.system("GET", "/logs/public", **me)).json()["jobs"]) == 4
    mine = (await oscar.system("GET", "/logs/public", **third)).json()["jobs"]
    assert len(mine) == 2
    others = set((await oscar.system("GET", "/logs/public", **me)).json()["jobs"]) - set(mine)
    for job in others:
        assert (await oscar.system("GET", f"/logs/public/{job}", **third)).status == 404
        assert (await oscar.system("DELETE", f"/logs/public/{job}", **third)).status == 404
    assert (await oscar.system("DELETE", "/logs/public?all=1", **third)).status == 204
    assert set((await oscar.system("GET", "/logs/public", **me)).json()["jobs"]) == others


async def test_an_account_gets_no_code_of_its_own_into_the_server(issuer: Issuer, oscar_with: OpenOscar) -> None:
    oscar = await open_for(issuer, oscar_with)
    me = bearer(issuer.token())
    answer = await oscar.system("POST", "/services", json=definition("evil", module=DEMO_APP), **me)
    assert answer.status == 403
    for name in ("LD_PRELOAD", "PYTHONPATH", "PATH", "MODELPORT_TOKEN"):
        body = definition("evil", environment={"variables": {name: "/tmp"}})
        answer = await oscar.system("POST", "/services", json=body, **me)
        assert (answer.status, name in answer.text) == (400, True)


async def test_an_account_does_not_take_all_of_the_server(issuer: Issuer, oscar_with: OpenOscar) -> None:
    oscar = await open_for(issuer, oscar_with, max_workers=2, account_services=1)
    me = bearer(issuer.token())
    body = definition("many", synchronous={"min_scale": 0, "max_scale": 900})
    answer = await oscar.system("POST", "/services", json=body, **me)
    assert answer.status == 201
    assert "at most 2 workers" in answer.headers["X-Modelport-Warnings"]
    assert oscar.house.server.deployments.get("many").spec.max_workers == 2
    answer = await oscar.system("POST", "/services", json=definition("second"), **me)
    refusal = "you already have the most services that an account may have, 1 (account_services)"
    assert (answer.status, answer.text) == (403, refusal)


async def test_services_that_an_account_creates_at_once_are_all_counted(issuer: Issuer, oscar_with: OpenOscar) -> None:
    oscar = await open_for(issuer, oscar_with, account_services=1)
    other = bearer(issuer.token(sub="another@egi.eu"))
    bodies = [definition(f"at-once-{number}") for number in range(5)]
    answers = await asyncio.gather(*(oscar.system("POST", "/services", json=body, **other) for body in bodies))
    assert sorted(answer.status for answer in answers) == [201, 403, 403, 403, 403]


async def test_tokens_that_are_not_good(issuer: Issuer, oscar_with: OpenOscar) -> None:
    oscar = await open_for(issuer, oscar_with)
    await oscar.deployed("svc")
    now = int(time.time())
    unsigned = jwt.encode({"iss": issuer.url, "sub": "me", "exp": now + 60, "aud": "modelport"}, "", algorithm="none")
    good = issuer.token()
    head, claims, signature = good.split(".")
    other_claims = json.loads(base64.urlsafe_b64decode(claims + "==")) | {"sub": "cluster_admin"}
    forged = ".".join(
        [head, base64.urlsafe_b64encode(json.dumps(other_claims).encode()).decode().rstrip("="), signature]
    )
    bad = {
        "expired": issuer.token(exp=now - 60),
        "no expiry": issuer.token(exp=None),
        "not yet": issuer.token(nbf=now + 60),
        "another audience": issuer.token(aud="another"),
        "no audience": issuer.token(aud=None),
        "no subject": issuer.token(sub=None),
        "an empty subject": issuer.token(""),
        "another key": issuer.token(key=OTHER_RSA_KEY),
        "an unknown key": issuer.token(key=OTHER_RSA_KEY, id="three"),
        "the key of another kind": issuer.token(key=EC_KEY, id="one"),
        "a secret": issuer.token(key=SECRET),
        "unsigned": unsigned,
        "forged": forged,
    }
    assert (await oscar.system("GET", "/services", **bearer(good))).status == 200
    for what, token in bad.items():
        answer = await oscar.system("GET", "/services", **bearer(token))
        assert (answer.status, answer.body) == (401, b""), what
        assert (await oscar.run("svc", {}, token=token)).status == 401, what
    answer = await oscar.system("GET", "/services", **bearer(issuer.token(iss="https://evil.example")))
    assert (answer.status, "evil.example" in answer.text) == (401, True)
    answer = await oscar.system("GET", "/services", **bearer("no.jwt.atall"))
    assert (answer.status, "not a JWT" in answer.text) == (400, True)
    assert (await oscar.system("GET", "/services", **bearer("0" * 64))).status == 400


async def test_both_kinds_of_keys_with_and_without_their_id(issuer: Issuer, oscar_with: OpenOscar) -> None:
    oscar = await open_for(issuer, oscar_with)
    for token in (
        issuer.token(key=EC_KEY, id="two"),
        issuer.token(key=EC_KEY, id=None),
        issuer.token(key=RSA_KEY, id=None),
        issuer.token(aud=["account", "modelport"]),
    ):
        assert (await oscar.system("GET", "/info", **bearer(token))).status == 200


async def test_keys_are_kept_and_fetched_again_for_a_new_one_but_not_for_each(
    issuer: Issuer, oscar_with: OpenOscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    oscar = await open_for(issuer, oscar_with)
    for _ in range(3):
        assert (await oscar.system("GET", "/info", **bearer(issuer.token()))).status == 200
    for _ in range(3):
        assert (await oscar.system("GET", "/info", **bearer(issuer.token(id="three", key=OTHER_RSA_KEY)))).status == 401
    assert issuer.requests["keys"] == 1
    issuer.keys.append(published(OTHER_RSA_KEY, "three"))
    monkeypatch.setattr(oidc, "REFRESH_S", 0.0)
    assert (await oscar.system("GET", "/info", **bearer(issuer.token(id="three", key=OTHER_RSA_KEY)))).status == 200
    assert issuer.requests["keys"] == 2


async def test_an_issuer_that_does_not_answer_is_502_or_503_and_old_keys_stay(
    issuer: Issuer, oscar_with: OpenOscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    oscar = await open_for(issuer, oscar_with)
    answer = await oscar.system("GET", "/info", **bearer(issuer.token(iss=NEVER_HOME)))
    assert (answer.status, int(answer.headers["Retry-After"])) == (503, 30)
    assert (await oscar.system("GET", "/info", **bearer(issuer.token()))).status == 200
    issuer.broken = True
    monkeypatch.setattr(oidc, "KEYS_S", 0.0)
    monkeypatch.setattr(oidc, "REFRESH_S", 0.0)
    assert (await oscar.system("GET", "/info", **bearer(issuer.token()))).status == 200


async def test_keys_that_an_issuer_withdraws_open_nothing_any_more(
    issuer: Issuer, oscar_with: OpenOscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    oscar = await open_for(issuer, oscar_with)
    assert (await oscar.system("GET", "/info", **bearer(issuer.token()))).status == 200
    monkeypatch.setattr(oidc, "KEYS_S", 0.0)
    monkeypatch.setattr(oidc, "REFRESH_S", 0.0)
    issuer.keys.clear()
    assert (await oscar.system("GET", "/info", **bearer(issuer.token()))).status in (401, 503)


async def test_one_of_the_groups_is_needed(issuer: Issuer, oscar_with: OpenOscar) -> None:
    oscar = await open_for(issuer, oscar_with, oidc_groups="vo.other.eu, vo.example.eu")
    assert (await oscar.system("GET", "/info", **bearer(issuer.token()))).status == 401
    assert (await oscar.system("GET", "/info", **bearer(issuer.token(entitlements=[URN])))).status == 200
    # Groups are found in user-info, too, where it is this user's.
    issuer.user_info = {"sub": "somebody else", "entitlements": [URN]}
    assert (await oscar.system("GET", "/info", **bearer(issuer.token(jti="1")))).status == 401
    issuer.user_info = {"sub": "me@egi.eu", "entitlements": [URN]}
    token = issuer.token(jti="2")
    before = issuer.requests["userinfo"]
    for _ in range(3):
        assert (await oscar.system("GET", "/info", **bearer(token))).status == 200
    assert issuer.requests["userinfo"] == before + 1
    document = (await oscar.system("GET", "/config")).json()
    assert document["config"]["oidc_groups"] == ["vo.example.eu", "vo.other.eu"]
    assert (await oscar.system("GET", "/status")).json()["oscar"]["oidc"]["enabled"] is True


@pytest.mark.parametrize(
    ("url", "claims", "groups"),
    [
        ("https://aai.egi.eu/auth/realms/egi", {"entitlements": [URN, "urn:short", 5]}, {"vo.example.eu"}),
        ("https://x/realms/ai4eosc", {"realm_access": {"roles": ["platform-access:vo"]}}, {"platform-access:vo"}),
        ("https://other.example", {"group_membership": ["/a", None]}, {"/a"}),
        ("https://other.example", {"group_membership": "a", "realm_access": {"roles": ["b"]}}, set()),
        ("https://x/realms/ai4eosc", {"realm_access": None}, set()),
        ("https://x/realms/egi", {}, set()),
    ],
)
async def test_where_issuers_keep_groups(url: str, claims: dict[str, Any], groups: set[str]) -> None:
    assert oidc.groups_of(url, claims) == groups


async def test_without_issuers_a_jwt_is_like_any_wrong_token(issuer: Issuer, oscar_with: OpenOscar) -> None:
    oscar = await oscar_with()
    await oscar.deployed("svc")
    answer = await oscar.system("GET", "/info", **bearer(issuer.token()))
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="Authorization Required"')
    assert (await oscar.run("svc", {}, token=issuer.token())).status == 401
