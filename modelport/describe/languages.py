"""The same call in other languages and with other libraries, by the plain endpoint: to be pasted, and to work."""

from __future__ import annotations

import json
from keyword import iskeyword
from pathlib import Path
from typing import Any

from modelport.contract.card import Card
from modelport.describe.curl import as_text
from modelport.describe.examples import call_of, samples_of

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


class Call:
    """A call of a deployment that its module's example makes. called: the deployment's document, with its token."""

    def __init__(self, called: dict[str, Any], card: Card) -> None:
        self.name, self.token = str(called["name"]), called["token"] or ""
        self.root = str(called["endpoint"]).rpartition("/run/")[0]
        self.url = f"{self.root}/{self.name}"
        self.values, named = call_of(card, samples_of(called["module"]))
        self.files = [(name, path) for name, paths in named.items() for path in paths]

    def client(self) -> str:
        """Python, with our client."""
        files: dict[str, list[str]] = {}
        for name, path in self.files:
            files.setdefault(name, []).append(path)
        paths = {name: paths if len(paths) > 1 else paths[0] for name, paths in files.items()}
        arguments = repr(self.root) + (f", token={self.token!r}" if self.token else "")
        call = [repr(self.name), *(_keyword(name, value) for name, value in {**self.values, **paths}.items())]
        return CLIENT.format(arguments=arguments, call=", ".join(call))

    def requests(self, token: str = "", end: str = "print(response.text)") -> str:
        """Python, with requests. token: the expression of a header's value that holds it."""
        bearer = token or (repr(f"Bearer {self.token}") if self.token else "")
        options = [f'headers={{"Authorization": {bearer}}}'] if bearer else []
        if self.files:
            opened = ", ".join(f'({name!r}, open({path!r}, "rb"))' for name, path in self.files)
            options += [f"files=[{opened}]", f"data={ {name: as_text(value) for name, value in self.values.items()}!r}"]
        else:
            options.append(f"json={self.values!r}")
        return REQUESTS.format(url=repr(self.url), options="".join(f"    {option},\n" for option in options), end=end)

    def javascript(self) -> str:
        """For Node.js 18 or newer."""
        head, options = "", []
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if self.files:
            head = 'import { readFile } from "node:fs/promises";\n\nconst form = new FormData();\n'
            for name, path in self.files:
                last = json.dumps(Path(path).name)
                head += f"form.append({json.dumps(name)}, new Blob([await readFile({json.dumps(path)})]), {last});\n"
            for name, value in self.values.items():
                head += f"form.append({json.dumps(name)}, {json.dumps(as_text(value))});\n"
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
        if self.files:
            parts = [f"`{name}` = curl::form_file({json.dumps(path)})" for name, path in self.files]
            parts += [f"`{name}` = {json.dumps(as_text(value))}" for name, value in self.values.items()]
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
