"""Jobs of people with accounts: everybody sees his own, whoever owns the service all."""

from __future__ import annotations

from typing import Any

from tests.conftest import OpenHouse
from tests.frontends.jobs import ASYNC, SOURCE, stream
from tests.oscar.conftest import definition
from tests.oscar.issuer import OTHER_RSA_KEY, Issuer


async def test_an_account_sees_its_own_jobs_and_those_of_its_services(house: OpenHouse) -> None:
    async with Issuer() as issuer:
        opened = await house({"plugin": SOURCE}, oidc_issuers=issuer.url, oidc_audience="modelport")

        def account(name: str, **claims: Any) -> dict[str, str]:
            return {"Authorization": f"Bearer {issuer.token(f'{name}@egi.eu', **claims)}"}

        me, other, third = (account(each) for each in ("me", "other", "third"))
        body = definition("svc", image="ai4oshub/plugin", visibility="public")
        answer = await opened.post("/system/services", json=body, headers=me)
        assert answer.status == 201, answer.text

        async def sent(who: dict[str, str]) -> str:
            answer = await opened.post("/run/svc", json={}, headers={**ASYNC, **who})
            assert answer.status == 202, answer.text
            return str(answer.json()["id"])

        async def listed(who: dict[str, str], query: str = "?deployment=svc") -> set[str]:
            return {job["id"] for job in (await opened.get(f"/jobs{query}", headers=who)).json()["jobs"]}

        mine, others = await sent(me), await sent(other)
        assert (await listed(me), await listed(other), await listed(third)) == ({mine, others}, {others}, set())
        assert await listed(other, "") == {others}
        for who, job, status in ((me, others, 200), (other, others, 200), (other, mine, 404), (third, mine, 404)):
            for path in (f"/jobs/{job}", f"/status/{job}"):
                assert (await opened.get(path, headers=who)).status == status
        for stranger in ({}, account("me", key=OTHER_RSA_KEY), account("me", exp=1)):
            assert (await opened.get(f"/jobs/{mine}", headers=stranger)).status == 401
        async with stream(opened, "/events?deployment=svc", **third) as of_third:
            await of_third.event()
            await sent(other)
            own = await sent(third)
            assert (await of_third.until("state"))["id"] == own
        # The same key is another's job.
        keyed = [
            (await opened.post("/run/svc", json={}, headers={**ASYNC, **who, "Idempotency-Key": "a"})).json()["id"]
            for who in (me, other, other)
        ]
        assert keyed[0] != keyed[1] == keyed[2]
