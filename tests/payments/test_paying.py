"""A call that is sold: what it asks, what it takes, and what it answers when something goes wrong."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modelport.store.deployments import Price
from tests.house import wait_until
from tests.nevermined.backend import KEY
from tests.payments.conftest import PUBLIC, Shop, all_of
from tests.payments.facilitator import PLAN, SETTLE, VERIFY, decoded, token

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOLD = [("POST", "/sold"), ("GET", "/sold?text=b"), ("POST", "/v2/models/sold/predict/"), ("POST", "/run/sold")]


@pytest.mark.parametrize(("method", "path"), SOLD)
async def test_a_call_without_a_payment_is_told_what_it_costs(shop: Shop, method: str, path: str) -> None:
    answer = await shop.house.ask(method, path)
    assert answer.status == 402
    assert answer.json()["error"] == "Payment Required"
    assert answer.headers["Cache-Control"] == "no-store"
    demand = decoded(answer.headers["payment-required"])
    assert demand["x402Version"] == 2
    assert demand["resource"]["url"] == PUBLIC + path.partition("?")[0]
    [plan] = demand["accepts"]
    assert (plan["scheme"], plan["network"], plan["planId"]) == ("nvm:erc4337", "eip155:84532", PLAN)
    assert plan["extra"] == {"version": "1", "agentId": "agent-1", "httpVerb": method}
    assert shop.facilitator.asked == [] and shop.predictions == 0


@pytest.mark.parametrize(("method", "path"), SOLD)
async def test_a_paid_call_is_verified_predicted_settled_and_answered(shop: Shop, method: str, path: str) -> None:
    answer = await shop.buy(token(), path, method)
    assert answer.status == 200 and b"the answer b" in answer.body
    receipt = decoded(answer.headers["payment-response"])
    assert (receipt["success"], receipt["creditsRedeemed"], answer.headers["NVMCreditsConsumed"]) == (True, "2", "2")
    [(first, verified), (second, settled)] = shop.facilitator.asked
    assert (first, second) == (VERIFY, SETTLE)
    assert settled.pop("agentRequestId").startswith("request-")
    assert settled == verified
    assert shop.predictions == 1 and shop.facilitator.credits_taken == 2


async def test_a_large_answer_comes_with_its_receipt(shop: Shop) -> None:
    answer = await shop.buy(token(), json={"text": "large"})
    assert answer.status == 200 and len(answer.body) > 5_000_000
    assert decoded(answer.headers["payment-response"])["success"]


async def test_the_seller_pays_nothing(shop: Shop) -> None:
    for secret in (shop.token, shop.house.gateway.owner.token):
        for method, path in SOLD:
            answer = await shop.house.ask(
                method,
                path,
                json={"text": "b"} if method == "POST" else None,
                headers={"Authorization": f"Bearer {secret}"},
            )
            assert answer.status == 200, path
            assert answer.headers["NVMCreditsConsumed"] == "2"
            assert "payment-response" not in answer.headers
    assert shop.facilitator.asked == []


async def test_the_document_says_where_a_call_must_be_paid(shop: Shop) -> None:
    paths = (await shop.house.get("/openapi.json", headers={"Authorization": f"Bearer {shop.token}"})).json()["paths"]
    paid = {
        f"{method.upper()} {path}"
        for path, item in paths.items()
        for method, operation in item.items()
        if "payment-required" in operation.get("responses", {}).get("402", {}).get("headers", {})
    }
    assert paid == {"GET /sold", "POST /sold", "POST /sold/async", "POST /v2/models/sold/predict/"}


async def test_what_is_not_sold_has_no_word_of_payments(shop: Shop) -> None:
    answer = await shop.house.post("/x", json={"text": "b"}, headers={"payment-signature": token()})
    assert answer.status == 200
    assert not {"payment-required", "payment-response", "NVMCreditsConsumed"} & set(answer.headers)
    assert shop.facilitator.asked == []


async def test_a_wrong_token_cannot_be_guessed_along_with_a_payment(shop: Shop) -> None:
    answer = await shop.buy(token(), headers={"Authorization": "Bearer wrong"})
    assert answer.status == 401 and "WWW-Authenticate" in answer.headers
    assert shop.facilitator.asked == []


@pytest.mark.parametrize("header", ["", "not base64!", "bnVtYmVycw==", "WzFd"])
async def test_what_is_no_payment_is_refused_without_asking_the_backend(shop: Shop, header: str) -> None:
    answer = await shop.buy(header)
    assert answer.status == 402 and "base64" in decoded(answer.headers["payment-required"])["error"]
    assert shop.facilitator.asked == []


async def test_a_mistake_that_is_seen_here_costs_nothing(shop: Shop) -> None:
    answers = [
        await shop.buy(token(), data=b"{", json=None, headers={"Content-Type": "application/json"}),
        await shop.buy(token(), data=b"x", json=None, headers={"Content-Type": "text/csv"}),
    ]
    assert [answer.status for answer in answers] == [400, 415]
    assert shop.facilitator.asked == []


async def test_a_stranger_cannot_upload_without_end(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(shop.house.server.settings), "payment_body_bytes", 100)

    monkeypatch.setitem(vars(shop.house.server.settings), "gzip_bodies", True)

    async def pieces(*bodies: bytes) -> AsyncIterator[bytes]:
        for body in bodies:
            yield body

    json_type, small, blanks = {"Content-Type": "application/json"}, b'{"text": "b"}', b" " * 100
    squeezed = {**json_type, "Content-Encoding": "gzip"}
    for data, headers, status in (
        (pieces(small, blanks), json_type, 413),
        (small + blanks, json_type, 413),
        (gzip.compress(small + blanks * 10), squeezed, 413),
        (pieces(small), json_type, 200),
        (small, json_type, 200),
    ):
        answer = await shop.buy(token(), json=None, data=data, headers=headers)
        assert answer.status == status
        assert status == 200 or "payment_body_bytes" in answer.text


@pytest.mark.parametrize(("text", "status"), [("bad", 422), ("fail", 500)])
async def test_a_call_that_fails_is_not_settled_and_its_token_stays_good(shop: Shop, text: str, status: int) -> None:
    one = token()
    for _ in range(2):
        answer = await shop.buy(one, json={"text": text})
        assert answer.status == status and "payment-response" not in answer.headers
        await wait_until(lambda: shop.earnings.pending == 0)
    assert shop.facilitator.count(SETTLE) == 0
    assert (await shop.buy(one)).status == 200


@pytest.mark.parametrize(
    ("how", "status"),
    [("BCK.X402.0001", 402), ("502", 503), ("cut", 503), ("hang", 503), ("garbage", 503), ("429", 503)],
)
async def test_what_a_backend_does_at_verify(shop: Shop, how: str, status: int) -> None:
    shop.facilitator.verify = how
    answer = await shop.buy(token())
    assert answer.status == status
    assert ("payment-required" in answer.headers) == (status == 402)
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert KEY not in answer.text and shop.predictions == 0


async def test_an_invalid_payment_is_refused_with_the_reason(shop: Shop) -> None:
    shop.facilitator.start = 1
    answer = await shop.buy(token())
    assert answer.status == 402 and answer.json()["message"] == "insufficient balance"
    assert decoded(answer.headers["payment-required"])["error"] == "insufficient balance"


async def test_a_spent_token_gets_no_answer(shop: Shop) -> None:
    one = token()
    assert (await shop.buy(one, "/run/sold")).status == 200
    answer = await shop.buy(one, json={"text": "other"})
    assert answer.status == 409  # it has bought another call
    shop.facilitator.settle = "BCK.X402.0059"
    answer = await shop.buy(token())
    assert answer.status == 402 and b"the answer" not in answer.body
    [listed] = [job for job in (await all_jobs(shop)) if job["arguments"]["text"] == "b" and job["source"] == "plain"]
    again = await shop.house.get(f"/jobs/{listed['id']}/result", headers={"payment-signature": one})
    assert again.status == 401


async def all_jobs(shop: Shop) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {shop.token}"}
    return list((await shop.house.get("/jobs", headers=headers)).json()["jobs"])


async def test_more_calls_than_credits_give_no_more_answers(shop: Shop) -> None:
    """A reusable token is good at each verification; the settlements find that there is not enough for all."""
    shop.facilitator.start = 4
    one = token(single_use=False)
    answers = await all_of(*(shop.buy(one, json={"text": str(number)}) for number in range(6)))
    assert sorted(answer.status for answer in answers) == [200, 200, 402, 402, 402, 402]
    assert all(b"the answer" not in answer.body for answer in answers if answer.status == 402)
    assert shop.facilitator.balances == {next(iter(shop.facilitator.balances)): 0}


async def test_a_race_with_one_token_buys_one_prediction(shop: Shop, tmp_path: Path) -> None:
    one, gate = token(), tmp_path / "gate"
    calls = [asyncio.ensure_future(shop.buy(one, json={"gate": str(gate)})) for _ in range(50)]
    await wait_until(lambda: sum(call.done() for call in calls) == 49)
    gate.touch()
    answers = await all_of(*calls)
    assert sorted(answer.status for answer in answers) == [200] + [409] * 49
    assert shop.predictions == 1 and shop.facilitator.count(SETTLE) == 1
    # Whose answer was lost sends the same again.
    again = await shop.buy(one, json={"gate": str(gate)})
    assert again.status == 200 and "payment-response" in again.headers
    assert shop.predictions == 1 and shop.facilitator.credits_taken == 2


async def test_the_same_token_in_other_letters_is_the_same_token(shop: Shop) -> None:
    one = token()
    assert (await shop.buy(one)).status == 200
    assert (await shop.buy(one + "==")).status in (200, 402)
    assert shop.predictions == 1


async def test_an_identifier_or_idempotency_key_makes_a_reusable_token_safe_to_resend(shop: Shop) -> None:
    one = token(single_use=False, identifier="0123456789abcdef")
    assert [(await shop.buy(one)).status for _ in range(2)] == [200, 200]
    assert shop.facilitator.credits_taken == 2
    other = token(single_use=False, identifier="0123456789abcdef", payer="0x" + "ee" * 20)
    assert (await shop.buy(other)).status == 409  # whoever knows the id alone gets nothing
    two = token(single_use=False)
    key = {"Idempotency-Key": "k1"}
    assert [(await shop.buy(two, headers=key)).status for _ in range(2)] == [200, 200]
    assert shop.facilitator.credits_taken == 4
    assert [(await shop.buy(two)).status for _ in range(2)] == [200, 200]
    assert shop.facilitator.credits_taken == 8


@pytest.mark.parametrize("how", ["502", "cut", "lost", "hang", "garbage", "429"])
async def test_a_settlement_without_an_answer_is_tried_again_and_takes_once(shop: Shop, how: str) -> None:
    shop.facilitator.settle = how
    answer = await shop.buy(token())
    assert answer.status == 200 and "payment-response" not in answer.headers
    assert shop.earnings.pending == 1
    shop.facilitator.settle = ""
    assert shop.house.server.deliveries is not None
    shop.house.server.deliveries.wake("payment")
    await wait_until(lambda: shop.earnings.paid == 1)
    assert shop.facilitator.credits_taken == 2 and len(shop.facilitator.settled) == 1


async def test_a_token_that_is_found_spent_when_it_is_tried_again_was_spent_here(shop: Shop) -> None:
    shop.facilitator.settle = "lost"
    assert (await shop.buy(token())).status == 200
    shop.facilitator.settle = ""
    shop.facilitator.settled.clear()  # a backend that does not know its request ids any more
    assert shop.house.server.deliveries is not None
    shop.house.server.deliveries.wake("payment")
    await wait_until(lambda: shop.earnings.paid == 1)
    assert shop.facilitator.credits_taken == 2


async def test_a_settlement_that_is_never_answered_is_given_up(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(shop.house.server.settings), "payment_retry_s", 0.0)
    shop.facilitator.settle = "502"
    one = token()
    assert (await shop.buy(one)).status == 200
    await wait_until(lambda: shop.earnings.failed == 1)
    shop.facilitator.settle = ""
    assert (await shop.buy(one)).status == 200  # the answer was given out already
    assert shop.facilitator.credits_taken == 0 and shop.predictions == 1


async def test_a_buyer_who_leaves_owes_nothing(shop: Shop, tmp_path: Path) -> None:
    call = asyncio.ensure_future(shop.buy(token(), json={"gate": str(tmp_path / "never")}))
    await shop.house.wait_running(1, "sold")
    call.cancel()
    await shop.house.wait_running(0, "sold")
    await wait_until(lambda: shop.earnings.pending == 0)
    assert shop.facilitator.count(SETTLE) == 0


async def test_a_buyer_who_leaves_before_hearing_that_the_call_is_accepted_owes_nothing(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payments, go_on = shop.house.gateway.payments, asyncio.Event()
    assert payments is not None
    restore = payments.restore

    async def late() -> None:
        await go_on.wait()
        await restore()

    monkeypatch.setattr(payments, "restore", late)
    call = asyncio.ensure_future(shop.buy(token(), json={"gate": str(tmp_path / "never")}))
    await shop.house.wait_running(1, "sold")
    call.cancel()
    await wait_until(lambda: len(payments._tasks._tasks) == 2)  # the server has heard it
    go_on.set()
    await shop.house.wait_running(0, "sold")
    await wait_until(lambda: shop.earnings.pending == 0)
    assert shop.facilitator.count(SETTLE) == 0


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/sold", {"Prefer": "respond-async"}, 202),
        ("/sold/async", {}, 202),
        ("/v2/models/sold/predict/", {"Prefer": "respond-async"}, 202),
        ("/run/sold", {"Prefer": "respond-async"}, 202),
        ("/job/sold", {}, 201),
    ],
)
async def test_a_job_is_bought_and_its_result_is_the_buyers(
    shop: Shop, tmp_path: Path, path: str, headers: dict[str, str], status: int
) -> None:
    one, gate = token(), tmp_path / "gate"
    accepted = await shop.buy(one, path, json={"text": "b", "gate": str(gate)}, headers=headers)
    assert accepted.status == status
    assert shop.facilitator.count(SETTLE) == 0  # a place in the queue is no answer
    job = f"/jobs/{accepted.headers['Location'].rpartition('/')[2]}"
    for stranger in ({}, {"payment-signature": token()}):
        for what in (job, f"{job}/result", job.replace("jobs", "status"), job.replace("jobs", "results")):
            assert (await shop.house.get(what, headers=stranger)).status in (401, 404)
    buyer = {"payment-signature": one}
    for what in (f"{job}/events", f"{job}/log"):
        assert (await shop.house.get(what, headers=buyer)).status == 401  # before it is paid, nothing of it is shown
    assert (await shop.house.ask("DELETE", job, headers=buyer)).status == 401
    assert (await shop.house.get(job, headers=buyer)).status == 200
    gate.touch()
    await shop.house.gateway.jobs.wait(job.rpartition("/")[2], 30)
    result = await shop.house.get(f"{job}/result", headers=buyer)
    assert result.status == 200 and b"the answer b" in result.body
    assert decoded(result.headers["payment-response"])["creditsRedeemed"] == "2"
    assert shop.facilitator.credits_taken == 2


async def test_the_result_of_a_job_whose_settlement_is_refused_is_withheld(shop: Shop) -> None:
    shop.facilitator.settle = "BCK.X402.0059"
    one = token()
    accepted = await shop.buy(one, "/sold/async")
    job_id = accepted.headers["Location"].rpartition("/")[2]
    await shop.house.gateway.jobs.wait(job_id, 30)
    for path in (f"/jobs/{job_id}/result", f"/jobs/{job_id}", f"/results/{job_id}"):
        answer = await shop.house.get(path, headers={"payment-signature": one})
        assert answer.status == 402 and b"the answer" not in answer.body
    seller = await shop.house.get(f"/jobs/{job_id}/result", headers={"Authorization": f"Bearer {shop.token}"})
    assert seller.status == 200


async def test_what_has_a_price_and_no_plan_is_not_sold(shop: Shop) -> None:
    await shop.house.gateway.services.update("sold", price=Price(credits=2))
    assert (await shop.buy(token())).status == 401
    owner = {"Authorization": f"Bearer {shop.house.gateway.owner.token}"}
    sales = (await shop.house.get("/deployments/sold", headers=owner)).json()["sales"]
    assert "nevermined register" in sales["problem"]


async def test_the_figures_are_shown_and_the_key_is_not(shop: Shop) -> None:
    assert (await shop.buy(token())).status == 200
    shop.facilitator.settle = "BCK.X402.0059"
    assert (await shop.buy(token())).status == 402
    owner = {"Authorization": f"Bearer {shop.house.gateway.owner.token}"}
    document = await shop.house.get("/deployments/sold", headers=owner)
    assert document.json()["price"] == {
        "credits": 2,
        "plan_ids": [PLAN],
        "agent_id": "agent-1",
        "scheme": "nvm:erc4337",
        "network": "",
    }
    assert document.json()["sales"] == {"paid": 1, "credits": 2, "failed": 1, "pending": 0, "problem": ""}
    metrics = await shop.house.get("/metrics", headers=owner)
    assert 'modelport_payments_total{deployment="sold",result="paid"} 1.0' in metrics.text
    assert 'modelport_payments_total{deployment="sold",result="failed"} 1.0' in metrics.text
    assert 'modelport_credits_total{deployment="sold"} 2.0' in metrics.text
    page = await shop.house.get("/ui/inference/sold", headers=owner)
    assert "2 credits a call" in page.text and "calls paid: 1, credits: 2, payments failed: 1" in page.text
    for answer in (document, metrics, page):
        assert KEY not in answer.text and KEY.partition(":")[2] not in answer.text
