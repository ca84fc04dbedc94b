"""A plugin for tests of jobs, which ends when a file appears; and a client that reads what the server says of them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.house import PATIENCE_S, Answer, House, wait_until

SOURCE = """
import io, os, sys, time
from marshmallow import fields, validate
import modelport

def get_predict_args():
    file = {"type": "file", "location": "form"}
    return {
        "mode": fields.Str(load_default="echo"),
        "gate": fields.Str(load_default=""),
        "text": fields.Str(load_default="hello"),
        "count": fields.Int(load_default=1, validate=validate.Range(1, 9)),
        "pin": fields.Str(metadata={"format": "password"}),
        "table": fields.Dict(),
        "image": fields.Raw(metadata=file),
        "accept": fields.Str(
            load_default="application/json",
            validate=validate.OneOf(["application/json", "text/html", "application/pdf", "image/png"]),
            metadata={"location": "headers"},
        ),
    }

def wait_for(gate):
    with open(gate + ".pid", "w") as file:
        file.write(str(os.getpid()))
    while not os.path.exists(gate):
        time.sleep(0.005)

def predict(mode, gate, text, accept, image=None, **given):
    print("working on", text, flush=True)
    if mode == "wait":
        wait_for(gate)
    if mode == "steps":
        for step in range(1, 4):
            modelport.progress(step / 4, f"step {step}")
            print("step", step, flush=True)
            wait_for(f"{gate}{step}")
    if mode == "chatter":
        wait_for(gate)
        for line in range(200_000):
            print("x" * 200)
    if mode == "fail":
        raise ValueError("I cannot")
    if accept == "text/html":
        return "<script>alert(1)</script>"
    if accept == "application/pdf":
        return io.BytesIO(b"%PDF-1.7 small")
    if accept == "image/png":
        return io.BytesIO(bytes(range(256)) * 8192)
    if image:
        with open(image.filename, "rb") as file:
            return [image.original_filename, len(file.read())]
    return text.upper()

def get_train_args():
    return {"steps": fields.Int(load_default=1), "gate": fields.Str(load_default="")}

def train(steps, gate):
    print("training", flush=True)
    if gate:
        wait_for(gate)
    return {"steps": steps}
"""

ASYNC = {"Prefer": "respond-async"}
PREDICT = "/v2/models/x/predict/"


@dataclass
class Gate:
    """A file that a call of mode `wait` waits for."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def open(self) -> None:
        self.path.touch()

    async def reached(self) -> int:
        """The process that waits there."""
        pid = self.path.with_name(f"{self.path.name}.pid")
        await wait_until(lambda: pid.exists() and pid.read_text())
        return int(pid.read_text())

    async def passed_on(self) -> None:
        """Forget who came."""
        await self.reached()
        os.unlink(f"{self.path}.pid")


async def begin(house: House, headers: dict[str, str] | None = None, path: str = PREDICT, **given: Any) -> Any:
    """The document of a new job."""
    answer = await house.post(path, json=given, headers={**ASYNC, **(headers or {})})
    assert answer.status == 202, answer.text
    return answer.json()


async def show(house: House, job: Any, **options: Any) -> Any:
    answer = await house.get(f"/jobs/{job['id']}", **options)
    assert answer.status == 200, answer.text
    return answer.json()


async def ended(house: House, job: Any, **options: Any) -> Any:
    """Its document at its end."""
    async with asyncio.timeout(PATIENCE_S):
        while (document := await show(house, job, **options))["status"] in ("queued", "running"):
            await asyncio.sleep(0.005)
    return document


async def wait_status(house: House, job: Any, status: str) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while (document := await show(house, job))["status"] != status:
            await asyncio.sleep(0.005)
    return document


@dataclass
class Stream:
    """Server-sent events as they come."""

    response: aiohttp.ClientResponse
    ids: list[int] = field(default_factory=list)
    comments: int = 0

    async def event(self) -> tuple[str, Any]:
        """The next. Raises EOFError at the end."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                lines: dict[str, str] = {}
                while (line := (await self.response.content.readline()).decode()) not in ("\n", ""):
                    name, _, value = line.rstrip("\n").partition(":")
                    lines[name] = value.removeprefix(" ")
                if line == "":
                    raise EOFError
                self.comments += "" in lines
                if "data" in lines:
                    self.ids.append(int(lines["id"]))
                    return lines["event"], json.loads(lines["data"])

    async def until(self, kind: str) -> Any:
        while True:
            found, document = await self.event()
            if found == kind:
                return document

    async def rest(self) -> list[tuple[str, Any]]:
        """All that comes until the server ends the stream."""
        found = []
        try:
            while True:
                found.append(await self.event())
        except EOFError:
            return found


@asynccontextmanager
async def stream(house: House, path: str, **headers: str) -> AsyncIterator[Stream]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"http://127.0.0.1:{house.server.port}{path}"
    async with house.session.get(url, headers=named, read_bufsize=1 << 20) as response:
        assert response.status == 200, await response.text()
        yield Stream(response)


def facts(answer: Answer, *names: str) -> tuple[Any, ...]:
    return (answer.status, *(answer.headers.get(name) for name in names))
