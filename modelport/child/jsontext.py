"""Python values to JSON, also those that json alone refuses: numpy, sets, dates, dataclasses."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import json
import math
import os
import uuid
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Any

from modelport.errors import ModelFailed

_TEXT = (decimal.Decimal, uuid.UUID, os.PathLike, datetime.timedelta)
_DATES = (datetime.date, datetime.time)
_BINARY = (bytes, bytearray, memoryview)
KEY_CHARS = 40


def encode(value: Any) -> bytes:
    """`value` as UTF-8 JSON. Raises ModelFailed, which names the place of what JSON cannot say."""
    try:
        try:
            text = _dumps(value)
        except (TypeError, ValueError):
            # Keys that are not text, or something to complain about: walk it in Python, which knows where it is.
            text = _dumps(_plain(value, "answer"))
    except (RecursionError, ValueError) as error:
        raise ModelFailed(f"the answer is no JSON: {_reason(error)}") from error
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate, as file names may have them: JSON can say it as \udcff
        return json.dumps(json.loads(text)).encode()


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "it contains itself" if "ircular" in str(error) else str(error)


def _dumps(value: Any) -> str:
    return _encoder().encode(value)


@lru_cache(maxsize=None)
def _encoder() -> json.JSONEncoder:
    """Made once: json.dumps makes a new one for each call with these options."""
    return json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_simpler)


def _simpler(value: Any) -> Any:
    """One step towards what json knows. Raises TypeError."""
    if isinstance(value, _BINARY):
        raise TypeError(f"{type(value).__name__} ({len(value)} bytes), which JSON cannot say; encode it as base64")
    if callable(getattr(value, "tolist", None)):  # numpy, pandas' Series, torch
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return _ordered(value)
    if isinstance(value, _DATES):
        return value.isoformat()
    if isinstance(value, _TEXT):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    for name in ("model_dump", "to_dict"):  # pydantic; pandas' DataFrame
        if callable(getattr(value, name, None)) and not isinstance(value, type):
            return getattr(value, name)()
    if callable(getattr(value, "item", None)):
        return value.item()
    if hasattr(value, "__next__") or (hasattr(value, "__iter__") and hasattr(value, "__len__")):
        return list(value)  # a generator, a deque, a dict's keys
    raise TypeError(f"{_article(value)}, which JSON cannot say")


def _article(value: Any) -> str:
    cls = type(value)
    name = cls.__qualname__ if cls.__module__ in ("builtins", "__main__") else f"{cls.__module__}.{cls.__qualname__}"
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _ordered(value: Any) -> list[Any]:
    try:
        return sorted(value)
    except TypeError:
        return list(value)


def _plain(value: Any, place: str) -> Any:
    """`value` in json's own types. Raises ModelFailed naming the place; RecursionError."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ModelFailed(f"the answer is no JSON: {place} is {float(value)!r}; JSON has no such number")
        return value
    if isinstance(value, dict):
        return {_key(key): _plain(each, f"{place}[{_short(key)}]") for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each, f"{place}[{index}]") for index, each in enumerate(value)]
    try:
        simpler = _simpler(value)
    except TypeError as error:
        raise ModelFailed(f"the answer is no JSON: {place} is {error}") from error
    return _plain(simpler, place)


def _short(key: Any) -> str:
    text = repr(key)
    return text if len(text) <= KEY_CHARS else text[:KEY_CHARS] + "…"


def _key(key: Any) -> Any:
    """What json takes as a key: text, or what it makes text of by itself."""
    if isinstance(key, Enum):
        key = key.value
    if callable(getattr(key, "item", None)):
        key = key.item()
    if isinstance(key, float) and not math.isfinite(key):
        return str(key)
    return key if key is None or isinstance(key, (str, bool, int, float)) else str(key)
