"""How to call a deployment: lines for a shell and for Python, to be pasted, and to work."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from modelport.contract.card import Card
from modelport.describe.curl import as_text, curl_line
from modelport.describe.examples import call_of, samples_of

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
FILE = """\
with open({path}, "rb") as file:
    data = base64.b64encode(file.read()).decode()
body.setdefault("oscar-files", []).append({{"key": {key}, "file_format": {format}, "data": data}})
"""
# The names are those of the platform's tutorial, whose script takes them as they are.
BUCKET = """\
MINIO_BUCKET = {bucket}
MINIO_URL = {endpoint}
MINIO_ACCESS_KEY = {access_key}
MINIO_SECRET_KEY = {secret_key}
prediction_ID = "test-prediction"
"""
ASYNCHRONOUS = """\
import {imports}json
import boto3

{variables}
body = {body}
{files}client = boto3.client(
    "s3",
    endpoint_url=MINIO_URL,
    region_name={region},
    aws_access_key_id=MINIO_ACCESS_KEY,
    aws_secret_access_key=MINIO_SECRET_KEY,
)
client.put_object(Bucket=MINIO_BUCKET, Key=f"inputs/{{prediction_ID}}.json", Body=json.dumps(body))
# The log comes last; without a result next to it, it says why there is none.
log = f"outputs/{{prediction_ID}}.log"
client.get_waiter("object_exists").wait(Bucket=MINIO_BUCKET, Key=log, WaiterConfig={{"Delay": 1, "MaxAttempts": 3600}})
for each in client.list_objects_v2(Bucket=MINIO_BUCKET, Prefix=f"outputs/{{prediction_ID}}.")["Contents"]:
    client.download_file(MINIO_BUCKET, each["Key"], each["Key"].rpartition("/")[2])
    print(each["Key"], each["Size"], "bytes")
"""


def plain_url(deployment: dict[str, Any]) -> str:
    """The plain endpoint: the OSCAR one without its `/run`."""
    base, _, name = str(deployment["endpoint"]).rpartition("/run/")
    return f"{base}/{name}"


def shell(deployment: dict[str, Any], card: Card | None) -> list[str]:
    """Lines; where a token is needed the first sets it. Without a card the other asks what arguments there are."""
    token = deployment["token"]
    header = ' -H "Authorization: Bearer $TOKEN"' if token else ""
    lines = [f"TOKEN={token}"] if token else []
    if card is None:
        return [*lines, f'curl -s{header} -d \'{{"help": ""}}\' {deployment["endpoint"]}']
    return [*lines, curl_line(card, plain_url(deployment), token=bool(token), samples=samples_of(deployment["module"]))]


def python(deployment: dict[str, Any], card: Card | None) -> str:
    """A call by the OSCAR endpoint, with nothing but the standard library."""
    body, files = _body(card, samples_of(deployment["module"]))
    return _script(deployment, body, files)


def asynchronous(deployment: dict[str, Any], card: Card | None) -> str:
    """A call by the deployment's bucket, which must be there, with boto3."""
    bucket: dict[str, str] = deployment["bucket"]
    body, files = _body(card, samples_of(deployment["module"]))
    return ASYNCHRONOUS.format(
        imports="base64, " if files else "",
        variables=BUCKET.format(**{name: json.dumps(value) for name, value in bucket.items()}),
        body=repr(body),
        files=files,
        region=json.dumps(bucket["region"]),
    )


def _body(card: Card | None, samples: Path) -> tuple[dict[str, Any], str]:
    """(the JSON to be sent, lines that put files into it)."""
    if card is None:
        return {"help": ""}, ""
    values, files = call_of(card, samples)
    return values, "".join(_file(name, path) for name, paths in files.items() for path in paths)


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


def command_line(deployment: dict[str, Any], card: Card | None) -> list[str]:
    """The same call by `modelport predict`; where a token is needed the first line sets it."""
    words = ["modelport", "predict", "--url", _root(deployment), deployment["name"]]
    values, files = call_of(card, samples_of(deployment["module"])) if card is not None else ({}, {})
    for name, value in values.items():
        words += [f"--{name}", as_text(value)]
    words += [word for name, paths in files.items() for path in paths for word in (f"--{name}", path)]
    token = deployment["token"]
    return [*([f"export BEARER_TOKEN={token}"] if token else []), shlex.join(words)]


def _root(deployment: dict[str, Any]) -> str:
    return str(deployment["endpoint"]).rpartition("/run/")[0]


def _file(name: str, path: str) -> str:
    suffix = Path(path).suffix[1:] or "bin"
    return FILE.format(path=json.dumps(path), key=json.dumps(name), format=json.dumps(suffix))
