"""The body of an OSCAR call with one large file: MB/s of body, growth of the process, longest turn of the event loop.

    python benchmarks/oscar_body.py [--mib 1024] [--chunk-kib 256] [--rounds 3] [--folder /somewhere]

The body is made on the fly, so that the process holds only what the scanner does. The reference in the same run is
what one would write without it: the whole body in memory, json.loads, b64decode, write. All on one core, the thread
that writes too; rounds are interleaved, each in a process of its own; the best and the median are shown. MB are 10^6.
"of CPU" counts only the time for which the process had the core: what a core of its own would give, but for the disk.
A turn is what the loop's thread computed without letting another task run (--watch, which itself costs time).
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HEAD = b'{"conf": 0.5, "oscar-files": [{"key": "files", "file_format": "png", "data": "'
TAIL = b'"}], "labels": ["a", "b"]}'
REFERENCE_MIB = 64


def status(name):
    return int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) << 10


def payload(kind, length):
    """A piece of JSON text that says `length` characters of base64, as different clients write it."""
    text = base64.b64encode(os.urandom(length // 4 * 3))
    if kind == "slashes":  # PHP writes \/
        return text.replace(b"/", b"\\/")
    if kind == "lines":  # MIME, as base64.encodebytes makes it
        return b"".join(text[start : start + 76] + b"\\n" for start in range(0, len(text), 76))
    return text


async def body(kind, mib, chunk_kib):
    piece = payload("plain" if kind == "outer" else kind, chunk_kib << 10)
    pieces = (mib << 10) // chunk_kib
    if kind == "outer":  # base64 of the whole JSON; the parts are made to be multiples of three
        pad = b" " * (-len(HEAD) % 3)
        yield base64.b64encode(pad + HEAD)
        triple = base64.b64encode(piece * 3)
        for start in range(0, len(triple) * (pieces // 3 * 3 // 4), chunk_kib << 10):
            start %= len(triple)
            yield triple[start : start + (chunk_kib << 10)]
        yield base64.b64encode(TAIL)
        return
    yield HEAD
    for _ in range(pieces):
        yield piece
    yield TAIL


async def watch(turns):
    while True:
        start = time.thread_time()
        await asyncio.sleep(0)
        turns[:] = [max(*turns, time.thread_time() - start)]


async def scan(kind, mib, chunk_kib, folder, watched=False):
    from modelport.intake.jsonbody import read_oscar_body
    from modelport.intake.scratch import RunFolder
    from modelport.settings import Settings

    run = RunFolder(Path(folder))
    length, turns = 0, [0.0, 0.0]

    async def counted(small):
        nonlocal length
        length = 0
        async for chunk in body(kind, small or mib, chunk_kib):
            length += len(chunk)
            yield chunk

    for small in (3, 0):  # the first round imports, starts the thread
        async with run.scratch() as scratch:
            before, cpu = status("VmRSS"), time.process_time()
            Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
            watching = asyncio.create_task(watch(turns)) if watched and not small else None
            start = time.perf_counter()
            await read_oscar_body(counted(small), scratch, Settings(json_limit_bytes=1 << 20))
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
            grown = status("VmHWM") - before
            if watching is not None:
                watching.cancel()
    run.close()
    return {"length": length, "seconds": seconds, "cpu": cpu, "grown": grown, "turn": max(turns)}


def reference(folder):
    text = HEAD + payload("plain", REFERENCE_MIB << 20) + TAIL
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    start, cpu = time.perf_counter(), time.process_time()
    Path(folder, "reference").write_bytes(base64.b64decode(json.loads(text)["oscar-files"][0]["data"], validate=True))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"length": len(text), "seconds": seconds, "cpu": cpu, "grown": status("VmHWM") - before, "turn": cpu}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=1024, help="of base64")
    parser.add_argument("--chunk-kib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where scratch is; a temporary one")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--watch", action="store_true", help="also measure the event loop's longest turn")
    parser.add_argument("--child", metavar="KIND")
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.core})
    if options.child:
        if options.child == "reference":
            print(json.dumps(reference(options.folder)))
        else:
            scanned = scan(options.child, options.mib, options.chunk_kib, options.folder, options.watch)
            print(json.dumps(asyncio.run(scanned)))
        return
    kinds = {"plain": options.mib, "slashes": options.mib // 4, "lines": options.mib // 4, "outer": options.mib // 4}
    found = {kind: [] for kind in (*kinds, "reference")}
    with contextlib.ExitStack() as stack:
        folder = options.folder or stack.enter_context(tempfile.TemporaryDirectory())
        for _ in range(options.rounds):
            for kind, figures in found.items():
                command = [sys.executable, __file__, "--child", kind, "--folder", folder, "--core", str(options.core)]
                command += ["--mib", str(kinds.get(kind, 0)), "--chunk-kib", str(options.chunk_kib)]
                command += ["--watch"] if options.watch else []
                figures.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    print(f"{'':10} {'body':>9} {'best':>10} {'median':>10} {'of CPU':>10} {'growth':>9} {'longest turn':>13}")
    for kind, figures in found.items():
        rates = [figure["length"] / figure["seconds"] / 1e6 for figure in figures]
        cpu = statistics.median(figure["length"] / figure["cpu"] for figure in figures) / 1e6
        grown = max(figure["grown"] for figure in figures) / 1e6
        turn = f"{1000 * statistics.median(figure['turn'] for figure in figures):10.1f} ms" if options.watch else ""
        best, middle, size = max(rates), statistics.median(rates), figures[0]["length"] / 1e6
        speeds = f"{best:5.0f} MB/s {middle:5.0f} MB/s {cpu:5.0f} MB/s"
        print(f"{kind:10} {size:6.0f} MB {speeds} {grown:6.1f} MB {turn:>13}")


if __name__ == "__main__":
    main()
