"""Deployments and single values."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import replace
from pathlib import Path

import pytest

from modelport.errors import Conflict, NotFound
from modelport.store import Store
from modelport.store.deployments import (
    DeploymentRow,
    add_deployment,
    delete_deployment,
    get_deployment,
    list_deployments,
    update_deployment,
)
from modelport.store.links import LinkRow, add_link, delete_links_of, list_links, note_calls
from modelport.store.schema import MIGRATIONS
from modelport.store.values import get_value, set_value, set_value_if_absent

FULL = DeploymentRow(
    name="digits-1a",
    module="my_model",
    python="/envs/yolo/bin/python",
    title="Digits ✍",
    description="reads\ndigits",
    owner="62bb11b40398f73778b66f344d282242debb8ee3ef3106d@egi.eu",
    enabled=False,
    min_workers=0,
    max_workers=4,
    idle_s=300.5,
    timeout_s=60.0,
    memory_bytes=8 << 30,
    cpu=0.2,
    environment={"A": "1", "Ü": '"\n'},
    secrets={"KEY": "hush-hush"},
    token="secret-token",
    definition={"name": "digits-1a", "environment": {"secrets": {"KEY": "hush-hush"}}, "input": [], "cpu": None},
)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


async def test_a_deployment_is_given_back_as_it_was_put_in(store: Store) -> None:
    for row in (FULL, DeploymentRow(name="bare", module="demo_app")):
        added = await store.write(add_deployment, row)
        assert TIME.fullmatch(added.created)
        assert added == replace(row, created=added.created, updated=added.created)
        assert await store.read(get_deployment, row.name) == added
    assert [each.name for each in await store.read(list_deployments)] == ["bare", "digits-1a"]


async def test_a_name_is_taken_once(store: Store) -> None:
    results = await asyncio.gather(
        *(store.write(add_deployment, replace(FULL, module=f"module_{number}")) for number in range(5)),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [DeploymentRow] + [Conflict] * 4
    assert str(results[1]) == "there is already a service called digits-1a"
    assert (await store.read(get_deployment, FULL.name)).module == "module_0"


async def test_changes_are_kept_and_the_rest_stays(store: Store) -> None:
    added = await store.write(add_deployment, FULL)
    changed = await store.write(update_deployment, FULL.name, token="another", max_workers=None, definition=None)
    assert changed == replace(
        added, token="another", max_workers=None, definition=None, created=added.created, updated=changed.updated
    )
    assert await store.read(get_deployment, FULL.name) == changed
    for wrong in ({"name": "other"}, {"created": ""}, {"colour": "blue"}):
        with pytest.raises(TypeError):
            await store.write(update_deployment, FULL.name, **wrong)
    assert await store.read(get_deployment, FULL.name) == changed


async def test_updates_at_once_lose_none(store: Store) -> None:
    await store.write(add_deployment, FULL)
    await asyncio.gather(
        store.write(update_deployment, FULL.name, title="new title"),
        store.write(update_deployment, FULL.name, token="new token"),
    )
    row = await store.read(get_deployment, FULL.name)
    assert (row.title, row.token) == ("new title", "new token")


async def test_what_is_not_there_is_not_found(store: Store) -> None:
    await store.write(add_deployment, FULL)
    await store.write(delete_deployment, FULL.name)
    with pytest.raises(NotFound, match="there is no service called digits-1a"):
        await store.read(get_deployment, FULL.name)
    with pytest.raises(NotFound):
        await store.write(delete_deployment, FULL.name)
    with pytest.raises(NotFound):
        await store.write(update_deployment, FULL.name, title="x")
    assert await store.read(list_deployments) == []
    await store.write(add_deployment, FULL)


async def test_no_secret_is_shown(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    row = await store.write(add_deployment, FULL)
    with pytest.raises(Conflict):
        await store.write(add_deployment, FULL)
    with pytest.raises(UnicodeEncodeError):
        await store.write(update_deployment, FULL.name, title="\ud800")
    with pytest.raises(OverflowError):
        await store.write(update_deployment, FULL.name, memory_bytes=1 << 64)
    for text in (repr(row), str(row), f"{[row]}", caplog.text):
        assert "secret-token" not in text
        assert "hush-hush" not in text
    assert "digits-1a" in repr(row)


async def test_a_value_is_set_changed_and_kept_by_the_first(store: Store) -> None:
    assert await store.read(get_value, "password") is None
    kept = await asyncio.gather(*(store.write(set_value_if_absent, "password", f"p{number}") for number in range(4)))
    assert kept == ["p0"] * 4
    await store.write(set_value, "password", "p9")
    assert await store.read(get_value, "password") == "p9"
    assert await store.write(set_value_if_absent, "password", "p10") == "p9"


# Links


async def test_a_store_from_before_there_were_links_takes_them(path: Path) -> None:
    async with await Store.open(path, migrations=MIGRATIONS[:5]) as store:
        await store.write(set_value, "kept", "yes")
    rows = [LinkRow(name, "digits-1a", "0" * 64, "✍", 1.5, 2.5, limit) for name, limit in (("a", None), ("b", 3))]
    async with await Store.open(path) as store:
        assert await store.read(get_value, "kept") == "yes"
        for row in rows:
            await store.write(add_link, row)
        used = replace(rows[1], calls=2, used=9.5)
        await store.write(note_calls, [used, replace(rows[0], id="gone")])
        assert await store.read(list_links) == [rows[0], used]
        await store.write(delete_links_of, "digits-1a")
        assert await store.read(list_links) == []
