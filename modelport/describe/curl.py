"""One curl line that asks a model for a prediction, with plausible values: to be pasted, and to work."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from modelport.contract.card import Card
from modelport.describe.examples import SAMPLES, call_of


def curl_line(card: Card, url: str, *, token: bool, samples: Path = SAMPLES) -> str:
    """url: of the predict route. token: callers must send one; its value is never shown."""
    values, files = call_of(card, samples)
    locations = {argument.wire_name: argument.location for argument in card.predict_args}
    texts = {name: as_text(value) for name, value in values.items()}
    parts = ["curl", "-s"]
    if token:
        parts += ["-H", "TOKEN"]
    for name, text in texts.items():
        if locations[name] == "headers":
            parts += ["-H", f"{name}: {text}"]
        elif locations[name] == "cookies":
            parts += ["-b", f"{name}={text}"]
    body = [name for name in values if locations[name] not in ("headers", "cookies", "query")]
    query = {name: text for name, text in texts.items() if locations[name] == "query"}
    if files:
        parts += [word for name, paths in files.items() for path in paths for word in ("-F", f"{name}=@{path}")]
        parts += [word for name in body for word in ("-F", f"{name}={texts[name]}")]
    elif body:
        document = json.dumps({name: values[name] for name in body})
        parts += ["-H", "Content-Type: application/json", "-d", document]
    else:
        parts += ["-X", "POST"]
    if query:
        url += "?" + urlencode(query)
    line = shlex.join([*parts, url])
    # In double quotes, so that the shell puts the token in.
    return line.replace("-H TOKEN", '-H "Authorization: Bearer $TOKEN"', 1) if token else line


def predict_url(base: str, name: str) -> str:
    return f"{base}/v2/models/{quote(name, safe='')}/predict/"


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
