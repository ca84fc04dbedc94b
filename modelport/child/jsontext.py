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
from typing import Any

from modelport.child import failures
from modelport.errors import ModelFailed

_TEXT = (decimal.Decimal, uuid.UUID, os.PathLike, datetime.timedelta)
_DATES = (datetime.date, datetime.time)
_BINARY = (bytes, bytearray, memoryview)
_CONTAINERS = (dict, list, tuple)
_SCALARS = {str, int, float, bool, type(None)}
KEY_CHARS = 40
# Of the missing values so many places are told.
SHOWN_PLACES = 5


def encode(value: Any, nan: str = "null", *, place: str = "answer", missing: Missing | None = None) -> bytes:
    """`value` as UTF-8 JSON. Raises ModelFailed, which names the place of what JSON cannot say.

    nan: "null" or "error", for numbers that are none (NaN, infinity) and pandas' missing values.
    place: where `value` stands in the answer. missing: counts for several values, and its owner tells.
    """
    counted = Missing(nan) if missing is None else missing
    try:
        try:
            _check_keys(value)
            text = _dumps(value)
        except (TypeError, ValueError):
            # Keys that are not text, or something to complain about: walk it in Python, which knows where it is.
            text = _dumps(_plain(value, place, counted))
    except RecursionError as error:
        raise ModelFailed("the answer is not valid JSON: it is nested too deeply") from error
    except ValueError as error:
        reason = "it contains itself" if "ircular" in str(error) else error
        raise ModelFailed(f"the answer is not valid JSON: {reason}") from error
    if missing is None:
        counted.tell()
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _without_half_characters(text)


def _without_half_characters(text: str) -> bytes:
    """Lone surrogates, as file names may have them, become U+FFFD: strict readers of JSON refuse them."""
    failures.log("the answer has invalid characters (lone surrogates); sent as U+FFFD")
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


class Missing:
    """Where an answer has values that JSON does not know, which are sent as null."""

    def __init__(self, policy: str) -> None:
        self.policy = policy
        self.count = 0
        self.places: list[str] = []

    def take(self, value: Any, place: str) -> None:
        if self.policy == "error":
            raise ModelFailed(f"the answer is not valid JSON: {place} is {value}; JSON has no such number")
        self.count += 1
        if self.count <= SHOWN_PLACES:
            self.places.append(f"{place} ({value})")

    def tell(self) -> None:
        if self.count:
            places = ", ".join(self.places) + (", …" if self.count > SHOWN_PLACES else "")
            many = "1 value" if self.count == 1 else f"{self.count} values"
            failures.log(f"{many} of the answer sent as null: {places}")


def _is_missing(value: Any) -> bool:
    """NaN and infinity, also as Decimal; pandas' NaT and NA."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, decimal.Decimal):
        return not value.is_finite()
    return type(value).__name__ in ("NaTType", "NAType")


def _check_keys(value: Any) -> None:
    """Raises TypeError where a dict has two keys that are one in JSON, as 1 and "1" are.

    Looks into lists and dicts only, and takes some hundredths of the time that encoding takes.
    """
    waiting, seen = [value] if isinstance(value, _CONTAINERS) else [], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue  # the encoder complains of circles
        seen.add(id(value))
        if isinstance(value, dict):
            kinds = set(map(type, value))
            if len(kinds) > 1 and len({_spelled(key) for key in value}) < len(value):
                raise TypeError("two keys are the same")
            value = value.values()
        if not set(map(type, value)) <= _SCALARS:
            waiting += [item for item in value if isinstance(item, _CONTAINERS)]


def _simpler_checked(value: Any) -> Any:
    simpler = _simpler(value)
    _check_keys(simpler)
    return simpler


# Made once: json.dumps makes a new one for each call with these options.
_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_simpler_checked).encode


def _simpler(value: Any) -> Any:
    """One step towards what json knows. Raises TypeError."""
    if _is_missing(value):
        raise TypeError("no value")  # `_plain` knows where it is
    if isinstance(value, _BINARY):
        raise TypeError(f"{type(value).__name__} ({len(value)} bytes), which JSON cannot express; encode it as base64")
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
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    for name in ("model_dump", "to_dict"):  # pydantic; pandas' DataFrame
        if callable(getattr(value, name, None)) and not isinstance(value, type):
            return getattr(value, name)()
    if callable(getattr(value, "item", None)):
        return value.item()
    if hasattr(value, "__next__") or (hasattr(value, "__iter__") and hasattr(value, "__len__")):
        return list(value)  # a generator, a deque, a dict's keys
    raise TypeError(f"{_article(value)}, which JSON cannot express")


def _article(value: Any) -> str:
    cls = type(value)
    name = cls.__qualname__ if cls.__module__ in ("builtins", "__main__") else f"{cls.__module__}.{cls.__qualname__}"
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _ordered(value: Any) -> list[Any]:
    try:
        return sorted(value)
    except TypeError:
        return list(value)


def _plain(value: Any, place: str, missing: Missing) -> Any:
    """`value` in json's own types. Raises ModelFailed naming the place; RecursionError."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if _is_missing(value):
        return missing.take(value, place)
    if isinstance(value, float):
        return value
    if isinstance(value, dict):
        return _plain_dict(value, place, missing)
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{place}[{index}]", missing) for index, item in enumerate(value)]
    try:
        simpler = _simpler(value)
    except TypeError as error:
        raise ModelFailed(f"the answer is not valid JSON: {place} is {error}") from error
    return _plain(simpler, place, missing)


def _plain_dict(value: dict[Any, Any], place: str, missing: Missing) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, item in value.items():
        name = _spelled(_key(key))
        if name in plain:
            raise ModelFailed(f"the answer is not valid JSON: {place} has two keys that are {name!r} there")
        plain[name] = _plain(item, f"{place}[{_short(key)}]", missing)
    return plain


def _spelled(key: Any) -> str:
    """A key as JSON has it."""
    if isinstance(key, str):
        return str(key)
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, float):
        return float.__repr__(key)
    return int.__repr__(key) if isinstance(key, int) else str(key)


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
