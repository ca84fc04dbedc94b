"""schemathesis, a thousand cases a door: whatever it makes up, no answer is a 5xx of ours."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from tests.attacks.conftest import TOKEN, complaints
from tests.house import spawned_house
from tests.plain.test_fuzz import SOURCE

CASES = 1000
# Doors by the beginning of their paths in our own document.
DOORS = {
    "deepaas": ("/v2/",),
    "plain": ("/patient", "/status/", "/results/"),
    "jobs": ("/jobs", "/events"),
    "deployments": ("/deployments",),
    "files": ("/files",),
    "kserve": ("/kserve/",),
    "openai": ("/v1/",),
    "mcp": ("/mcp",),
}
ENDLESS = ("/events", "/jobs/{id}/events", "/deployments/{name}/log", "/jobs/{id}/log")
ANY_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {}},
        "text/plain": {"schema": {"type": "string"}},
        "image/png": {"schema": {"type": "string", "format": "binary"}},
        "application/x-www-form-urlencoded": {"schema": {"type": "object", "additionalProperties": {"type": "string"}}},
        "multipart/form-data": {"schema": {"type": "object", "properties": {"word": {}, "image": {}, "count": {}}}},
    },
}
# That door's document is the platform's, and not ours to print.
OSCAR = {
    "openapi": "3.0.2",
    "info": {"title": "oscar", "version": "1"},
    "paths": {
        path: {
            method: {
                "parameters": [
                    {"name": "format", "in": "query", "schema": {"type": "string"}},
                    {"name": "Accept", "in": "header", "schema": {"type": "string"}},
                ],
                "requestBody": ANY_BODY,
                "responses": {"200": {"description": ""}},
            }
        }
        for path, method in (
            ("/run/patient", "post"),
            ("/job/patient", "post"),
            ("/system/services", "post"),
            ("/system/services", "put"),
            ("/system/buckets", "put"),
            ("/system/buckets/patient/presign", "post"),
        )
    },
}
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def operations(url: str, door: str) -> list[Any]:
    document = OSCAR if door == "oscar" else requests.get(f"{url}/openapi.json", headers=HEADERS, timeout=30).json()
    schema: Any = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url)
    every = [found.ok() for found in schema.get_all_operations()]
    if door == "oscar":
        return every
    return [each for each in every if each.path.startswith(DOORS[door]) and each.path not in ENDLESS]


@pytest.mark.thorough
@pytest.mark.parametrize("door", [*DOORS, "oscar"])
def test_a_thousand_cases_a_door_are_taken_or_refused(tmp_path: Path, door: str) -> None:
    options = {"token": TOKEN, "job_limit": 100_000, "predict_timeout_s": 20.0}
    with spawned_house(tmp_path, {"patient": SOURCE}, **options) as house:
        found = operations(house.url, door)
        assert found
        tried = sum(try_out(operation, math.ceil(CASES / len(found)), house.log) for operation in found)
        assert tried >= CASES * 0.9
        assert not complaints(house.log)


def try_out(operation: Any, examples: int, log: Path) -> int:
    """How many cases there were: some operations have only a few."""
    count = 0

    @given(case=operation.as_strategy())
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any) -> None:
        nonlocal count
        count += 1
        response = case.call(headers=HEADERS, timeout=60)
        assert response.status_code < 500 or response.status_code == 501, (
            f"{response.status_code} {response.text[:500]}"
        )

    ask()
    return count
