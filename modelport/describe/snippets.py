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
    token = deployment["token"]
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    parts = _body(deployment, card)
    return PYTHON.format(**parts, endpoint=deployment["endpoint"], headers=json.dumps(headers))


def asynchronous(deployment: dict[str, Any], card: Card | None) -> str:
    """A call by the deployment's bucket, which must be there, with boto3."""
    bucket: dict[str, str] = deployment["bucket"]
    variables = BUCKET.format(**{name: json.dumps(value) for name, value in bucket.items()})
    parts = _body(deployment, card)
    return ASYNCHRONOUS.format(**parts, variables=variables, region=json.dumps(bucket["region"]))


def _body(deployment: dict[str, Any], card: Card | None) -> dict[str, str]:
    """The JSON to be sent, and lines that put files into it. Without a card it asks what arguments there are."""
    if card is None:
        return {"imports": "", "body": repr({"help": ""}), "files": ""}
    values, named = call_of(card, samples_of(deployment["module"]))
    files = ""
    for name, paths in named.items():
        for path in paths:
            suffix = Path(path).suffix[1:] or "bin"
            files += FILE.format(path=json.dumps(path), key=json.dumps(name), format=json.dumps(suffix))
    return {"imports": "base64, " if files else "", "body": repr(values), "files": files}


def command_line(deployment: dict[str, Any], card: Card | None) -> list[str]:
    """The same call by `modelport predict`; where a token is needed the first line sets it."""
    words = ["modelport", "predict", "--url", str(deployment["endpoint"]).rpartition("/run/")[0], deployment["name"]]
    values, files = call_of(card, samples_of(deployment["module"])) if card is not None else ({}, {})
    for name, value in values.items():
        words += [f"--{name}", as_text(value)]
    words += [word for name, paths in files.items() for path in paths for word in (f"--{name}", path)]
    token = deployment["token"]
    return [*([f"export BEARER_TOKEN={token}"] if token else []), shlex.join(words)]
