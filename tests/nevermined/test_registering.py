"""`modelport nevermined` against a backend on this machine, by the installed command."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli, Done
from tests.docs.test_jobs import free_port
from tests.house import wait_until_now
from tests.nevermined import backend
from tests.nevermined.backend import AGENTS, KEY, Marketplace

pytestmark = pytest.mark.slow

PLUGIN = """
from marshmallow import fields
def get_metadata():
    return {"name": "echo", "author": "Ada", "license": "MIT", "description": "Says it again"}
def get_predict_args():
    return {"text": fields.Str(required=True)}
def predict(text):
    return text
"""
RECEIVER = "0x" + "1f" * 20


@dataclass
class Seller:
    cli: Cli
    public: str
    url: str
    token: str
    market: Marketplace

    def __call__(self, command: str, *arguments: str, key: str = KEY) -> Done:
        own = ("--backend", self.url, *arguments)
        done = self.cli("nevermined", command, "echo", *own, NVM_API_KEY=key)
        # Whatever happens, no secret is shown.
        for secret in (KEY, KEY.partition(":")[2], self.token):
            assert secret not in done.text + done.err
        return done

    def asked(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path, _, _ in self.market.requests]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cli, str, str]]:
    cli = Cli(tmp_path_factory.mktemp("seller"))
    port = free_port()
    public = f"http://127.0.0.1:{port}"
    cli.environ["MODELPORT_PUBLIC_URL"] = public
    with cli.running("serve", "--empty", "--public-documents", "--listen-port", str(port)) as server:
        assert server.url == public
        wait_until_now(lambda: (cli.home / "server.json").exists())
        done = cli("deploy", cli.write("echo.py", PLUGIN), "--name", "echo", "--wait", "--json")
        yield cli, public, done.json()["token"]
        assert server.end(signal.SIGTERM) == 0
    assert KEY not in "".join(server.out + server.err)


@pytest.fixture
def seller(served: tuple[Cli, str, str]) -> Iterator[Seller]:
    cli, public, token = served
    (cli.home / "nevermined.json").unlink(missing_ok=True)
    market = Marketplace()
    with backend.running(market) as url:
        yield Seller(cli, public, url, token, market)


def test_the_plan_is_what_is_sent_but_for_the_secrets(seller: Seller) -> None:
    options = ("--price", "2", "--receiver", RECEIVER, "--credits", "50", "--json")
    planned = seller("plan", *options)
    assert planned.status == 0, planned.err
    assert seller.market.requests == []
    done = seller("register", *options)
    assert done.status == 0, done.err
    [(method, path, headers, body)] = seller.market.requests
    plan = planned.json()
    assert (plan["method"], plan["url"]) == (method, seller.url + path)
    body["agent"]["agentApiAttributes"]["token"] = "<the token of echo>"
    assert plan["body"] == body
    assert plan["headers"] == {name: headers[name].replace(KEY, "<NVM_API_KEY>") for name in plan["headers"]}


def test_what_is_sent_is_the_captured_wire_format(seller: Seller) -> None:
    seller("register", "--price", "2.5", "--receiver", RECEIVER, "--allow-list")
    [(method, path, _, body)] = seller.market.requests
    nobody = "0x" + "0" * 40
    assert (method, path) == ("POST", f"{AGENTS}/plans")
    assert body["plan"] == {
        "metadataAttributes": {"name": "echo, 100 credits", "isTrialPlan": False},
        "priceConfig": {
            "isCrypto": False,
            "currency": "USD",
            "amounts": ["2500000"],
            "receivers": [RECEIVER],
            "tokenAddress": nobody,
            "contractAddress": nobody,
            "feeController": nobody,
            "externalPriceAddress": nobody,
            "templateAddress": nobody,
        },
        "creditsConfig": {
            "isRedemptionAmountFixed": True,
            "redemptionType": 4,
            "onchainMirror": False,
            "durationSecs": "0",
            "amount": "100",
            "minAmount": "1",
            "maxAmount": "1",
        },
        "accessLimit": "credits",
    }
    described = body["agent"]["metadataAttributes"]
    assert f"{seller.public}/echo" in described.pop("integration")
    assert described == {
        "name": "echo",
        "description": "Says it again",
        "author": "Ada",
        "license": "MIT",
        "sampleLink": f"{seller.public}/docs",
    }
    assert body["agent"]["agentApiAttributes"] == {
        "agentDefinitionUrl": f"{seller.public}/openapi.json",
        "authType": "bearer",
        "token": seller.token,
        "openEndpoints": [f"{seller.public}{path}" for path in ("/openapi.json", "/docs", "/health")],
        "endpoints": [
            {"GET": f"{seller.public}/echo"},
            {"POST": f"{seller.public}/echo"},
            {"GET": f"{seller.public}/echo/async"},
            {"POST": f"{seller.public}/echo/async"},
        ],
    }


def test_a_second_registration_updates_the_first(seller: Seller) -> None:
    first = seller("register", "--json").json()
    assert first == {"agentId": "agent-1", "planIds": [str(2**255)], "public": seller.public}
    assert seller("plan", "--json").json()["method"] == "PUT"
    assert seller("register", "--json").json() == first
    assert seller.asked() == [("POST", f"{AGENTS}/plans"), ("PUT", f"{AGENTS}/agent-1")]
    assert len(seller.market.agents) == 1


def test_an_existing_plan_is_linked_and_time_can_be_sold(seller: Seller) -> None:
    number = str(2**255 + 19)
    assert seller("register", "--plan-id", number, "--json").json()["planIds"] == [number]
    assert seller.market.requests[-1][3]["plans"] == [number]
    body = seller("register", "--again", "--duration", "30d", "--json")
    assert body.status == 0, body.err
    plan = seller.market.requests[-1][3]["plan"]
    assert (plan["accessLimit"], plan["creditsConfig"]["durationSecs"]) == ("time", "2592000")


def test_a_registration_whose_answer_is_lost_is_not_sent_again_unasked(seller: Seller) -> None:
    seller.market.mode = "lost"
    own = ("nevermined", "register", "echo", "--backend", seller.url)
    with seller.cli.running(*own, NVM_API_KEY=KEY) as command:
        wait_until_now(lambda: seller.market.agents)
        command.process.kill()
        command.wait()
    seller.market.mode = ""
    done = seller("register")
    assert done.status == 1
    assert "may be registered already" in done.err
    assert len(seller.market.agents) == 1
    assert seller("register", "--agent-id", "agent-1").status == 0
    assert seller("register").status == 0
    assert [method for method, _ in seller.asked()] == ["POST", "PUT", "PUT"]


@pytest.mark.parametrize(
    ("mode", "key", "says", "doubt"),
    [
        ("", KEY + "x", "[BCK.AUTH.0001]", False),
        ("html", KEY, "502: <html>Bad gateway</html>", True),
    ],
)
def test_what_the_backend_refuses_is_told(seller: Seller, mode: str, key: str, says: str, doubt: bool) -> None:
    seller.market.mode = mode
    done = seller("register", key=key)
    assert done.status == 1
    assert says in done.err
    seller.market.mode = ""
    assert (seller("register").status == 1) is doubt


def test_what_is_wrong_is_said_before_anything_is_sent(seller: Seller, tmp_path: Path) -> None:
    for arguments, key, says in (
        ((), "", "no key was given; set NVM_API_KEY, or name a file with --key-file"),
        (("--price", "0.50"), KEY, "is not a price; give at least 1"),
        (("--price", "2"), KEY, "a price needs an address"),
        (("--key-file", str(tmp_path / "none")), KEY, "cannot be read"),
    ):
        done = seller("register", *arguments, key=key)
        assert done.status == 2
        assert says in done.err
    foreign = seller.cli("nevermined", "register", "echo", "--backend", "http://example.org", NVM_API_KEY=KEY)
    assert "give an https address" in foreign.err
    unknown = seller.cli("nevermined", "plan", "echo", NVM_API_KEY="mine:a.b.c")
    assert "does not begin with one of sandbox, live" in unknown.err
    assert seller.market.requests == []


def results(done: Done) -> dict[str, Any]:
    return {row["check"]: row["wrong"] for row in json.loads(done.text)}


def test_check_asks_from_outside_and_says_what_does_not_hold(seller: Seller) -> None:
    assert seller("register").status == 0
    done = seller("check", "--json")
    wrong = {what: why for what, why in results(done).items() if why}
    # All but what no address of this machine can be.
    assert list(wrong) == ["the public address is https, and not of this machine"]
    assert done.status == 1
    assert seller.asked()[-1] == ("GET", f"{AGENTS}/agent-1")


def test_check_finds_what_has_changed_since(seller: Seller) -> None:
    assert seller("register").status == 0
    seller.market.agents["agent-1"]["metadataAttributes"]["description"] = "Another"
    elsewhere = seller.public.replace("127.0.0.1", "localhost")
    found = results(seller("check", "--json", "--public-url", elsewhere))
    assert f"start the server with --public-url {elsewhere}" in found["/openapi.json can be imported without a token"]
    assert f"{seller.public} is registered" in found["the registered address is the public one"]
    assert "description" in found["the agent is registered as it is now"]
    nobody = results(seller("check", "--json", "--public-url", "http://127.0.0.1:1"))
    assert "no answer" in nobody["with the token: 200"]


def test_without_a_public_address_it_says_how_to_get_one(seller: Seller) -> None:
    done = seller.cli("nevermined", "plan", "echo", MODELPORT_PUBLIC_URL="")
    assert done.status == 2
    assert "run `modelport tunnel`" in done.err


def test_services_are_described_to_strangers_only_where_the_operator_says_so(cli: Cli) -> None:
    import urllib.request

    with cli.running("serve", "--empty", "--listen-port", "0") as server:
        wait_until_now(lambda: (cli.home / "server.json").exists())
        cli("deploy", cli.write("echo.py", PLUGIN), "--name", "echo", "--wait")
        with urllib.request.urlopen(f"{server.url}/openapi.json") as answer:
            document = json.load(answer)
    assert "/echo" not in document["paths"]
    assert "servers" not in document


def test_a_deployment_with_a_price_is_put_on_sale_and_taken_off_again(seller: Seller) -> None:
    """The server of these tests has no key of its own, so that strangers stay out; it keeps the plans all the same."""
    cli = seller.cli
    cli("deploy", cli.write("echo.py", PLUGIN), "--name", "sold", "--price", "3")
    try:
        done = cli("nevermined", "register", "sold", "--backend", seller.url, NVM_API_KEY=KEY)
        assert done.status == 0, done.err
        [(_, _, _, body)] = seller.market.requests
        interface = body["agent"]["agentApiAttributes"]
        assert interface["authType"] == "none" and "token" not in interface
        assert body["plan"]["creditsConfig"]["minAmount"] == "3"
        price = cli("info", "sold", "--json").json()["price"]
        assert (price["agent_id"], price["plan_ids"]) == ("agent-1", [str(2**255)])
        done = cli("nevermined", "unregister", "sold", "--backend", seller.url, NVM_API_KEY=KEY)
        assert (done.status, done.text) == (0, f"unlinked {2**255}\n")
        assert seller.asked()[-1] == ("DELETE", f"{AGENTS}/agent-1/plan/{2**255}")
        price = cli("info", "sold", "--json").json()["price"]
        assert (price["agent_id"], price["plan_ids"]) == ("", [])
        done = cli("nevermined", "unregister", "sold", "--backend", seller.url, NVM_API_KEY=KEY)
        assert done.status != 0 and "not registered" in done.err
    finally:
        cli("undeploy", "sold")
