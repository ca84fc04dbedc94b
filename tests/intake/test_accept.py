"""The header Accept chooses the same answer at every predict door."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.house import House, open_house

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE = """
from marshmallow import fields, validate
TYPES = ["application/json", "image/png", "text/csv"]
def get_predict_args():
    named = {"location": "headers"} if HEADERS else {}
    return {"accept": fields.Str(load_default=TYPES[0], validate=validate.OneOf(TYPES), metadata=named)}
def predict(accept):
    return {"said": accept} if accept == TYPES[0] else accept.encode()
"""
DOORS = ("/v2/models/{}/predict/", "/{}", "/run/{}")
CHOICES = {
    "application/json": "application/json",
    "image/png": "image/png",
    "image/*": "image/png",
    "IMAGE/PNG": "image/png",
    "text/csv;q=0.5, image/png;q=0.6": "image/png",
    "text/csv;q=broken, image/png;q=0.9": "text/csv",
    "text/csv;q=nan, image/png": "text/csv",
    "text/csv;q=0, image/png;q=0.1": "image/png",
    "application/pdf, image/png;q=0.1": "image/png",
    "application/*;q=0.9, text/csv;q=0.2": "application/json",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    sources = {name: f"HEADERS = {name == 'named'}\n{SOURCE}" for name in ("named", "unnamed")}
    async with open_house(tmp_path_factory.mktemp("accept"), sources, buckets=False) as opened:
        yield opened


@pytest.mark.parametrize("header", CHOICES)
# deepaas heeds the header only where the plugin's field says so.
@pytest.mark.parametrize("path", [*(door.format("named") for door in DOORS), "/unnamed", "/run/unnamed"])
async def test_one_header_has_one_meaning(house: House, path: str, header: str) -> None:
    answer = await house.post(path, headers={"Accept": header}, json={})
    assert answer.status == 200, answer.text
    assert answer.type.partition(";")[0] == CHOICES[header]


@pytest.mark.parametrize("header", ["application/pdf", "image/gif, video/*", "text/csv;q=0", "*/*;q=0"])
@pytest.mark.parametrize("door", DOORS)
async def test_what_nobody_can_give_is_refused(house: House, door: str, header: str) -> None:
    answer = await house.post(door.format("named"), headers={"Accept": header}, json={})
    # 422 where it is an argument of the model, as for deepaas; 406 where it is HTTP's alone.
    assert answer.status == (406 if door.startswith("/run/") else 422)


@pytest.mark.parametrize("header", ["", ",", " ,,, "])
@pytest.mark.parametrize("door", DOORS)
async def test_an_empty_list_is_as_good_as_none(house: House, door: str, header: str) -> None:
    answer = await house.post(door.format("named"), headers={"Accept": header}, json={})
    assert answer.status == 200, answer.text
