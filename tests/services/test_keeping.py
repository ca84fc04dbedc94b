"""What is deployed is there after a restart, in one server a home folder."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from modelport.deployments import services
from modelport.deployments.services import LOADING_AT_ONCE
from modelport.errors import StorageFull
from modelport.identity.server_file import read
from modelport.server import Server
from modelport.settings import Settings
from modelport.store import StoreInUse
from modelport.store.deployments import DeploymentRow, add_deployment, holds_deployments
from modelport.store.values import set_value
from tests.conftest import OpenHouse
from tests.faults.test_loop import blocks_nobody
from tests.house import PATIENCE_S, open_house, spawned_house, templates, wait_until, wait_until_now
from tests.services.conftest import PLAIN, OpenOwner, Owner


async def test_a_restart_keeps_services_tokens_and_cards_and_imports_nothing(owner: OpenOwner) -> None:
    opened = await owner()
    rows = [await opened.deploy(name=name, title=name, environment={"A": "1"}) for name in ("one", "two", "three")]
    for row in rows:
        await opened.wait_kept(row["name"])
    await opened.ask("POST", "/deployments/two/token")
    token = opened.services.get("two").token
    opened = await owner()
    assert opened.house.children() == []
    assert [(each.name, each.title, each.environment) for each in opened.services.list()] == [
        (name, name, {"A": "1"}) for name in ("one", "three", "two")
    ]
    card = (await opened.ask("GET", "/deployments/one/card")).json()
    assert [argument["name"] for argument in card["predict_args"]] == ["text", "seconds"]
    models = (await opened.ask("GET", "/v2/models/")).json()["models"]
    assert [model["name"] for model in models] == ["plain"] * 3
    assert {(await opened.show(name))["status"] for name in ("one", "two", "three")} == {"cold"}
    assert opened.house.children() == []
    assert (await opened.call({**rows[1], "token": token}, text="kept")).json()["predictions"][0] == "KEPT"
    assert (await opened.call(rows[1])).status == 401


async def test_those_that_stay_warm_are_warm_again(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy(min_workers=1)
    opened = await owner()
    await opened.wait_state(row["name"], "ready")


# Its import waits for another one to begin.
NOT_ALONE = """
import pathlib, time
imports = pathlib.Path(__file__).with_name("imports")
with open(imports, "a") as file: file.write("+")
while imports.stat().st_size < 2: time.sleep(0.005)
"""


async def test_a_start_loads_a_few_at_once_and_the_cold_ones_not_at_all(owner: OpenOwner) -> None:
    opened = await owner()
    module = opened.write(NOT_ALONE + PLAIN)
    store = opened.house.server.store
    assert store is not None
    for number in range(50):
        least = 1 if number % 6 == 0 else 0
        await store.write(add_deployment, DeploymentRow(f"n{number:02}", str(module), min_workers=least, token="x"))
    most = 0

    async def start() -> None:
        module.with_name("imports").unlink(missing_ok=True)  # where the machine was busy, it is started again
        opened = await owner()

        def all_warm() -> bool:
            nonlocal most
            states = [deployment.state for deployment in opened.house.server.deployments]
            most = max(most, sum(deployment.in_use for deployment in opened.house.server.deployments))
            return states.count("ready") == 9 and states.count("cold") == 41

        await wait_until(all_warm)

    await blocks_nobody(start)
    assert most <= LOADING_AT_ONCE
    assert len(module.with_name("imports").read_text()) == len(templates()) == 9


async def test_the_name_of_what_cannot_be_removed_yet_is_given_to_no_other(
    owner: OpenOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would have the links of the one before, and its own jobs would go with that one's at the next start."""
    monkeypatch.setattr(services, "CLEARING_S", 0.1)
    monkeypatch.setattr(services, "CLEAR_AGAIN_S", 0.05)
    opened = await owner()
    row = await opened.deploy(name="again")
    told, full = [], True

    async def remove(name: str) -> None:
        if full:
            raise StorageFull("the disk is full")
        told.append(name)

    opened.services.on_undeployed.insert(0, remove)
    assert (await opened.ask("DELETE", "/deployments/again")).status == 204
    answer = await opened.ask("POST", "/deployments", json={"module": row["module"], "name": "again"})
    assert (answer.status, "still being undeployed" in answer.text) == (409, True)
    full = False
    await wait_until(lambda: "again" not in opened.services._going)
    assert told == ["again"]
    assert not (opened.house.home / "work" / "again").exists()
    await opened.deploy(name="again")


async def test_the_keys_of_a_bucket_are_gone_though_the_store_failed_at_first(
    owner: OpenOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "CLEARING_S", 0.1)
    monkeypatch.setattr(services, "CLEAR_AGAIN_S", 0.05)
    opened = await owner()
    await opened.deploy(name="again")
    assert opened.house.server.gateway is not None
    bucket_jobs = opened.house.server.gateway.bucket_jobs
    assert bucket_jobs is not None
    keys = bucket_jobs.bucket_keys
    before = keys.access("again")
    assert before is not None
    with sqlite3.connect(opened.house.home / "store.sqlite") as store:
        store.execute("CREATE TRIGGER broken BEFORE INSERT ON buckets BEGIN SELECT json('-'); END")
    store.close()
    assert (await opened.ask("DELETE", "/deployments/again")).status == 204
    assert keys.secret_of(before.access_key) is None  # at once
    assert "again" in opened.services._going
    with sqlite3.connect(opened.house.home / "store.sqlite") as store:
        store.execute("DROP TRIGGER broken")
    store.close()
    await wait_until(lambda: "again" not in opened.services._going)
    await opened.deploy(name="again")
    after = keys.access("again")
    assert after is not None and after.access_key != before.access_key


async def test_what_fails_in_one_place_is_removed_in_the_others(owner: OpenOwner) -> None:
    opened = await owner()
    await opened.deploy(name="again")

    async def fail(name: str) -> None:
        raise ValueError(name)

    opened.services.on_undeployed.insert(0, fail)
    assert (await opened.ask("DELETE", "/deployments/again")).status == 204
    assert "again" not in opened.services._going
    await opened.deploy(name="again")


async def test_a_server_that_stops_does_not_wait_for_a_store_that_is_full(
    owner: OpenOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "CLEARING_S", 0.1)
    opened = await owner()
    await opened.deploy(name="again")

    async def full(name: str) -> None:
        raise StorageFull("the disk is full")

    opened.services.on_undeployed.insert(0, full)
    assert (await opened.ask("DELETE", "/deployments/again")).status == 204
    await asyncio.wait_for(opened.services.stop(), PATIENCE_S)


async def test_what_has_been_undeployed_stays_away(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy()
    await opened.wait_kept(row["name"])
    await opened.services.undeploy(row["name"])
    opened = await owner()
    assert opened.services.list() == []
    row = await opened.deploy("def predict(): return 1\n", name=row["name"])  # the card of the old one is not its own
    opened = await owner()
    assert (await opened.ask("GET", f"/deployments/{row['name']}/card")).json()["predict_args"] == []


async def test_a_card_that_cannot_be_read_is_made_again(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy()
    await opened.wait_kept(row["name"])
    assert opened.house.server.store is not None
    await opened.house.server.store.write(set_value, f"card/{row['name']}", "[nonsense")
    opened = await owner()
    assert opened.deployment(row["name"]).card is None
    card = (await opened.ask("GET", f"/deployments/{row['name']}/card")).json()
    assert [argument["name"] for argument in card["predict_args"]] == ["text", "seconds"]


@pytest.mark.parametrize("text", ["[nonsense", "[]", "1", "[" * 9000, '{"fields": 1, "message": []}'])
async def test_a_failure_that_cannot_be_read_keeps_no_server_from_starting(owner: OpenOwner, text: str) -> None:
    opened = await owner()
    row = await opened.deploy()
    await opened.wait_kept(row["name"])
    assert opened.house.server.store is not None
    await opened.house.server.store.write(set_value, f"failure/{row['name']}", text)
    opened = await owner()
    assert (await opened.call(row)).status == 200


async def test_who_leaves_while_deploying_leaves_store_and_server_in_agreement(owner: OpenOwner) -> None:
    opened = await owner()
    module = str(opened.write(PLAIN))
    for number in range(20):
        asking = asyncio.create_task(
            opened.ask("POST", "/deployments", json={"module": module, "name": f"n{number}", "max_workers": 1})
        )
        await asyncio.sleep(number / 2000)
        asking.cancel()
        await asyncio.wait({asking})
    await opened.services.stop()
    names = [each.name for each in opened.services.list()]
    opened = await owner()
    assert [each.name for each in opened.services.list()] == names


async def test_a_second_server_with_the_same_home_or_buckets_is_refused(owner: OpenOwner, tmp_path: Path) -> None:
    opened = await owner()
    notice = read(opened.house.home)
    second = Server(Settings(listen_port=0, home=str(opened.house.home)), [])
    with pytest.raises(StoreInUse, match=f"in use by another server, process {os.getpid()}"):
        await second.start()
    await second.stop(0)
    assert read(opened.house.home) == notice is not None
    # Nor may the folder of its buckets be another's, whose uploads would be swept away.
    folder = opened.house.home / "buckets"
    second = Server(Settings(listen_port=0, home=str(tmp_path / "other"), bucket_folder=str(folder)), [])
    with pytest.raises(StoreInUse, match=f"the buckets' folder .*{folder} is in use by another server, process"):
        await second.start()
    await second.stop(0)
    # One that keeps nothing does not mind.
    third = Server(Settings(listen_port=0, home=str(opened.house.home)), [], lasting=False)
    await third.start()
    await third.stop(0)
    assert read(opened.house.home) == notice


async def test_a_service_and_a_module_of_the_same_name_are_told_apart(owner: OpenOwner, tmp_path: Path) -> None:
    opened = await owner()
    await opened.deploy(name="x")
    await opened.house.server.stop(0)
    with pytest.raises(Exception, match=r"x is already the name of a deployed service.*x-2=MODULE"):
        async with open_house(tmp_path, PLAIN):
            pass
    async with open_house(tmp_path / "other", PLAIN) as house:
        answer = await Owner(house).ask("POST", "/deployments", json={"module": "my_model", "name": "x"})
        assert (answer.status, answer.json()["message"]) == (409, "there is already a service called x")
        everything = (await Owner(house).ask("GET", "/deployments?all=1")).json()
        assert [(each["name"], each["kept"], each["token"]) for each in everything] == [("x", False, "")]
        assert (await Owner(house).ask("DELETE", "/deployments/x")).status == 404


async def test_the_notice_is_there_while_the_server_listens(owner: OpenOwner, tmp_path: Path) -> None:
    opened = await owner()
    path = opened.house.home / "server.json"
    assert json.loads(path.read_text()) == {"url": opened.house.url, "pid": os.getpid(), "token": opened.token}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(opened.house.home.stat().st_mode) == 0o700
    await opened.house.server.stop(0)
    assert read(opened.house.home) is None


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
async def test_where_it_listens_everywhere_both_ports_take_every_address_and_the_notice_is_true(
    house: OpenHouse, address: str
) -> None:
    """Event loops take `::` for IPv6 alone, and the notice has named an address of IPv4."""
    if address == "::" and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    opened = await house("def predict(): return 1\n", listen_ip=address, token="t" * 32, buckets=True)
    token = {"Authorization": f"Bearer {'t' * 32}"}
    notice, buckets = read(opened.home), opened.gateway.bucket_jobs
    assert notice is not None and buckets is not None
    assert (await opened.get(f"{notice['url']}/v2/", headers=token)).status == 200
    s3_port = urlsplit(buckets.bucket_keys.endpoint).port
    for host in ("127.0.0.1", "[::1]") if address == "::" else ("127.0.0.1",):
        assert (await opened.get(f"http://{host}:{opened.server.port}/v2/", headers=token)).status == 200
        assert (await opened.get(f"http://{host}:{s3_port}/")).status == 403  # it asks for a signature


async def test_whether_anything_is_deployed_is_known_without_a_server(owner: OpenOwner) -> None:
    opened = await owner()
    store = opened.house.home / "store.sqlite"
    assert not holds_deployments(store.with_name("none"))
    await opened.house.server.stop(0)
    assert not holds_deployments(store)
    opened = await owner()
    await opened.deploy()
    await opened.house.server.stop(0)
    assert holds_deployments(store)
    damaged = store.with_name("damaged")
    damaged.write_text("x" * 10_000)
    assert holds_deployments(damaged)


async def test_what_was_made_for_the_owner_is_kept(owner: OpenOwner) -> None:
    opened = await owner()
    made = (opened.token, opened.password)
    assert all(len(each) > 20 for each in made)
    opened = await owner()
    assert (opened.token, opened.password) == made
    opened = await owner(token="set", password="too")
    assert (opened.token, opened.password) == ("set", "too")


@pytest.mark.slow
def test_a_killed_server_leaves_what_was_acknowledged(tmp_path: Path) -> None:
    async def deploy(url: str, token: str) -> list[str]:
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            made = []
            for _ in range(5):
                async with session.post(f"{url}/deployments", json={"module": str(tmp_path / "plain.py")}) as answer:
                    made.append((await answer.json())["name"])
            return made

    async def names(url: str, token: str) -> list[str]:
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
            session.get(f"{url}/deployments") as answer,
        ):
            return [each["name"] for each in await answer.json()]

    (tmp_path / "plain.py").write_text(PLAIN)
    with spawned_house(tmp_path, {}) as server:
        notice = read(server.home)
        assert notice is not None and notice["pid"] == server.pid
        made = asyncio.run(deploy(notice["url"], notice["token"]))
        server.signal(signal.SIGKILL)
        server.process.wait(PATIENCE_S)
    with spawned_house(tmp_path, {}) as server:
        notice = read(server.home)
        assert notice is not None and notice["pid"] == server.pid
        assert asyncio.run(names(notice["url"], notice["token"])) == sorted(made)
        server.signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0
        assert read(server.home) is None


@pytest.mark.slow
def test_the_command_serves_services_alone_and_tells_a_second_one_why_not(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = [sys.executable, "-m", "modelport", "serve", "--empty", "--listen-port", "0", "--home", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as first:
        try:
            wait_until_now(lambda: read(home))
            second = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
            assert second.returncode == 1
            assert f"in use by another server, process {first.pid}" in second.stderr
            assert read(home) is not None
        finally:
            first.terminate()
            first.wait(PATIENCE_S)
    refused = subprocess.run([*command, "my_model"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert refused.returncode == 2 and "give one of them" in refused.stderr
