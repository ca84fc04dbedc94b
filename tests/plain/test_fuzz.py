"""schemathesis over our own /openapi.json: whatever it makes up, no answer is a 5xx of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.house import spawned_house

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

# Takes everything and never fails by itself; so a 5xx is the server's.
SOURCE = """
from marshmallow import fields, validate

def get_metadata():
    return {"name": "Patient", "version": "1", "summary": "Takes everything", "description": "Of every kind."}

def get_predict_args():
    file = {"type": "file", "location": "form"}
    return {
        "word": fields.Str(required=True),
        "count": fields.Int(validate=validate.Range(1, 9)),
        "level": fields.Float(load_default=0.5),
        "loud": fields.Bool(),
        "day": fields.DateTime(),
        "numbers": fields.List(fields.Float()),
        "boxes": fields.List(fields.Nested({"x": fields.Int(required=True)})),
        "table": fields.Dict(),
        "image": fields.Raw(metadata=file),
        "accept": fields.Str(
            load_default="application/json",
            validate=validate.OneOf(["application/json", "text/plain"]),
            metadata={"location": "headers"},
        ),
    }

def predict(accept, **given):
    return str(sorted(given)) if accept == "text/plain" else sorted(given)

def get_train_args():
    return {"steps": fields.Int(load_default=1)}

def train(steps):
    return steps
"""

# Seeds come from hypothesis, which prints what failed. Few: there are some 15 operations.
EXAMPLES = 15


def test_no_request_makes_the_server_fail(tmp_path: Path) -> None:
    # Its import costs every process of a run a second, also of one without this test.
    import requests
    import schemathesis

    with spawned_house(tmp_path, {"patient": SOURCE}) as house:
        schema: Any = schemathesis.openapi.from_dict(requests.get(f"{house.url}/openapi.json", timeout=30).json())
        schema.config.update(base_url=house.url)
        tried = []
        for found in schema.get_all_operations():
            operation = found.ok()
            if operation.path == "/events":  # it has no end
                continue
            _try(operation)
            tried.append(operation.label)
        assert {"GET /patient", "POST /patient", "POST /v2/models/patient/predict/"} <= set(tried)
        assert {"POST /patient/async", "GET /jobs", "DELETE /jobs/{id}"} <= set(tried)
        assert house.process.poll() is None


def _try(operation: Any) -> None:
    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any) -> None:
        response = case.call(timeout=30)
        assert response.status_code < 500, f"{response.status_code} {response.text}"
        if operation.path == "/patient":
            assert response.status_code in (200, 202, 400, 409, 413, 415, 422), (
                f"{response.status_code} {response.text}"
            )

    ask()
