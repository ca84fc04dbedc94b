"""/openapi.json of all doors, and the page at the root."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.house import open_house
from tests.plain.conftest import Doors, bearer

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="package")]


async def document(doors: Doors, token: str = "") -> Any:
    return (await doors.get("/openapi.json", headers=bearer(token) if token else {})).json()


async def test_each_caller_reads_of_what_he_may_call(doors: Doors) -> None:
    named = {"/everything", "/needs", "/small"}  # `docs` has no plain endpoint: the path is taken
    plain = {*named, "/svc"}
    for token, found in (("", named), (doors.token, plain), (doors.owner, plain)):
        paths = (await document(doors, token))["paths"]
        assert {path for path in paths if path in {*plain, "/docs"}} == found


async def test_title_summary_description_and_version_are_the_models(doors: Doors) -> None:
    paths = (await document(doors, doors.token))["paths"]
    post = paths["/everything"]["post"]
    assert post["summary"] == "Everything: Answers with what it got"
    assert post["description"] == "One argument of every kind.\n\nVersion 1.2 of the model."
    deployed = paths["/svc"]["post"]
    assert deployed["summary"] == "My service: Answers with what it got"
    assert deployed["description"] == "Mine.\n\nOne argument of every kind.\n\nVersion 1.2 of the model."


async def test_arguments_and_answers_are_described_by_every_road(doors: Doors) -> None:
    found = await document(doors, doors.token)
    item = found["paths"]["/everything"]
    query = {parameter["name"]: parameter for parameter in item["get"]["parameters"] if parameter["in"] != "header"}
    assert set(query) == {
        *("mode", "word", "count", "level", "loud", "numbers", "boxes", "table", "secret", "on-the-wire"),
    }
    assert {each["in"] for each in query.values()} == {"query"}
    assert set(item["post"]["requestBody"]["content"]) == {
        "multipart/form-data",
        "application/json",
        "application/x-www-form-urlencoded",
    }
    assert set(item["post"]["responses"]["200"]["content"]) >= {"application/json", "application/pdf"}
    assert item["post"]["responses"]["200"]["content"]["application/json"]["schema"]["required"] == ["result"]
    assert item["get"]["operationId"] != item["post"]["operationId"]
    # What needs a file cannot be asked by GET.
    assert set(found["paths"]["/needs"]) == {"post"}
    assert set(found["paths"]["/needs"]["post"]["requestBody"]["content"]) == {"multipart/form-data"}
    ids = [each["operationId"] for path in found["paths"].values() for each in path.values() if "operationId" in each]
    assert len(ids) == len(set(ids))


async def test_a_call_says_how_it_becomes_a_job(doors: Doors) -> None:
    paths = (await document(doors, doors.token))["paths"]
    for operation in (paths["/everything"]["get"], paths["/everything"]["post"], paths["/svc"]["post"]):
        headers = [parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "header"]
        assert headers == ["Prefer", "Idempotency-Key", "X-Webhook-URL"]
        assert "Location" in operation["responses"]["202"]["headers"]
    later = paths["/everything/async"]["post"]
    assert set(later["requestBody"]["content"]) == set(paths["/everything"]["post"]["requestBody"]["content"])
    assert "200" not in later["responses"]
    assert set(paths["/svc/async"]["post"]) >= {"security"}
    # The older document is deepaas' own, and knows no jobs.
    assert "jobs" not in (await doors.get("/swagger.json")).text


async def test_only_what_needs_a_token_says_so(doors: Doors) -> None:
    found = await document(doors, doors.token)
    assert found["components"]["securitySchemes"]["bearer"] == {"type": "http", "scheme": "bearer"}
    assert found["paths"]["/svc"]["get"]["security"] == [{"bearer": []}]
    assert "security" not in found["paths"]["/small"]["get"]
    assert "securitySchemes" not in (await document(doors))["components"]


async def test_every_reference_of_every_front_end_leads_to_a_schema(doors: Doors) -> None:
    found = await document(doors, doors.owner)
    schemas = found["components"]["schemas"]
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(found)))
    assert named <= set(schemas)
    assert named >= {
        "JobDocument",
        "DeploymentDocument",
        "ModulesFound",
        "FilePage",
        "Readiness",
        "BegunJob",
        "Failure",
    }
    for path, item in found["paths"].items():
        for operation in item.values():
            parts = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
            assert parts == set(re.findall(r"{(\w+)}", path)), path


BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


async def test_a_browser_is_greeted_where_there_is_no_dashboard(tmp_path: Path) -> None:
    async with open_house(tmp_path, "def predict(): return 1", dashboard=False) as house:
        answer = await house.get("/", headers=BROWSER)
    assert answer.type == "text/html; charset=utf-8"
    assert '<a href="/docs">' in answer.text
    assert "<script" not in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_a_browser_comes_to_the_dashboard_and_a_program_gets_json(doors: Doors) -> None:
    answer = await doors.get("/", headers=BROWSER)
    assert (answer.status, answer.headers["Location"]) == (302, "/ui/")
    assert "everything" not in answer.text
    for accept in ("*/*", "application/json", "application/json, text/html;q=0.5"):
        assert json.loads((await doors.get("/", headers={"Accept": accept})).body)["versions"]
