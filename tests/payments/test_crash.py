"""Whatever dies when: a payment is taken once at most, and an answer that was taken for is there for its buyer."""

from __future__ import annotations

import json
import signal
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.house import Spawned, children, spawned_house, wait_until_now
from tests.nevermined import backend
from tests.nevermined.backend import KEY
from tests.payments.conftest import MODEL, PUBLIC
from tests.payments.facilitator import PLAN, SETTLE, VERIFY, Facilitator, token

pytestmark = pytest.mark.slow

OWNER = "the-owners-token"


def ask(spawned: Spawned, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes, Any]:
    content = None if body is None else json.dumps(body).encode()
    told = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = urllib.request.Request(spawned.url + path, content, told, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read(), response.headers
    except HTTPError as error:
        return error.code, error.read(), error.headers


@contextmanager
def opened(folder: Path, url: str) -> Iterator[Spawned]:
    (folder / "key").write_text(KEY)
    settings = {"nevermined_api_key_file": str(folder / "key"), "nevermined_backend": url, "public_url": PUBLIC}
    with spawned_house(folder, "def predict(): return 1", token=OWNER, **settings) as spawned:
        yield spawned


def deploy(spawned: Spawned, folder: Path) -> None:
    (folder / "model.py").write_text(MODEL)
    price = {"credits": 2, "plan_ids": [PLAN]}
    document = {"name": "sold", "module": str(folder / "model.py"), "price": price}
    assert ask(spawned, "POST", "/deployments", document, Authorization=f"Bearer {OWNER}")[0] == 201
    assert ask(spawned, "POST", "/sold", {}, Authorization=f"Bearer {OWNER}")[0] == 200


def sales(spawned: Spawned) -> dict[str, Any]:
    document = json.loads(ask(spawned, "GET", "/deployments/sold", Authorization=f"Bearer {OWNER}")[1])
    return dict(document["sales"])


# When the server is killed, and whether anything is owed then.
MOMENTS = {
    "while it is verified": ("verify", "hang", False),
    "during the prediction": ("", "", True),
    "before the settlement has taken effect": ("settle", "hang", True),
    "when the settlement has taken effect": ("settle", "after", True),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_server_that_is_killed_takes_once_and_keeps_the_answer(tmp_path: Path, moment: str) -> None:
    step, how, owed = MOMENTS[moment]
    facilitator, one, gate = Facilitator(KEY), token(), tmp_path / "gate"
    body = {"text": "b", "gate": str(gate)}
    with backend.running(facilitator) as url:
        with opened(tmp_path, url) as spawned:
            deploy(spawned, tmp_path)
            if step:
                setattr(facilitator, step, how)
                gate.touch()
            buyer = threading.Thread(target=_buy, args=(spawned, body, one))
            buyer.start()
            if step:
                wait_until_now(lambda: facilitator.count(VERIFY if step == "verify" else SETTLE) == 1)
                wait_until_now(lambda: how != "after" or facilitator.settled)
            else:
                wait_until_now(lambda: sales(spawned)["pending"] == 1)
            spawned.signal(signal.SIGKILL)
            buyer.join()
        facilitator.verify = facilitator.settle = ""
        gate.touch()
        with opened(tmp_path, url) as again:
            if owed:
                wait_until_now(lambda: sales(again)["paid"] == 1)
            assert sales(again)["pending"] == 0
            assert facilitator.credits_taken == (2 if owed else 0)
            # The buyer resends what got no answer.
            status, content, headers = ask(again, "POST", "/sold", body, payment_signature=one)
            assert status == 200 and b"the answer b" in content
            assert "payment-response" in headers
            assert facilitator.credits_taken == 2
            assert sales(again) == {"paid": 1, "credits": 2, "failed": 0, "pending": 0, "problem": ""}
    log = (tmp_path / "server.log").read_text()
    for secret in (KEY, KEY.partition(":")[2], one):
        assert secret not in log


def _buy(spawned: Spawned, body: Any, one: str) -> None:
    try:
        ask(spawned, "POST", "/sold", body, payment_signature=one)
    except OSError:
        pass  # it was killed


def test_no_process_of_a_model_knows_the_key_or_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVM_API_KEY", KEY)
    facilitator, one, gate = Facilitator(KEY), token(), tmp_path / "gate"
    with backend.running(facilitator) as url, opened(tmp_path, url) as spawned:
        deploy(spawned, tmp_path)
        buyer = threading.Thread(target=_buy, args=(spawned, {"gate": str(gate)}, one))
        buyer.start()
        wait_until_now(lambda: sales(spawned)["pending"] == 1)
        below = spawned.descendants()
        assert below and children(spawned.pid)
        for pid in below:
            known = b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("environ", "cmdline"))
            assert KEY.encode() not in known and one.encode() not in known
        stored = ask(spawned, "GET", "/jobs", Authorization=f"Bearer {OWNER}")[1]
        assert one.encode() not in stored
        gate.touch()
        buyer.join()
        assert KEY.encode() not in ask(spawned, "GET", "/deployments/sold", Authorization=f"Bearer {OWNER}")[1]
        # Once it is settled, the store has forgotten the token.
        wait_until_now(lambda: sales(spawned)["paid"] == 1)
