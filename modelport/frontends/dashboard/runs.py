"""The last runs of a deployment, as its form shows them, and one of them to begin from."""

from __future__ import annotations

import json
import mimetypes
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from modelport.contract.card import Card
from modelport.contract.job import Job, JobFile
from modelport.frontends.dashboard.filters import when
from modelport.http.job_documents import JobDocuments, moment, without_passwords

SUMMARY_CHARS = 90
UNKNOWN = "application/octet-stream"
# As many as a person still looks through; the others are in the list of jobs.
SHOWN = 20


@dataclass(frozen=True)
class Run:
    """picture: the address of one that was sent; empty for none. what: one knows it by."""

    id: str
    status: str
    what: str
    picture: str
    age: str


def run_of(job: Job, documents: JobDocuments, root: str) -> Run:
    files = input_files(job, root)
    picture = next((file["url"] for file in files if file["type"].startswith("image/")), "")
    what = summary(job, documents.row(job).arguments)
    return Run(job.id, job.status.value, what, picture, when(moment(job.created)))


def told(job: Job, card: Card, root: str) -> dict[str, Any]:
    """What a form needs to show this run: its values and files by the names that they have in requests."""
    names = {argument.name: argument.wire_name for argument in card.arguments(job.method)}
    files = [{**file, "argument": names.get(file["argument"], file["argument"])} for file in input_files(job, root)]
    arguments = without_passwords(card, job.method, job.arguments)
    named = {file["argument"] for file in files}
    values = {names.get(name, name): value for name, value in arguments.items()}
    values = {name: value for name, value in values.items() if name not in named}
    return {"id": job.id, "status": job.status.value, "values": values, "files": files}


def input_files(job: Job, root: str) -> list[dict[str, str]]:
    """What it was given, and where that can be had. root: see `Gateway.root`."""
    rows = [
        {
            "argument": file.argument,
            "name": file.filename or file.name,
            "type": _kind(file),
            "url": f"{root}/jobs/{job.id}/files/{number}",
        }
        for number, file in enumerate(job.files)
        if file.argument
    ]
    if key := job.origin.get("key"):
        url = f"{root}/files/{quote(job.deployment, safe='')}/{quote(key)}"
        kind = mimetypes.guess_type(key)[0] or ""
        rows.append({"argument": "", "name": key, "type": kind, "url": url})
    return rows


def type_of(name: str) -> str:
    return mimetypes.guess_type(name)[0] or UNKNOWN


def _kind(file: JobFile) -> str:
    """The media type; by its name where the client told none, as many do not."""
    if file.content_type and file.content_type != UNKNOWN:
        return file.content_type
    return mimetypes.guess_type(file.filename or file.name)[0] or ""


def summary(job: Job, arguments: dict[str, Any]) -> str:
    """What one knows a job by: its files, else its arguments."""
    if key := job.origin.get("key"):
        return str(key)
    return shortened([file.filename or file.name for file in job.files if file.argument], arguments)


def shortened(files: list[str], values: dict[str, Any]) -> str:
    text = ", ".join(files) if files else ", ".join(f"{name}: {_text(value)}" for name, value in values.items())
    return text if len(text) <= SUMMARY_CHARS else text[: SUMMARY_CHARS - 1] + "…"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
