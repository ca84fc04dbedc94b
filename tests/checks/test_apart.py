"""Checks that the server makes: by the command, in a process of its own that leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from modelport.errors import Cancelled
from tests.checks.modules import METADATA, good_module
from tests.house import House, alive, descendants, open_house, wait_until

pytestmark = pytest.mark.slow
VOLATILE = {"checked", "duration_s", "cold_start_s", "memory_bytes"}
PATH = "/modules/louder/check"


def owner(house: House) -> dict[str, str]:
    return {"Authorization": f"Bearer {house.gateway.owner.token}"}


def steady(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name not in VOLATILE}


async def test_a_check_says_what_the_command_says(tmp_path: Path) -> None:
    folder = good_module(tmp_path / "modules" / "louder")
    (folder / "ai4-metadata.yml").write_text(METADATA.replace("AI4 inference", "AI4 Inference"))
    async with open_house(tmp_path / "house", {}, module_folders=str(tmp_path / "modules")) as house:
        assert (await house.get(PATH, headers=owner(house))).status == 404
        command = [sys.executable, "-m", "modelport", "check", str(folder), "--json", "--home", str(house.home)]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        asked = (house.post(PATH, headers=owner(house)) for _ in range(2))
        first, second = await asyncio.gather(*asked)
        printed, _ = await process.communicate()
        last = await house.get(PATH, headers=owner(house))
    assert first.status == 200
    assert steady(first.json()) == steady(json.loads(printed))
    assert first.json()["findings"][0]["line"] == 16
    assert first.json() == second.json() == last.json(), "who asks meanwhile gets the same check"


async def test_a_check_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    good_module(tmp_path / "modules" / "louder")
    async with open_house(
        tmp_path / "house", {}, module_folders=str(tmp_path / "modules"), check_timeout_s=0.1
    ) as house:
        before = set(descendants())
        answer = await house.post(PATH, headers=owner(house))
        assert (answer.status, answer.json()["error"]) == (504, "deadline_exceeded")
        assert "check_timeout_s, 0.1 s" in answer.json()["message"]
        assert set(descendants()) <= before
        assert (await house.get(PATH, headers=owner(house))).status == 504


async def test_a_check_goes_on_without_its_client_and_ends_with_the_server(tmp_path: Path) -> None:
    folder = good_module(tmp_path / "modules" / "louder")
    started = tmp_path / "started"
    source = f"import os, time\nopen({str(started)!r}, 'w').write(str(os.getpid()))\ntime.sleep(3600)\n"
    (folder / "louder.py").write_text(source)
    async with open_house(tmp_path / "house", {}, module_folders=str(tmp_path / "modules")) as house:
        client = asyncio.create_task(house.post(PATH, headers=owner(house)))
        await wait_until(lambda: started.exists() and started.read_text())
        client.cancel()
        await asyncio.gather(client, return_exceptions=True)
        module = await house.gateway.catalogue.get("louder")
        assert house.gateway.checks.is_running(module)
    await wait_until(lambda: not alive(int(started.read_text())))
    with pytest.raises(Cancelled):  # a request on a connection that is still open
        await house.gateway.checks.check(module)


async def test_a_module_that_has_gone_is_said_to_have_gone(tmp_path: Path) -> None:
    good_module(tmp_path / "modules" / "louder")
    async with open_house(tmp_path / "house", {}, module_folders=str(tmp_path / "modules")) as house:
        module = await house.gateway.catalogue.get("louder")
        (tmp_path / "modules").rename(tmp_path / "elsewhere")
        with pytest.raises(Exception, match=r"louder does not exist; name a module's folder"):
            await house.gateway.checks.check(module)
