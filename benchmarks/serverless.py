"""Serverless calls: warm, cold and at rest, beside the way that spawns deepaas-cli for each call, in one run.

    python benchmarks/serverless.py [--rounds 20]

The platform's script starts deepaas three times a call (version, warm-up question, prediction); here each round spawns
`deepaas-cli predict` once and is counted once, so the ratio is to the original's favour. Cold: no worker is left, the
template (the process that has imported the plugin) is; its `warm()` does nothing.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from load import BIN, HERE, descendants, free_port

BODY = json.dumps({"text": "hello", "count": 7, "share": 0.25}).encode()


def ask(url: str, token: str, body: bytes | None = None, method: str | None = None) -> bytes:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Accept": "application/json"}
    request = urllib.request.Request(url, body, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def timed(function, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return (time.perf_counter() - start) * 1000


def pss_mb(pid: int) -> float:
    total = 0
    for each in [pid, *descendants(pid)]:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{each}/smaps_rollup").read_text()
            total += int(next(line.split()[1] for line in text.splitlines() if line.startswith("Pss:")))
    return total / 1024


def show(name: str, values: list[float]) -> float:
    median = statistics.median(values)
    print(f"  {name:34} {median:10.2f} ms   ({min(values):.2f} … {max(values):.2f})", flush=True)
    return median


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    environment = {**os.environ, "PYTHONPATH": str(HERE / "plugins"), "DEEPAAS_V2_MODEL": "noop"}
    with tempfile.TemporaryDirectory() as home:
        port = free_port()
        command = [str(BIN / "modelport"), "serve", "--empty", "--listen-port", str(port), "--home", home]
        command += ["--idle-s", "0.2"]
        server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            notice = Path(home, "server.json")
            while not notice.exists():
                time.sleep(0.01)
            owner = json.loads(notice.read_text())["token"]
            measure(f"http://127.0.0.1:{port}", owner, server.pid, rounds, environment)
        finally:
            server.terminate()
            server.wait(20)


def measure(base: str, owner: str, pid: int, rounds: int, environment: dict[str, str]) -> None:
    print(f"memory of the server with no deployment: {pss_mb(pid):.1f} MB")
    ask(f"{base}/deployments", owner, json.dumps({"name": "noop", "module": "noop"}).encode())
    info = json.loads(ask(f"{base}/deployments/noop", owner))
    run, token = f"{base}/run/noop", info["token"]
    ask(run, token, BODY)
    warm, cold, spawned = [], [], []
    cli = [str(BIN / "deepaas-cli"), "predict", "--text", "hello", "--count", "7", "--share", "0.25"]
    for _ in range(rounds):
        for _ in range(20):
            warm.append(timed(ask, run, token, BODY))
        while json.loads(ask(f"{base}/deployments/noop", owner))["workers"] and len(descendants(pid)) > 1:
            time.sleep(0.02)
        cold.append(timed(ask, run, token, BODY))
        if len(spawned) < max(3, rounds // 4):
            spawned.append(timed(lambda: subprocess.run(cli, env=environment, check=True, capture_output=True)))
    while len(descendants(pid)) > 1:
        time.sleep(0.02)
    print(f"memory with one deployment at rest (its template kept): {pss_mb(pid):.1f} MB")
    print(f"{rounds} rounds, interleaved:")
    fast, woken, slow = show("warm POST /run", warm), show("cold POST /run", cold), show("deepaas-cli predict", spawned)
    print(f"warm is {slow / fast:.0f} times, cold {slow / woken:.0f} times as fast as one deepaas-cli")


if __name__ == "__main__":
    main()
