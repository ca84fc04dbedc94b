"""The official template's habit, `except Exception as e: raise HTTPBadRequest(reason=e)`, with each age of aiohttp."""

from __future__ import annotations

import pytest

from modelport.errors import ModelFailed
from tests.environments import environment
from tests.executors.conftest import OpenBench

pytestmark = pytest.mark.slow

ENVIRONMENTS = [
    ("3.8", "aiohttp==3.8.*"),
    ("3.10", "aiohttp==3.10.*"),
    ("3.10", "aiohttp==3.12.*"),
    ("3.13", "aiohttp"),
]

PLUGIN = """
from functools import wraps
from aiohttp import web

def catch_error(function):
    @wraps(function)
    def inner(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except Exception as e:
            raise web.HTTPBadRequest(reason=e)
    return inner

@catch_error
def get_metadata():
    raise ValueError("no metadata\\nhere")

WORDS = ValueError("what\\nhappened")

@catch_error
def wrapped(): raise WORDS
def chained():
    try: raise WORDS
    except ValueError as err: raise web.HTTPException(reason=err) from err
def outside(): raise web.HTTPNotFound(reason=WORDS)
def lines(): raise web.HTTPNotFound(reason="what\\nhappened")
def text(): raise web.HTTPForbidden(text=WORDS)
def moved(): raise web.HTTPFound("/elsewhere", reason=WORDS)
def plain(): raise web.HTTPConflict(reason="what happened")

from marshmallow import fields
def get_predict_args(): return {"mode": fields.Str()}
def predict(mode): return globals()[mode]()
"""
LATE = """
def predict(**k):
    try:
        raise ValueError("what\\nhappened")
    except ValueError as e:
        from aiohttp import web
        raise web.HTTPBadRequest(reason=e)
"""
STATUSES = {"wrapped": 400, "chained": 500, "outside": 404, "lines": 404, "text": 403, "moved": 500, "plain": 409}


@pytest.mark.parametrize(("python", "aiohttp"), ENVIRONMENTS, ids=[each for _, each in ENVIRONMENTS])
async def test_status_and_text_are_what_the_author_meant(bench: OpenBench, python: str, aiohttp: str) -> None:
    interpreter = str(environment(python, [aiohttp, "marshmallow<4"]))
    opened = await bench("fork", PLUGIN, python=interpreter)
    for mode, status in STATUSES.items():
        error = (await opened.run(mode)).error
        assert isinstance(error, ModelFailed)
        assert (error.status, error.message) == (status, "what happened"), mode
    assert opened.card.metadata_error == "HTTPBadRequest: no metadata here"
    late = await bench("fork", LATE, python=interpreter)
    error = (await late.run()).error
    assert error is not None and (error.status, error.message) == (400, "what happened")
