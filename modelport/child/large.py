"""Values that were too large for the gateway to read: their JSON lies in files, and is read here, under the worker's
own limits. What is valid is the same as in a small body, which the gateway reads with msgspec."""

from __future__ import annotations

import json
import math
import os
import re
from typing import Any, Mapping, NoReturn, Sequence

from modelport.contract.prediction import InputFile
from modelport.errors import InvalidJson

# As msgspec has it, and Python since 3.11: a longer one takes time that grows with the square of its length.
INTEGER_DIGITS = 4300
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read(values: Mapping[str, Any], files: Sequence[InputFile]) -> tuple[Mapping[str, Any], Sequence[InputFile]]:
    """The arguments with those that lie in files, and the files that are left. Raises InvalidJson."""
    large = [file for file in files if file.value]
    if not large:
        return values, files
    merged = dict(values)
    for file in large:
        value = _value(file)
        if file.value == "list":
            value = [value]
        elif file.value == "text":
            value = str(value)
        if file.argument:
            merged[file.argument] = value
    return merged, [file for file in files if not file.value]


def shown(files: Sequence[InputFile]) -> dict[str, str]:
    """What people are shown of such arguments."""
    return {file.argument: f"… {os.path.getsize(file.path)} bytes of JSON" for file in files if file.value}


def _value(file: InputFile) -> Any:
    try:
        with open(file.path, encoding="utf-8", newline="") as text:
            content = text.read()
        value = json.loads(content, parse_constant=_no_constant, parse_float=_float, parse_int=_int)
        if _SURROGATE.search(content):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeDecodeError as error:
        raise _invalid(f"it is not UTF-8 ({error.reason})") from error
    except UnicodeEncodeError as error:
        raise _invalid("an escape that lacks its end, or its second half") from error
    except (ValueError, RecursionError) as error:
        raise _invalid(str(error)) from error


def _invalid(reason: str) -> InvalidJson:
    return InvalidJson(f"the body is not valid JSON: {reason[:300]}", fields={"json": ["Invalid JSON body."]})


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("number out of range")
    return number


def _int(text: str) -> int:
    if len(text.lstrip("-")) > INTEGER_DIGITS:
        raise ValueError(f"an integer of more than {INTEGER_DIGITS} digits")
    return int(text)
