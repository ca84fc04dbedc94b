"""What a model answers as a page cannot act as this server, whichever door it comes by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.house import House, open_house

PAGES = (
    "text/html",
    "text/html; charset=utf-8",
    "image/svg+xml",
    "application/xhtml+xml",
    "text/xml",
    "application/xml",
    "text/xsl",
    "multipart/x-mixed-replace",
)
HARMLESS = ("image/png", "application/pdf", "text/plain", "application/octet-stream")
MODEL = f"""
from marshmallow import fields, validate
TYPES = {[*PAGES, *HARMLESS]!r}
def get_predict_args():
    return {{"accept": fields.Str(load_default=TYPES[0], validate=validate.OneOf(TYPES), location="headers")}}
def predict(accept):
    return b"<svg xmlns='http://www.w3.org/2000/svg'><script>fetch('/deployments')</script></svg>"
"""
DOORS = (
    ("POST", "/v2/models/x/predict/"),
    ("GET", "/x"),
    ("POST", "/x"),
    ("POST", "/run/x"),
)


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, MODEL) as house:
        yield house


async def test_pages_that_a_model_makes_are_sandboxed_at_every_door(opened: House) -> None:
    for method, path in DOORS:
        for kind in (*PAGES, *HARMLESS):
            answer = await opened.ask(method, path, headers={"Accept": kind}, json={} if method == "POST" else None)
            assert answer.status == 200, (path, kind, answer.text)
            # OSCAR's text holds what came; it is none itself.
            told = kind if answer.type.partition(";")[0] == kind.partition(";")[0] else answer.type
            assert told == kind or told.startswith("text/plain"), (path, kind, told)
            sandboxed = answer.headers.get("Content-Security-Policy") == "sandbox"
            assert sandboxed == (told in PAGES), (path, kind)
            assert answer.headers["X-Content-Type-Options"] == "nosniff", (path, kind)
