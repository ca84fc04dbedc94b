"""A server under attack: every route that may take a body, and somebody who asks meanwhile whether it is well."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.house import House

TOKEN = "a-secret-token"
# Takes whatever it is given, and never fails by itself.
SOURCE = """
from marshmallow import fields, validate
def get_predict_args():
    file, header = {"type": "file", "location": "form"}, {"location": "headers"}
    types = validate.OneOf(["application/json", "text/plain"])
    return {
        "a": fields.Raw(load_default=None),
        "word": fields.Str(validate=validate.Length(max=100)),
        "image": fields.Raw(metadata=file),
        "tag": fields.Int(metadata=header),
        "accept": fields.Str(load_default="application/json", validate=types, metadata=header),
    }
def get_train_args():
    return {"a": fields.Raw(load_default=None)}
def predict(a, accept, **others):
    return sorted(others) if accept == "application/json" else str(sorted(others))
def train(a):
    return 1
"""
VALUES = {"name": "x", "deployment": "x", "key": "other/a.bin", "bucket": "x", "id": "0" * 32}

PROBE = r"""
import contextlib, glob, http.client, signal, sys, time
port, pid = int(sys.argv[1]), sys.argv[2]
def kept():
    # How long each thread could have run while others did: the machine's doing, not the server's. All threads of the
    # server count, since one that is kept from running may hold the interpreter's lock.
    delays = {}
    for path in ["/proc/thread-self/schedstat", *glob.glob(f"/proc/{pid}/task/*/schedstat")]:
        with contextlib.suppress(OSError):
            delays[path] = int(open(path).read().split()[1]) / 1e9
    return delays
worst, count = 0.0, 0
# Not by an exception: where a signal comes while Python clears something up, that is lost.
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
print("ready", flush=True)
while not ended:
    before = kept()
    begun = time.monotonic()
    connection.request("GET", "/health")
    answer = connection.getresponse()
    answer.read()
    took = time.monotonic() - begun
    took -= sum(delay - before.get(path, 0.0) for path, delay in kept().items())
    assert answer.status == 200, answer.status
    worst, count = max(worst, took), count + 1
    time.sleep(0.02)
print(count, worst, flush=True)
"""


class Probe:
    """worst_s: the longest that an answer of /health has taken, without the time that the machine gave to others."""

    worst_s = 0.0
    count = 0


@contextlib.contextmanager
def probing(port: int, pid: int) -> Iterator[Probe]:
    probe = Probe()
    process = subprocess.Popen([sys.executable, "-c", PROBE, str(port), str(pid)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield probe
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=60)
    count, worst = said.split()
    probe.count, probe.worst_s = int(count), float(worst)


def body_routes(house: House) -> list[tuple[str, str]]:
    """(method, path) of every route that may take a body, by the router: a new one is fed, too."""
    assert house.server.app is not None
    found = {}
    for route in house.server.app.router.routes():
        if route.method in ("GET", "HEAD", "OPTIONS") or route.resource is None:
            continue
        method = "POST" if route.method == "*" else route.method
        path = re.sub(r"\{(\w+)\}", lambda name: VALUES.get(name[1], "other"), route.resource.canonical)
        found[method, path.rstrip("/") or "/"] = path
    return [(method, path) for (method, _), path in sorted(found.items())]


@pytest.fixture
async def routes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[tuple[str, str]]]:
    from tests.house import open_house

    async with open_house(tmp_path_factory.mktemp("routes"), SOURCE) as opened:
        found = body_routes(opened)
    yield found


def complaints(log: Path) -> list[str]:
    """Lines of a server's log that tell of a fault of ours."""
    text = log.read_text(errors="replace")
    return [line for line in text.splitlines() if re.search(r"Traceback|Error handling", line)]
