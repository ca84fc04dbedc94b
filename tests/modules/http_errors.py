# mypy: ignore-errors
"""aiohttp's exceptions with an exception as reason, as the templates do; one by a decorator."""

from functools import wraps

from aiohttp.web import HTTPBadRequest, HTTPException
from webargs import fields


def _catch_error(function):
    @wraps(function)
    def inner(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except Exception as error:
            raise HTTPBadRequest(reason=error) from error

    return inner


@_catch_error
def get_metadata():
    return {"name": "http-errors"}


def get_predict_args():
    return {"how": fields.Str(load_default="base", metadata={"enum": ["base", "text", "decorator", "plain"]})}


@_catch_error
def _decorated():
    raise ValueError("the decorator saw this")


def predict(**kwargs):
    how = kwargs["how"]
    if how == "decorator":
        return _decorated()
    if how == "text":
        raise HTTPBadRequest(reason="no such thing")
    try:
        raise ValueError("what happened")
    except ValueError as error:
        if how == "plain":
            raise
        raise HTTPException(reason=error) from error
