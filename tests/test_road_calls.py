"""How many Python functions of ours a warm prediction goes through in the gateway: what it costs, whatever the machine
does meanwhile. A function that is resumed counts again."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import FrameType

import pytest

import modelport
from tests.conftest import OpenHouse

ROOT = str(Path(modelport.__file__).parent)
ROUNDS = 10

ECHO = """
from marshmallow import fields
def get_predict_args():
    return {"text": fields.Str(load_default="a"), "count": fields.Int(load_default=1), "share": fields.Float()}
def predict(**arguments):
    return arguments
"""
BODY = b'{"text": "hello", "count": 7, "share": 0.25}'


def request(path: str, headers: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return await reader.readexactly(int(length.partition(b":")[2]))


# A limit is what was measured when it was set. Whoever needs one function more finds another that can go.
@pytest.mark.parametrize(
    ("path", "limit"),
    [("/v2/models/x/predict/", 59), ("/x", 70), ("/run/x", 71)],
    ids=["deepaas", "plain", "run"],
)
async def test_a_warm_prediction_goes_through_few_functions(house: OpenHouse, path: str, limit: int) -> None:
    opened = await house(ECHO)
    reader, writer = await asyncio.open_connection("127.0.0.1", opened.server.port)
    calls: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(ROOT):
            calls.append(frame.f_code.co_qualname)

    fewest: list[str] = []
    for _ in range(ROUNDS):
        calls.clear()
        sys.setprofile(note)
        try:
            writer.write(request(path))
            assert b"hello" in await answer(reader)
        finally:
            sys.setprofile(None)
        # What the server does now and then (timers, other tasks) is no part of it: the quietest round counts.
        fewest = min(fewest or list(calls), list(calls), key=len)
    writer.close()
    assert len(fewest) <= limit, "\n".join([f"{len(fewest)} functions:", *fewest])
