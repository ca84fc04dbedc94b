"""How to call a deployment, in a shell and in some languages: lines to be pasted, and to work."""

from __future__ import annotations

import json
import shlex
from keyword import iskeyword
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from modelport.contract.card import Card
from modelport.describe.examples import SAMPLES, call_of, samples_of

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
for output in client.list_objects_v2(Bucket=MINIO_BUCKET, Prefix=f"outputs/{{prediction_ID}}.")["Contents"]:
    client.download_file(MINIO_BUCKET, output["Key"], output["Key"].rpartition("/")[2])
    print(output["Key"], output["Size"], "bytes")
"""
CLIENT = """\
from modelport.client import Client

with Client({arguments}) as client:
    print(client.predict({call}))
"""
REQUESTS = """\
import requests

response = requests.post(
    {url},
{options})
response.raise_for_status()
{end}
"""
JAVASCRIPT = """\
// Save it as call.mjs and run it: node call.mjs
{head}const response = await fetch({url}, {{
  method: "POST",
{options}}});
if (!response.ok) {{
  throw new Error(`${{response.status}}: ${{await response.text()}}`);
}}
console.log(await response.text());
"""
R = """\
# install.packages("httr2")
library(httr2)

request({url}) |>
{options}  req_perform() |>
  resp_body_string() |>
  cat()
"""
TABLE = """\
import pandas

rows = answer if isinstance(answer, list) else [answer]
table = pandas.json_normalize(rows) if all(isinstance(row, dict) for row in rows) else pandas.DataFrame({"value": rows})
table
"""
PLOT = """\
numbers = table.select_dtypes("number")
if not numbers.empty:
    numbers.plot(subplots=True, marker="o", linestyle="none", figsize=(8, 2 * len(numbers.columns)))
"""


def predict_url(base: str, name: str) -> str:
    return f"{base}/v2/models/{quote(name, safe='')}/predict/"


def curl_line(card: Card, url: str, *, token: bool, samples: Path = SAMPLES) -> str:
    """A prediction with plausible values. url: of the predict route. token: callers must send $TOKEN."""
    values, files = call_of(card, samples)
    locations = {argument.wire_name: argument.location for argument in card.predict_args}
    texts = {name: _text(value) for name, value in values.items()}
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


def plain_url(deployment: dict[str, Any]) -> str:
    """The plain endpoint: the OSCAR one without its `/run`."""
    base, _, name = str(deployment["endpoint"]).rpartition("/run/")
    return f"{base}/{name}"


class Call:
    """A call of a deployment that its module's example makes; without a card, one that asks what arguments there are.

    It reads the module's folder: make it in a thread.
    """

    def __init__(self, deployment: dict[str, Any], card: Card | None) -> None:
        """deployment: its document, with the token that callers send."""
        self.name, self.token = str(deployment["name"]), deployment["token"] or ""
        self.endpoint, self.url, self.bucket = deployment["endpoint"], plain_url(deployment), deployment["bucket"]
        self.root = str(self.endpoint).rpartition("/run/")[0]
        self._card, self._samples = card, samples_of(deployment["module"])
        self.values, self.paths = call_of(card, self._samples) if card is not None else ({"help": ""}, {})
        self._files = [(name, path) for name, paths in self.paths.items() for path in paths]

    def shell(self) -> list[str]:
        """With curl; where a token is needed, the first line sets it."""
        lines = [f"TOKEN={shlex.quote(self.token)}"] if self.token else []
        if self._card is None:
            header = ' -H "Authorization: Bearer $TOKEN"' if self.token else ""
            return [*lines, f"curl -s{header} -d '{json.dumps(self.values)}' {self.endpoint}"]
        return [*lines, curl_line(self._card, self.url, token=bool(self.token), samples=self._samples)]

    def command_line(self) -> list[str]:
        """With `modelport predict`; where a token is needed, the first line sets it."""
        words = ["modelport", "predict", "--url", self.root, self.name]
        if self._card is not None:
            named = [*((name, _text(value)) for name, value in self.values.items()), *self._files]
            words += [word for name, text in named for word in (f"--{name}", text)]
        return [*([f"export BEARER_TOKEN={shlex.quote(self.token)}"] if self.token else []), shlex.join(words)]

    def python(self) -> str:
        """By the OSCAR endpoint, with nothing but the standard library."""
        headers = {"Content-Type": "application/json", **self._bearer()}
        return PYTHON.format(**self._body(), endpoint=self.endpoint, headers=json.dumps(headers))

    def asynchronous(self) -> str:
        """By the deployment's bucket, which must be there, with boto3."""
        variables = {name: json.dumps(value) for name, value in self.bucket.items()}
        return ASYNCHRONOUS.format(**self._body(), variables=BUCKET.format(**variables), region=variables["region"])

    def _body(self) -> dict[str, str]:
        """The JSON to be sent, and lines that put files into it."""
        files = ""
        for name, path in self._files:
            suffix = Path(path).suffix[1:] or "bin"
            files += FILE.format(path=json.dumps(path), key=json.dumps(name), format=json.dumps(suffix))
        return {"imports": "base64, " if files else "", "body": repr(self.values), "files": files}

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def client(self) -> str:
        """Python, with our client."""
        paths = {name: paths if len(paths) > 1 else paths[0] for name, paths in self.paths.items()}
        arguments = repr(self.root) + (f", token={self.token!r}" if self.token else "")
        call = [repr(self.name), *(_keyword(name, value) for name, value in {**self.values, **paths}.items())]
        return CLIENT.format(arguments=arguments, call=", ".join(call))

    def requests(self, token: str = "", end: str = "print(response.text)") -> str:
        """Python, with requests. token: the expression of a header's value that holds it."""
        bearer = token or (repr(f"Bearer {self.token}") if self.token else "")
        options = [f'headers={{"Authorization": {bearer}}}'] if bearer else []
        if self._files:
            opened = ", ".join(f'({name!r}, open({path!r}, "rb"))' for name, path in self._files)
            options += [f"files=[{opened}]", f"data={ {name: _text(value) for name, value in self.values.items()}!r}"]
        else:
            options.append(f"json={self.values!r}")
        return REQUESTS.format(url=repr(self.url), options="".join(f"    {option},\n" for option in options), end=end)

    def javascript(self) -> str:
        """For Node.js 18 or newer."""
        head, options, headers = "", [], self._bearer()
        if self._files:
            head = 'import { readFile } from "node:fs/promises";\n\nconst form = new FormData();\n'
            for name, path in self._files:
                last = json.dumps(Path(path).name)
                head += f"form.append({json.dumps(name)}, new Blob([await readFile({json.dumps(path)})]), {last});\n"
            for name, value in self.values.items():
                head += f"form.append({json.dumps(name)}, {json.dumps(_text(value))});\n"
            options.append("body: form")
        else:
            headers["Content-Type"] = "application/json"
            options.append(f"body: JSON.stringify({json.dumps(self.values)})")
        options += [f"headers: {json.dumps(headers)}"] if headers else []
        lines = "".join(f"  {option},\n" for option in options)
        return JAVASCRIPT.format(head=head, url=json.dumps(self.url), options=lines)

    def r(self) -> str:
        """With httr2."""
        steps = [f"req_auth_bearer_token({json.dumps(self.token)})"] if self.token else []
        if self._files:
            parts = [f"`{name}` = curl::form_file({json.dumps(path)})" for name, path in self._files]
            parts += [f"`{name}` = {json.dumps(_text(value))}" for name, value in self.values.items()]
            steps.append(f"req_body_multipart({', '.join(parts)})")
        else:
            steps.append(f'req_body_raw({json.dumps(json.dumps(self.values))}, "application/json")')
        return R.format(url=json.dumps(self.url), options="".join(f"  {step} |>\n" for step in steps))

    def notebook(self) -> dict[str, Any]:
        """A Jupyter notebook: token, call, table, plot. Notebooks are passed on, so it asks for the token instead."""
        ask = 'import os\nfrom getpass import getpass\n\nTOKEN = os.environ.get("BEARER_TOKEN") or getpass("Token: ")\n'
        end = 'is_json = "json" in response.headers["Content-Type"]\n'
        end += 'answer = response.json()["result"] if is_json else response.text\nanswer'
        call = self.requests('f"Bearer {TOKEN}"' if self.token else "", end)
        title = f"# {self.name}\n\nNeeds requests, pandas and matplotlib: `%pip install requests pandas matplotlib`"
        if self.token:
            title += "\n\nIt reads the token of the service from the variable `BEARER_TOKEN`, or asks for it."
        cells = [("markdown", title), *([("code", ask)] if self.token else [])]
        cells += [("code", text) for text in (call, TABLE, PLOT)]
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        return {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
            "cells": [_cell(number, kind, text.strip()) for number, (kind, text) in enumerate(cells)],
        }


def _cell(number: int, kind: str, text: str) -> dict[str, Any]:
    code: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"id": f"cell-{number}", "cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True), **code}


def _keyword(name: str, value: Any) -> str:
    """An argument of Python; where its name is none of Python's, by a dictionary."""
    return f"{name}={value!r}" if name.isidentifier() and not iskeyword(name) else f"**{{{name!r}: {value!r}}}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
