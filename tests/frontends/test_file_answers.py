"""A model that returns the name of the file it wrote, as the tutorial does: the file is the answer, at every door."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import OpenHouse
from tests.house import PATIENCE_S, House, wait_until

TUTORIAL = """
import os, tempfile
from marshmallow import fields, validate

def get_predict_args():
    return {
        "mode": fields.Str(load_default="tutorial"),
        "text": fields.Str(load_default=""),
        "accept": fields.Str(
            load_default="application/json",
            metadata={"location": "headers"},
            validate=validate.OneOf(["application/json", "application/pdf", "text/csv"]),
        ),
    }

def predict(mode, text, accept):
    if mode == "echo":
        return text
    if mode == "deleted":
        with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
            file.write(b"%PDF-1.4")
        return file.name
    if mode == "server":
        return os.path.join(os.path.dirname(tempfile.gettempdir()), "..", "lock")
    with tempfile.NamedTemporaryFile(suffix=".pdf", delete=False) as file:
        file.write(b"%PDF-1.4" + b"x" * int(text or 0))
    return file.name
"""
PDF = {"Accept": "application/pdf"}


@pytest.fixture
async def opened(house: OpenHouse) -> House:
    return await house(TUTORIAL)


async def test_every_interface_answers_with_the_file_itself(opened: House) -> None:
    for path, headers in (("/v2/models/x/predict/", PDF), ("/x", PDF)):
        answer = await opened.post(path, headers=headers)
        assert (answer.status, answer.type, answer.body) == (200, "application/pdf", b"%PDF-1.4")
    assert 'filename="result.pdf"' in answer.headers["Content-Disposition"]
    run = await opened.post("/run/x", headers=PDF, json={})
    assert (run.status, run.type, run.body) == (200, "application/pdf", b"%PDF-1.4")
    large = await opened.post("/x", headers=PDF, params={"text": str(3 << 20)})
    assert (large.status, len(large.body)) == (200, 8 + (3 << 20))
    await wait_until(lambda: opened.scratch() == [])


async def test_a_jobs_result_is_the_file_itself(opened: House) -> None:
    headers = {**PDF, "Prefer": f"wait={PATIENCE_S:g}"}
    job = await opened.post("/x", headers=headers)
    assert (job.status, job.type, job.body) == (200, "application/pdf", b"%PDF-1.4")


async def test_what_the_call_did_not_write_is_an_error_and_never_the_text_under_that_type(opened: House) -> None:
    answers = [
        await opened.post("/x", headers=PDF, params={"mode": "deleted"}),
        await opened.post("/x", headers=PDF, params={"mode": "server"}),
        await opened.post("/x", headers=PDF, params={"mode": "echo", "text": "/etc/passwd"}),
        await opened.post("/x", headers=PDF, params={"mode": "echo", "text": str(opened.home / "store.sqlite")}),
        await opened.post("/x", headers=PDF, params={"mode": "echo", "text": "plot.pdf"}),
    ]
    for answer in answers:
        assert answer.status == 500
        assert "this call wrote no file of that name; return its bytes" in answer.text


async def test_a_path_stays_text_where_json_or_text_is_asked_for(opened: House) -> None:
    echo = {"mode": "echo", "text": "/etc/passwd"}
    assert (await opened.post("/x", params=echo, headers={"Accept": "application/json"})).json() == {
        "result": "/etc/passwd"
    }
    answer = await opened.post("/x", params=echo, headers={"Accept": "text/csv"})
    assert (answer.body, answer.type) == (b"/etc/passwd", "text/csv; charset=utf-8")


async def test_text_says_its_charset_at_every_door_and_in_results(opened: House) -> None:
    """What we encode as UTF-8 says so: browsers and spreadsheets would guess Latin-1."""
    csv, echo = {"Accept": "text/csv"}, {"mode": "echo", "text": "é"}
    for path in ("/v2/models/x/predict/", "/x"):
        assert (await opened.post(path, headers=csv, params=echo)).type == "text/csv; charset=utf-8"
    run = await opened.post("/run/x", headers=csv, json=echo)
    assert run.type.startswith("text/") and run.type.endswith("charset=utf-8")
    job = await opened.post("/x", headers={**csv, "Prefer": "respond-async"}, params=echo)
    result = await opened.get(f"/jobs/{job.json()['id']}/result", params={"wait": "30"})
    while result.status != 200:
        result = await opened.get(f"/jobs/{job.json()['id']}/result", params={"wait": "30"})
    assert (result.type, result.body) == ("text/csv; charset=utf-8", "é".encode())


async def test_temporary_files_go_with_their_call(opened: House) -> None:
    for _ in range(3):
        await opened.post("/x")  # the path is the answer, as JSON, and the file is gone
    await wait_until(lambda: opened.scratch() == [])
    assert list(Path(opened.home / "run").rglob("*.pdf")) == []
