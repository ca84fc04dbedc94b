"""All results of a folder in one file: CSV, JSON Lines, ZIP."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import threading
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio

from modelport.frontends.files import exporting
from modelport.frontends.files.exporting import rows_of
from tests.frontends.test_files import OWNER, ask, basic
from tests.house import House, open_house, wait_until

# What the file holds is the answer; what is not JSON is a file.
MODEL = """
import json
from marshmallow import fields
def get_predict_args(): return {"file": fields.Raw(required=True, metadata={"type": "file", "location": "form"})}
def predict(file):
    text = open(file.filename).read()
    if text == "fail":
        raise ValueError("=nothing, to be seen")
    return json.loads(text) if text[:1] in '[{"' else open(file.filename, "rb")
"""
FILES = {
    "boxes": '[{"name": "seven", "confidence": 0.90, "box": {"x1": 1, "y1": 2}}, {"name": "=1+1", "confidence": 1e-7}]',
    "empty": "[]",
    "fail": "fail",
    "formula": '[{"=1+1": 1, "@x": {"y": 2}, "input": 3}]',
    "ids": '{"id": 9007199254740993, "share": 1.0, "of": [1, 2]}',
    "plain": "not JSON",
}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("exports"), {"echo": MODEL}, password="wonder") as house:
        for name, text in FILES.items():
            assert (await ask(house, "PUT", f"/files/echo/inputs/{name}.txt", text.encode())).status == 201
        await wait_outputs(house, len(FILES) * 2 - 1)
        yield house


async def wait_outputs(house: House, count: int) -> None:
    async with asyncio.timeout(30):
        while len((await ask(house, "GET", "/files/echo?prefix=outputs/")).json()["files"]) < count:
            await asyncio.sleep(0.02)


async def export(house: House, format: str, prefix: str = "outputs/") -> Any:
    got = await ask(house, "GET", f"/files/echo?prefix={prefix}&format={format}")
    assert got.status == 200, got.text
    assert got.headers["Content-Disposition"] == f'attachment; filename="echo-outputs.{format}"'
    return got


async def test_json_lines_have_every_file_and_each_answer_as_it_was_sent(filled: House) -> None:
    lines = [json.loads(line) for line in (await export(filled, "jsonl")).text.splitlines()]
    assert [(line["input"], line["status"]) for line in lines] == [
        (f"inputs/{name}.txt", "failed" if name == "fail" else "succeeded") for name in FILES
    ]
    by_name = {line["input"].removeprefix("inputs/").removesuffix(".txt"): line for line in lines}
    assert by_name["boxes"]["result"] == json.loads(FILES["boxes"])
    assert "9007199254740993" in (await export(filled, "jsonl")).text
    assert "=nothing" in by_name["fail"]["error"] and by_name["fail"]["result"] is None
    assert by_name["plain"]["result"] is None and by_name["plain"]["output"].startswith("outputs/plain.")
    assert all(line["job"] and line["duration_s"] is not None for line in lines)


async def test_csv_has_a_row_for_each_object_with_its_numbers_as_they_were_sent(filled: House) -> None:
    rows = list(csv.DictReader(io.StringIO((await export(filled, "csv")).text)))
    assert [row["input"] for row in rows] == [f"inputs/{name}.txt" for name in ("boxes", *FILES)]
    seven, formula = rows[:2]
    assert (seven["name"], float(seven["confidence"]), seven["box.x1"], seven["box.y1"]) == ("seven", 0.9, "1", "2")
    assert (formula["name"], float(formula["confidence"]), formula["box.x1"]) == ("'=1+1", 1e-7, "")
    ids = next(row for row in rows if row["id"])
    assert (ids["id"], ids["share"], json.loads(ids["of"])) == ("9007199254740993", "1.0", [1, 2])
    failed = next(row for row in rows if row["status"] == "failed")
    assert "=nothing, to be seen" in failed["error"] and failed["output"] == ""


async def test_no_cell_is_a_formula_in_a_spreadsheet(filled: House) -> None:
    table = list(csv.reader(io.StringIO((await export(filled, "csv")).text)))
    assert {"'=1+1", "'@x.y", "result.input"} < set(table[0])
    assert not [cell for row in table for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]


async def test_a_zip_has_all_files_and_folders(filled: House) -> None:
    await ask(filled, "PUT", "/files/echo/outputs/deep/a%5C..%5Cb%20%C3%A9.bin", bytes(300_000))
    archive = zipfile.ZipFile(io.BytesIO((await export(filled, "zip")).body))
    assert archive.testzip() is None
    names = {f"{name}.log" for name in FILES} | {f"{name}.json" for name in ("boxes", "empty", "ids")}
    assert names < set(archive.namelist()) and "deep/a_.._b é.bin" in archive.namelist()
    assert json.loads(archive.read("boxes.json")) == json.loads(FILES["boxes"])
    assert archive.read("deep/a_.._b é.bin") == bytes(300_000)
    got = await ask(filled, "GET", "/files/echo?prefix=outputs/deep/&format=zip")
    assert got.headers["Content-Disposition"] == 'attachment; filename="echo-outputs-deep.zip"'
    assert zipfile.ZipFile(io.BytesIO(got.body)).namelist() == ["a_.._b é.bin"]


async def test_each_file_of_a_zip_has_a_name_of_its_own(filled: House) -> None:
    """A backslash is no folder in an archive; what takes its place may stand in another key."""
    bodies = {"a\\b\\c.txt": b"1", "a\\b_c.txt": os.urandom(100_000), "a_b_c (2).txt": b"3", "a_b_c.txt": b"4"}
    for name, body in bodies.items():
        put = await ask(filled, "PUT", f"/files/echo/outputs/clash/{quote(name)}", body)
        assert put.status == 201, put.text
    got = await ask(filled, "GET", "/files/echo?prefix=outputs/clash/&format=zip")
    archive = zipfile.ZipFile(io.BytesIO(got.body))
    assert len(set(archive.namelist())) == 4 and "a_b_c.txt" in archive.namelist()
    assert not [name for name in archive.namelist() if "\\" in name or not name.startswith("a_b_c")]
    assert sorted(map(archive.read, archive.namelist())) == sorted(bodies.values())


async def test_nothing_is_an_empty_file(filled: House) -> None:
    for format in ("csv", "jsonl", "zip"):
        assert (await ask(filled, "GET", f"/files/echo?prefix=outputs/none/&format={format}")).status == 200


async def test_what_cannot_be_exported_is_refused(filled: House) -> None:
    refused = await ask(filled, "GET", "/files/echo?prefix=outputs/&format=xml")
    assert refused.status == 400 and "csv, jsonl, zip" in refused.json()["message"]
    refused = await ask(filled, "GET", "/files/echo?prefix=elsewhere/&format=csv")
    assert refused.status == 400 and "inputs/" in refused.json()["message"]
    for who in ({}, basic("oscar", "wrong")):
        assert (await ask(filled, "GET", "/files/echo?prefix=outputs/&format=zip", who=who)).status == 401


@pytest.mark.slow
async def test_an_archive_is_not_gathered_before_it_is_sent(filled: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not read holds it up, so that it is never whole in the server."""
    assert filled.gateway.bucket_jobs is not None
    objects = filled.gateway.bucket_jobs.objects
    for number in range(6):
        await objects.put("echo", f"outputs/large {number}.bin", os.urandom(4 << 20))
    reads = []
    read = objects.read

    def noted(bucket: str, key: str, *, limit_bytes: int) -> Any:
        reads.append(key)
        return read(bucket, key, limit_bytes=limit_bytes)

    monkeypatch.setattr(objects, "read", noted)
    url = f"{filled.url}/files/echo?prefix=outputs/large&format=zip"
    async with filled.session.get(url, headers=OWNER) as response:
        await response.content.readexactly(100_000)
        await wait_until(lambda: reads)
        assert len(reads) < 6
        assert len(await response.content.read()) > 20 << 20
    assert len(reads) == 6


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b'{"status": "ok", "items": [{"a": 1}, {"a": 2}]}', [{"status": "ok", "a": "1"}, {"status": "ok", "a": "2"}]),
        (b'{"a": {"b": {"c": null}}}', [{"a.b.c": None}]),
        (b'"text"', [{"result": "text"}]),
        (b"[1, 2]", [{"result": "[1, 2]"}]),
        (b"", [{}]),
        (b"not JSON", [{}]),
        (b"[" * 100_000, [{}]),
        (None, [{}]),
    ],
)
async def test_an_answer_is_rows(body: bytes | None, rows: list[dict[str, Any]]) -> None:
    assert rows_of(body) == rows


@pytest.mark.parametrize(
    "beside",
    [{"image": "A" * 1_000_000}, {f"part {number}": "A" * 900 for number in range(900)}],
    ids=["one long member", "many short ones"],
)
async def test_what_is_long_beside_a_list_of_objects_is_not_repeated(beside: dict[str, str]) -> None:
    rows = rows_of(json.dumps({**beside, "model": "m", "objects": [{"l": at} for at in range(300)]}).encode())
    assert rows[0] == {**beside, "model": "m", "l": "0"} and len(rows) == 300
    assert all(len(str(row)) < 3000 and row["l"] for row in rows[1:])


async def test_a_long_name_is_not_repeated_in_the_names_of_its_members() -> None:
    members = {f"m{number}": number for number in range(1000)}
    [row] = rows_of(json.dumps({"N" * 100_000: members, "box": members}).encode())
    assert len(row) == 1001 and row["box.m7"] == "7" and sum(map(len, row)) < 120_000


ONE_SLICE = 500


async def test_a_wide_table_comes_in_slices_made_aside(tmp_path: Path) -> None:
    """While it is made, the server goes on; and it is never in memory as a whole."""
    wide = [{f"m{at % 1000}": at} for at in range(10 * ONE_SLICE)]
    async with open_house(tmp_path, {"echo": MODEL}, password="wonder") as house:
        assert (await ask(house, "PUT", "/files/echo/inputs/wide.txt", json.dumps(wide).encode())).status == 201
        await wait_outputs(house, 2)
        assert house.gateway.bucket_jobs is not None
        pieces, threads = [], set()
        made = exporting._table

        def noted(*arguments: Any) -> bytes:
            threads.add(threading.current_thread())
            return made(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(exporting, "_table", noted)
            async for piece in exporting.csv_table(house.gateway.bucket_jobs.batches, "echo", "inputs/"):
                pieces.append(piece)
        assert len(pieces) == 11 and threading.main_thread() not in threads
        rows = list(csv.DictReader(io.StringIO(b"".join(pieces).decode())))
        assert len(rows) == len(wide) and rows[1234]["m234"] == "1234"


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/files/echo?prefix=outputs/cut&format=zip", "/files/echo/outputs/cut.bin"])
async def test_what_cannot_be_sent_to_its_end_does_not_look_whole(filled: House, path: str) -> None:
    assert filled.gateway.bucket_jobs is not None
    tree = filled.gateway.bucket_jobs.tree
    assert tree is not None
    await tree.put("echo", "outputs/cut.bin", os.urandom(24 << 20))
    got = bytearray()
    with pytest.raises(aiohttp.ClientError):
        async with filled.session.get(filled.url + path, headers=OWNER) as response:
            got += await response.content.readexactly(100_000)
            os.truncate(tree.folder / "echo" / "outputs" / "cut.bin", 20 << 20)
            async for piece in response.content.iter_any():
                got += piece
    assert b"bucket_unavailable" not in got
