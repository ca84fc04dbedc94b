"""How to call a deployment: lines for a shell and for Python, to be pasted, and to work."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from modelport.card import Argument, Card
from modelport.curl import SAMPLES, curl_line, plausible, sample

PYTHON = """\
import {imports}json, urllib.request

body = {body}
{files}request = urllib.request.Request(
    "{endpoint}",
    json.dumps(body).encode(),
    {headers},
)
print(urllib.request.urlopen(request).read().decode())
"""
FILES = """\
with open({path}, "rb") as file:
    data = base64.b64encode(file.read()).decode()
body["oscar-files"] = [{{"key": {key}, "file_format": {format}, "data": data}}]
"""


def plain_url(deployment: dict[str, Any]) -> str:
    """The plain endpoint: the OSCAR one without its `/run`."""
    base, _, name = str(deployment["endpoint"]).rpartition("/run/")
    return f"{base}/{name}"


def shell(deployment: dict[str, Any], card: Card | None, samples: Path = SAMPLES) -> list[str]:
    """Lines; where a token is needed the first sets it."""
    token = deployment["token"]
    header = ' -H "Authorization: Bearer $TOKEN"' if token else ""
    lines = [f"TOKEN={token}"] if token else []
    lines.append(f'curl -s{header} -d \'{{"help": ""}}\' {deployment["endpoint"]}')
    if card is not None:
        lines.append(curl_line(card, plain_url(deployment), token=bool(token), samples=samples))
    return lines


def python(deployment: dict[str, Any], card: Card | None, samples: Path = SAMPLES) -> str:
    """A call by the OSCAR endpoint, with nothing but the standard library."""
    arguments = card.predict_args if card is not None else []
    needed = [each for each in arguments if each.required and not each.read_only]
    file = next((each for each in [*needed, *arguments] if each.is_file), None)
    body: dict[str, Any] = {each.wire_name: plausible(each) for each in needed if not each.is_file}
    if not body and file is None:
        body = {"help": ""}
    files = _files(file, card, samples) if file is not None and card is not None else ""
    return _script(deployment, body, files)


def _script(deployment: dict[str, Any], body: dict[str, Any], files: str = "") -> str:
    token = deployment["token"]
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    return PYTHON.format(
        imports="base64, " if files else "",
        body=repr(body),
        files=files,
        endpoint=deployment["endpoint"],
        headers=json.dumps(headers),
    )


def python_help(deployment: dict[str, Any]) -> str:
    """Asks what arguments there are."""
    return _script(deployment, {"help": ""})


def command_line(deployment: dict[str, Any], card: Card | None, samples: Path = SAMPLES) -> list[str]:
    """The same call by `modelport predict`; where a token is needed the first line sets it."""
    arguments = card.predict_args if card is not None else []
    needed = [each for each in arguments if each.required and not each.read_only]
    shown = needed or [each for each in arguments if each.is_file][:1]
    words = ["modelport", "predict", "--url", str(deployment["endpoint"]).rpartition("/run/")[0], deployment["name"]]
    for each in shown:
        assert card is not None
        value = sample(each, card, samples) if each.is_file else plausible(each)
        words += [f"--{each.wire_name}", value if isinstance(value, str) else json.dumps(value)]
    token = deployment["token"]
    return [*([f"export BEARER_TOKEN={token}"] if token else []), shlex.join(words)]


def _files(argument: Argument, card: Card, samples: Path) -> str:
    path = sample(argument, card, samples)
    suffix = Path(path).suffix[1:] or "bin"
    return FILES.format(path=json.dumps(path), key=json.dumps(argument.wire_name), format=json.dumps(suffix))
