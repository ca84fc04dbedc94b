"""Every defect that the contract lists of deepaas (section 4), mended. The reproductions are those of 4.1.

D-14 is in tests/faults/test_loop.py, those of the command line are in tests/dropin."""

from __future__ import annotations

import asyncio
import io
import os
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from modelport.errors import LoadFailed
from tests.conftest import OpenHouse
from tests.house import PATIENCE_S, SOON_S, House, alive, peak_memory_bytes, spawned_house, wait_until

IMPORTS = "import io, os, subprocess, time\nfrom aiohttp import web\nfrom webargs import fields, validate\n"
FILE = 'fields.Field(metadata={"type": "file", "location": "form"})'
SLEEPS = "def train(**k): time.sleep(60)\n"


def upload(*contents: bytes) -> aiohttp.FormData:
    form_data = aiohttp.FormData()
    for content in contents:
        form_data.add_field("f", io.BytesIO(content), filename="a.txt")
    return form_data


async def new(house: House, **options: Any) -> str:
    """The uuid of a new training that has taken its turn."""
    answer = await house.post("/v2/models/x/train/", **options)
    assert answer.status == 200, answer.text
    return str(answer.json()["uuid"])


async def training(house: House, uuid: str) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while (row := (await house.get(f"/v2/models/x/train/{uuid}")).json())["status"] == "running":
            await asyncio.sleep(0.02)
    return row


@pytest.mark.parametrize("source", ["import nothing_here\n", "def predict(:\n"])
async def test_d01_a_plugin_that_does_not_load_stops_the_start(house: OpenHouse, source: str) -> None:
    with pytest.raises(LoadFailed):
        await house(source)


async def test_d04_the_server_stops_after_any_death_and_a_stuck_training_freezes_nothing(house: OpenHouse) -> None:
    source = IMPORTS + 'def train(**k): raise web.HTTPBadRequest(reason="no")\ndef predict(**k): os._exit(1)\n'
    opened = await house(source)
    uuid = await new(opened)
    row = await training(opened, uuid)
    assert (row["status"], row["message"]) == ("error", "no")
    assert (await opened.predict()).status == 500
    assert (await opened.ask("DELETE", f"/v2/models/x/train/{uuid}")).status == 200
    assert (await opened.get("/")).status == 200
    started = time.monotonic()
    await opened.server.stop()
    assert time.monotonic() - started < SOON_S


async def test_d07_the_children_of_a_cancelled_training_end_with_it(house: OpenHouse, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    source = IMPORTS + (
        "def train(**k):\n"
        "    child = subprocess.Popen(['sleep', '987'])\n"
        f"    open({str(file)!r}, 'w').write(f'{{child.pid}}\\n')\n"
        "    child.wait()\n"
    )
    opened = await house(source)
    uuid = await new(opened)
    await wait_until(lambda: file.exists() and file.read_text().endswith("\n"))
    child = int(file.read_text())
    assert alive(child)
    assert (await opened.ask("DELETE", f"/v2/models/x/train/{uuid}")).status == 200
    await wait_until(lambda: not alive(child), SOON_S)


async def test_d08_after_a_cancel_the_worker_is_warm(house: OpenHouse) -> None:
    warm = "N = 0\ndef warm():\n    global N\n    N = 1\ndef predict(**k): return N\n"
    for settings in ({}, {"train_in_pool": True}):
        opened = await house(IMPORTS + warm + SLEEPS, **settings)
        assert (await opened.predict()).json()["predictions"] == 1
        uuid = await new(opened)
        assert (await opened.ask("DELETE", f"/v2/models/x/train/{uuid}")).status == 200
        assert (await opened.predict()).json()["predictions"] == 1


async def test_d09_the_state_of_an_object_is_kept(house: OpenHouse) -> None:
    source = """
class M:
    n = 0
    def warm(self): self.n = 1
    def predict(self, **k):
        self.n += 1
        return self.n
obj = M()
"""
    opened = await house({"x:obj": source})
    assert [(await opened.predict()).json()["predictions"] for _ in range(3)] == [2, 3, 4]


async def test_d10_a_training_holds_up_no_prediction_and_a_client_that_leaves_frees_the_worker(
    house: OpenHouse,
) -> None:
    opened = await house(
        IMPORTS
        + SLEEPS
        + 'def get_predict_args(): return {"s": fields.Float(missing=0)}\ndef predict(s): time.sleep(s)\n'
    )
    await new(opened)
    assert (await opened.predict()).status == 200
    leaving = asyncio.create_task(opened.predict({"s": "60"}))
    await opened.wait_running(1)
    leaving.cancel()
    started = time.monotonic()
    assert (await opened.predict()).status == 200
    assert time.monotonic() - started < SOON_S


@pytest.mark.parametrize(
    "field",
    [
        "fields.Str()",
        "fields.Str(validate=[validate.OneOf(['application/json'])])",
        "fields.Str(validate=validate.OneOf(('application/json', 'text/plain')))",
        "fields.Str(validate=validate.Length(min=1))",
    ],
)
async def test_d11_any_accept_argument_is_served(house: OpenHouse, field: str) -> None:
    opened = await house(
        IMPORTS + f'def get_predict_args(): return {{"accept": {field}}}\ndef predict(**k): return k.get("accept")\n'
    )
    assert (await opened.predict()).status == 200
    assert (await opened.get("/swagger.json")).status == 200


async def test_d11_the_plugins_own_list_is_not_modified(house: OpenHouse) -> None:
    opened = await house(
        IMPORTS
        + "TYPES = ['application/json', 'text/plain']\n"
        + 'def get_predict_args(): return {"accept": fields.Str(validate=validate.OneOf(TYPES))}\n'
        + "def predict(**k): return TYPES\n"
    )
    assert (await opened.predict()).json()["predictions"] == ["application/json", "text/plain"]


@pytest.mark.parametrize(
    ("value", "output"),
    [("{1}", [1]), ("float('nan')", None), ("b'raw'", "b'raw'"), ("time", r"<module 'time' \(built-in\)>")],
)
async def test_d16_whatever_train_returns_is_shown(house: OpenHouse, value: str, output: object) -> None:
    opened = await house(IMPORTS + f"def train(**k): return {value}\n")
    uuid = await new(opened)
    row = await training(opened, uuid)
    shown = row["result"]["output"]
    assert shown == output or re.fullmatch(str(output), str(shown))
    assert (await opened.get("/v2/models/x/train/")).json() == [row]
    assert (await opened.ask("DELETE", f"/v2/models/x/train/{uuid}")).json() == row


async def test_d17_buffers_are_sent_from_their_start_and_json_is_json(house: OpenHouse) -> None:
    opened = await house(
        IMPORTS
        + """
def get_predict_args():
    return {"accept": fields.Str(validate=validate.OneOf(["application/json", "text/plain"]),
                                 metadata={"location": "headers"})}
def predict(accept):
    if accept != "text/plain": return object()
    b = io.BytesIO(); b.write(b"hello"); return b
"""
    )
    assert (await opened.predict(headers={"Accept": "text/plain"})).body == b"hello"
    answer = await opened.predict(headers={"Accept": "application/json"})
    assert (answer.status, "not valid JSON" in answer.text) == (500, True)


async def test_d20_the_debug_endpoint_shows_what_the_plugin_prints(house: OpenHouse) -> None:
    source = "def predict(**k):\n    print('from plugin', flush=True)\n    raise ValueError('its traceback')\n"
    opened = await house(source, debug_endpoint=True)
    await opened.predict()
    text = (await opened.get("/v2/debug/")).text
    assert "from plugin" in text and "ValueError: its traceback" in text


async def test_d22_ui_without_doc_endpoint_is_404(house: OpenHouse) -> None:
    opened = await house("def predict(**k): return 1\n", doc_endpoint=False, dashboard=False)
    assert (await opened.get("/ui")).status == 404


@pytest.mark.parametrize("options", [["--workers", "0"], ["--workers", "x"], ["--listen-port", "x"]])
@pytest.mark.parametrize("command", [["serve"], ["deepaas-run", "--model-name"]])
def test_d23_d24_options_that_cannot_be_are_refused_with_a_status(
    tmp_path: Path, command: list[str], options: list[str]
) -> None:
    (tmp_path / "x.py").write_text("def predict(**k): return 1\n")
    done = subprocess.run(
        [sys.executable, "-m", "modelport", *command, str(tmp_path / "x.py"), *options],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, "MODELPORT_HOME": str(tmp_path / "home")},
    )
    assert done.returncode not in (0, None), done.stdout
    assert options[1] in done.stdout + done.stderr


async def test_d25_dates_are_never_parsed(house: OpenHouse) -> None:
    """`str(datetime)` leaves zero microseconds out; deepaas parses its own text and fails."""
    opened = await house("def train(**k): return 1\n")
    uuid = await new(opened)
    await training(opened, uuid)
    with closing(sqlite3.connect(opened.home / "store.sqlite")) as store, store:
        store.execute("UPDATE jobs SET created = round(created), finished = round(finished)")
    row = (await opened.get(f"/v2/models/x/train/{uuid}")).json()
    assert re.fullmatch(r"[\d-]+ [\d:]+", row["date"])
    assert re.fullmatch(r"[\d-]+ [\d:]+", row["result"]["finish_date"])


async def test_d26_swagger_describes_what_is_sent(house: OpenHouse) -> None:
    opened = await house("def train(**k): return 1\n")
    uuid = await new(opened)
    row = await training(opened, uuid)
    document = (await opened.get("/swagger.json")).json()
    listing = document["paths"]["/v2/models/x/train/"]["get"]["responses"]["200"]["schema"]
    while "$ref" in listing:
        listing = document["definitions"][listing["$ref"].rpartition("/")[2]]
    assert listing["type"] == "array"
    one = listing["items"]
    while "$ref" in one:
        one = document["definitions"][one["$ref"].rpartition("/")[2]]
    assert set(row) <= set(one["properties"])
    assert {"running", "done", "error", "cancelled"} == set(one["properties"]["status"]["enum"])


async def test_d27_no_upload_stays_on_disk(house: OpenHouse) -> None:
    opened = await house(IMPORTS + f'def get_predict_args(): return {{"f": {FILE}}}\ndef predict(f): return 1\n')
    before = sorted(opened.home.rglob("*"))
    for _ in range(20):
        assert (await opened.predict(data=upload(b"x" * 1000))).status == 200
    await wait_until(lambda: sorted(opened.home.rglob("*")) == before)


@pytest.mark.slow
async def test_d28_a_large_upload_is_not_held_in_memory(tmp_path: Path) -> None:
    source = (
        IMPORTS
        + f'def get_predict_args(): return {{"f": {FILE}}}\ndef predict(f): return os.path.getsize(f.filename)\n'
    )
    large = tmp_path / "large"
    with open(large, "wb") as file:
        file.truncate(300 << 20)
    with spawned_house(tmp_path, source) as spawned:
        before = peak_memory_bytes(spawned.pid)
        async with aiohttp.ClientSession() as session:
            form = aiohttp.FormData()
            with open(large, "rb") as file:
                form.add_field("f", file, filename="large")
                async with session.post(spawned.predict_url, data=form) as response:
                    assert (await response.json())["predictions"] == 300 << 20
        assert peak_memory_bytes(spawned.pid) - before < 64 << 20


async def test_d29_ended_trainings_are_forgotten_when_there_are_many(house: OpenHouse) -> None:
    opened = await house("def train(**k): return 1\n", kept_trainings=2)
    uuids = []
    for _ in range(4):
        uuids.append(await new(opened))
        await training(opened, uuids[-1])
    assert [each["uuid"] for each in (await opened.get("/v2/models/x/train/")).json()] == uuids[-2:]
    assert (await opened.get(f"/v2/models/x/train/{uuids[0]}")).status == 404


async def test_d29_the_plugin_is_not_loaded_in_the_server(house: OpenHouse) -> None:
    opened = await house("import os\nIMPORTED = os.getpid()\ndef predict(**k): return IMPORTED\n")
    assert (await opened.predict()).json()["predictions"] != os.getpid()
