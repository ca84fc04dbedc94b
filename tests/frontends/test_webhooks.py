"""Reports of a job's end: where they may go, how they are signed, and that they arrive."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from modelport.contract.job import Job
from modelport.contract.prediction import Status
from modelport.errors import InvalidRequest
from modelport.intake.public import is_public, open_session
from modelport.jobs.deliveries import GiveUp, Later
from modelport.jobs.webhooks import Webhooks
from modelport.settings import BadSetting, Settings
from modelport.store import Store
from tests.conftest import OpenHouse
from tests.frontends.jobs import ASYNC, SOURCE, Gate, begin, ended
from tests.house import House, open_house, wait_until


@dataclass
class Receiver:
    """Answers each report with the next of `statuses`, then with 204."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    reports: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/told?by=us"

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.reports.append((headers, await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204, headers={"Location": "/other"})


@asynccontextmanager
async def receiving(port: int = 0, *statuses: int) -> AsyncIterator[Receiver]:
    receiver = Receiver(statuses=list(statuses))
    app = web.Application()
    app.router.add_post("/told", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()


def signed_by(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """As the libraries of Standard Webhooks check it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return headers["webhook-signature"] == f"v1,{wanted}"


async def secret_of(house: House) -> str:
    assert house.server.gateway is not None
    headers = {"Authorization": f"Bearer {house.server.gateway.owner.token}"}
    return str((await house.get("/webhooks/secret", headers=headers)).json()["secret"])


# That they arrive


async def test_the_end_of_a_job_is_reported_and_signed(house: OpenHouse) -> None:
    async with receiving() as receiver:
        opened = await house(SOURCE, webhook_hosts=receiver.host)
        job = await begin(opened, {"X-Webhook-URL": receiver.url}, text="a")
        await wait_until(lambda: receiver.reports)
        headers, body = receiver.reports[0]
        document = json.loads(body)
        assert document == await ended(opened, job)
        assert (document["status"], document["result"]["url"]) == ("succeeded", f"/jobs/{job['id']}/result")
        assert (headers["webhook-id"], headers["content-type"]) == (job["id"], "application/json; charset=utf-8")
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
        assert signed_by(await secret_of(opened), headers, body)
        assert "authorization" not in headers


@pytest.mark.parametrize("path", ["/x", "/run/x", "/x/async"])
async def test_every_door_takes_the_address(house: OpenHouse, path: str) -> None:
    async with receiving() as receiver:
        opened = await house(SOURCE, webhook_hosts=receiver.host)
        headers = {**ASYNC, "X-Webhook-URL": receiver.url}
        assert (await opened.post(path, json={"mode": "fail"}, headers=headers)).status == 202
        await wait_until(lambda: receiver.reports)
        assert json.loads(receiver.reports[0][1])["error"]["kind"] == "model_failed"


async def test_a_job_that_is_cancelled_is_reported_too(house: OpenHouse, tmp_path: Path) -> None:
    async with receiving() as receiver:
        opened = await house(SOURCE, webhook_hosts=receiver.host)
        gate = Gate(tmp_path / "gate")
        job = await begin(opened, {"X-Webhook-URL": receiver.url}, mode="wait", gate=str(gate))
        await opened.ask("DELETE", f"/jobs/{job['id']}")
        await wait_until(lambda: receiver.reports)
        assert json.loads(receiver.reports[0][1])["status"] == "cancelled"


@pytest.mark.slow
@pytest.mark.parametrize("status", [500, 302, 429])
async def test_what_is_not_taken_is_sent_again(house: OpenHouse, status: int) -> None:
    async with receiving(0, status) as receiver:
        opened = await house(SOURCE, webhook_hosts=receiver.host)
        await begin(opened, {"X-Webhook-URL": receiver.url})
        await wait_until(lambda: len(receiver.reports) == 2)
        (first, body), (second, again) = receiver.reports
        assert (first["webhook-id"], body) == (second["webhook-id"], again)
        secret = await secret_of(opened)
        assert signed_by(secret, first, body) and signed_by(secret, second, again)


@pytest.mark.slow
async def test_a_report_outlives_the_server_and_its_receiver(tmp_path: Path) -> None:
    async with receiving() as receiver:
        port, address = receiver.port, receiver.url
    settings = {"webhook_hosts": f"127.0.0.1:{port}"}
    async with open_house(tmp_path, {"x": SOURCE}, **settings) as first:
        job = await begin(first, {"X-Webhook-URL": address})
        document = await ended(first, job)
        secret = await secret_of(first)
    async with receiving(port) as receiver, open_house(tmp_path, {"x": SOURCE}, **settings) as second:
        await wait_until(lambda: receiver.reports)
        headers, body = receiver.reports[0]
        assert json.loads(body) == document
        assert signed_by(secret, headers, body)
        assert await secret_of(second) == secret


# The secret


async def test_only_the_owner_is_shown_the_secret(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    answer = await opened.get("/webhooks/secret")
    assert (answer.status, answer.json()["error"]) == (401, "unauthorized")
    assert (await secret_of(opened)).startswith("whsec_")


async def test_a_secret_of_the_settings_is_used_as_it_is(house: OpenHouse) -> None:
    given = "whsec_" + base64.b64encode(b"24 bytes or more of them").decode()
    assert await secret_of(await house(SOURCE, webhook_secret=given)) == given
    plain = await secret_of(await house(SOURCE, webhook_secret="a plain one"))
    assert base64.b64decode(plain.removeprefix("whsec_")) == b"a plain one"


# Where they may go


@asynccontextmanager
async def reporting(folder: Path, hosts: str, **settings: Any) -> AsyncIterator[Webhooks]:
    async def describe(job: Job) -> bytes:
        return b"{}"

    async with await Store.open(folder / "store.sqlite") as store:
        webhooks = Webhooks(Settings(webhook_hosts=hosts, **settings))
        await webhooks.open(store, describe)
        yield webhooks


@pytest.mark.parametrize(
    ("hosts", "url", "allowed"),
    [
        ("hooks.example", "https://hooks.example/a?b=c", True),
        ("hooks.example", "http://HOOKS.example./", True),
        ("hooks.example", "https://hooks.example:8443/", False),
        ("hooks.example:8443", "https://hooks.example:8443/", True),
        ("hooks.example:8443", "https://hooks.example/", False),
        ("hooks.example", "https://a.hooks.example/", False),
        ("*.example", "https://a.hooks.example/", True),
        ("*.example", "https://example/", False),
        ("*.example", "https://badexample/", False),
        ("a.example, 127.0.0.1:80", "http://127.0.0.1/", True),
        ("[::1]:8080", "http://[::1]:8080/", True),
        ("", "https://hooks.example/", False),
        ("*", "https://hooks.example:9999/", True),
        ("*", "http://93.184.215.14/", True),
        ("*", "http://127.0.0.1/", False),
        ("*", "http://[::1]/", False),
        ("*", "http://169.254.169.254/latest/meta-data/", False),
        ("*", "http://[::ffff:10.0.0.1]/", False),
        ("*", "http://[64:ff9b::7f00:1]/", False),
        ("*, 127.0.0.1:9", "http://127.0.0.1:9/", True),
        ("*", "ftp://hooks.example/", False),
        ("*", "https://user:password@hooks.example/", False),
        ("*", "https://hooks.example/#here", False),
        ("*", "https:///nowhere", False),
        ("*", "http://[::1/", False),
        ("*", "hooks.example", False),
        ("*", "https://hooks.example/" + "x" * 2000, False),
    ],
)
async def test_reports_go_only_where_the_settings_allow(tmp_path: Path, hosts: str, url: str, allowed: bool) -> None:
    async with reporting(tmp_path, hosts) as webhooks:
        if allowed:
            assert webhooks.check(url) == url
        else:
            with pytest.raises(InvalidRequest, match="X-Webhook-URL"):
                webhooks.check(url)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("2002:7f00:1::", False),
        ("::", False),
    ],
)
def test_what_is_public(address: str, public: bool) -> None:
    assert is_public(ip_address(address)) is public


def job_for(url: str) -> Job:
    return Job("0" * 32, "x", "predict", Status.SUCCEEDED, "plain", 0.0, webhook=url)


async def test_a_name_that_leads_inside_is_not_connected_to(tmp_path: Path) -> None:
    async with receiving() as receiver, reporting(tmp_path, "*") as webhooks:
        # A name of loopback that is no address: what counts is where it leads.
        with pytest.raises(Later, match="could not be told"):
            await webhooks.deliver(job_for(f"http://localhost:{receiver.port}/told"))
        assert receiver.reports == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "127.1",
        "127.0.1",
        "0x7f.1",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "127.0.0.1.",
        "10.1.2.3",
        "169.254.169.254",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fd00::1]",
    ],
)
async def test_an_address_inside_is_refused_however_it_is_written(tmp_path: Path, host: str) -> None:
    async with reporting(tmp_path, "*") as webhooks:
        with pytest.raises(InvalidRequest, match="not public"):
            webhooks.check(f"http://{host}/told")
        with pytest.raises(GiveUp, match="not public"):
            await webhooks.deliver(job_for(f"http://{host}/told"))


async def test_the_address_of_each_socket_is_checked() -> None:
    """Whatever a resolver has said before."""
    async with open_session(public=True, timeout_s=30) as session:
        with pytest.raises(aiohttp.ClientConnectorError, match=r"127\.0\.0\.1"):
            await session.get("http://127.0.0.1:9/")


async def test_a_host_that_is_no_longer_allowed_is_given_up(tmp_path: Path) -> None:
    async with receiving() as receiver, reporting(tmp_path, "hooks.example") as webhooks:
        with pytest.raises(GiveUp, match="webhook_hosts"):
            await webhooks.deliver(job_for(receiver.url))
        assert receiver.reports == []


async def test_who_wants_no_more_gets_no_more(tmp_path: Path) -> None:
    async with receiving(0, 410) as receiver, reporting(tmp_path, receiver.host) as webhooks:
        with pytest.raises(GiveUp, match="410"):
            await webhooks.deliver(job_for(receiver.url))


async def test_a_receiver_that_says_nothing_is_asked_later(tmp_path: Path) -> None:
    import asyncio

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, reporting(tmp_path, host, webhook_timeout_s=0.1) as webhooks:
        with pytest.raises(Later, match="could not be told"):
            await webhooks.deliver(job_for(f"http://{host}/"))


async def test_an_address_that_is_not_allowed_is_refused_with_the_call(house: OpenHouse) -> None:
    opened = await house(SOURCE, webhook_hosts="hooks.example")
    for path in ("/v2/models/x/predict/", "/x", "/run/x", "/x/async"):
        answer = await opened.post(path, json={}, headers={**ASYNC, "X-Webhook-URL": "http://127.0.0.1:1/"})
        assert (answer.status, "webhook_hosts" in answer.text) == (400, True)
    assert (await opened.get("/jobs")).json()["jobs"] == []


@pytest.mark.parametrize("hosts", ["https://hooks.example", "hooks.example:http", "hooks.example:", "[::1"])
async def test_hosts_that_are_none_are_refused_at_the_start(tmp_path: Path, hosts: str) -> None:
    with pytest.raises(BadSetting, match="webhook_hosts"):
        async with reporting(tmp_path, hosts):
            pass


async def test_a_secret_that_cannot_be_read_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="webhook_secret"):
        async with reporting(tmp_path, "", webhook_secret="whsec_*"):
            pass
