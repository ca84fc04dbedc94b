"""Streams: how many small values a second reach a client, and how long after its `yield` a value is there.

    python benchmarks/streams.py --rounds 5

Beside modelport, in the same run and by turns, one aiohttp handler on uvloop writes the same events, one write each: no
model, no other process, nothing else. Both clocks are CLOCK_MONOTONIC of this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

MODEL = """
import time
from marshmallow import fields
def get_predict_args():
    return {"values": fields.Int(load_default=10), "pause": fields.Float(load_default=0.0)}
def predict(values, pause):
    for _ in range(values):
        if pause:
            time.sleep(pause)
        yield time.monotonic()
"""

BARE = """
import asyncio, sys, time, uvloop
from aiohttp import web
async def stream(request):
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    pause = float(request.query["pause"])
    for number in range(int(request.query["values"])):
        if pause:
            await asyncio.sleep(pause)
        await response.write(b"id: %d\\ndata: %r\\n\\n" % (number, time.monotonic()))
    await response.write_eof()
    return response
async def main():
    app = web.Application()
    app.router.add_get("/stream", stream)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print("Listening on http://127.0.0.1:%d" % site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()
uvloop.run(main())
"""


@contextlib.contextmanager
def server(command: list[str], folder: Path) -> Iterator[str]:
    """Its address."""
    environment = {**os.environ, "MODELPORT_HOME": str(folder / "home")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert process.stdout is not None
    try:
        yield next(line.split()[-1] for line in process.stdout if line.startswith("Listening on"))
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def ask(url: str, values: int, pause_s: float = 0.0) -> Iterator[tuple[float, bytes]]:
    """(when it came, the piece) each."""
    request = urllib.request.Request(f"{url}?values={values}&pause={pause_s}", headers={"Accept": "text/event-stream"})
    with urllib.request.urlopen(request) as response:
        while piece := response.read1(1 << 16):
            yield time.monotonic(), piece


def rate(url: str, values: int) -> float:
    """Values a second, from the first to the last."""
    pieces = list(ask(url, values))
    assert b"".join(piece for _, piece in pieces).count(b"id: ") == values
    return values / (pieces[-1][0] - pieces[0][0])


def delays_ms(url: str, values: int, pause_s: float) -> list[float]:
    """From the `yield` to the client, of each value; the first one first."""
    found = []
    for came, piece in ask(url, values, pause_s):
        found += [1000 * (came - float(said)) for said in re.findall(rb"data: (\d+\.\d+)", piece)]
    assert len(found) == values
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--values", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        (folder / "stamps.py").write_text(MODEL)
        modelport = str(Path(sys.executable).with_name("modelport"))
        ours = [modelport, "serve", str(folder / "stamps.py"), "--listen-port", "0"]
        urls = {
            "modelport": stack.enter_context(server(ours, folder)) + "/stamps",
            "bare": stack.enter_context(server([sys.executable, "-c", BARE], folder)) + "/stream",
        }
        for url in urls.values():
            delays_ms(url, 10, 0.0)  # the model is loaded
        rates: dict[str, list[float]] = {each: [] for each in urls}
        firsts: dict[str, list[float]] = {each: [] for each in urls}
        delays: dict[str, list[float]] = {each: [] for each in urls}
        for _ in range(options.rounds):
            for each, url in urls.items():
                rates[each].append(rate(url, options.values))
                for _ in range(20):
                    first, *later = delays_ms(url, 5, 0.01)
                    firsts[each].append(first)
                    delays[each] += later
    print(f"{os.getloadavg()[0]:.1f} processes at work on {os.cpu_count()} cores")
    for each in urls:
        found, later = sorted(rates[each]), sorted(delays[each])
        print(f"{each:10} {statistics.median(found):9,.0f} values/s ({found[0]:,.0f} … {found[-1]:,.0f})", end="")
        print(f"   first value {statistics.median(firsts[each]):.2f} ms", end="")
        print(f", later ones {statistics.median(later):.2f} ms (p99 {later[int(0.99 * len(later))]:.2f})")


if __name__ == "__main__":
    main()
