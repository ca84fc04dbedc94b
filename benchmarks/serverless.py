"""Serverless calls: warm, cold and at rest, beside the platform's way, in one run.

    python benchmarks/serverless.py [--rounds 20]

The platform's script starts deepaas three times for each call: to ask for its version, to ask for the metadata, and to
predict. Here `deepaas-cli` of the pinned release is started three times, one after the other, and nothing else of that
script (a container, its folder of files) is counted. Our client keeps its connection. Cold: no worker is left, the
template (the process that has imported the plugin) is; its `warm()` does nothing.
"""

import argparse
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from load import BIN, HERE, descendants, environment, free_port

BODY = json.dumps({"text": "hello", "count": 7, "share": 0.25}).encode()
PLATFORM = (["--version"], ["get_metadata"], ["predict", "--text", "hello", "--count", "7", "--share", "0.25"])
# Between two tries whether all workers have ended.
POLL_S = 0.02


class Client:
    """One connection, kept."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, path: str, body: bytes | None = None) -> bytes:
        self._connection.request("GET" if body is None else "POST", path, body, self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status < 300, text
        return text


def timed(function: Callable[..., object], *arguments: object) -> float:
    start = time.perf_counter()
    function(*arguments)
    return (time.perf_counter() - start) * 1000


def platform_call(variables: dict[str, str]) -> None:
    cli = str(environment("deepaas") / "deepaas-cli")
    for arguments in PLATFORM:
        subprocess.run([cli, *arguments], env=variables, check=True, capture_output=True)


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
    variables = {**os.environ, "PYTHONPATH": str(HERE / "plugins"), "DEEPAAS_V2_MODEL": "noop"}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    platform_call(variables)  # makes the environment, and compiles its modules
    with tempfile.TemporaryDirectory() as home:
        port = free_port()
        command = [str(BIN / "modelport"), "serve", "--empty", "--listen-port", str(port), "--home", home]
        command += ["--idle-s", "0.2"]
        server = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            notice = Path(home, "server.json")
            while not notice.exists():
                time.sleep(0.01)
            owner = Client(port, json.loads(notice.read_text())["token"])
            measure(port, owner, server.pid, rounds, variables)
        finally:
            server.terminate()
            server.wait(20)


def measure(port: int, owner: Client, pid: int, rounds: int, variables: dict[str, str]) -> None:
    print(f"memory of the server with no deployment: {pss_mb(pid):.1f} MB")
    owner.ask("/deployments", json.dumps({"name": "noop", "module": "noop"}).encode())
    caller = Client(port, json.loads(owner.ask("/deployments/noop"))["token"])
    run = "/run/noop"
    caller.ask(run, BODY)
    warm, cold, spawned = [], [], []
    for _ in range(rounds):
        warm += [timed(caller.ask, run, BODY) for _ in range(200)]
        while json.loads(owner.ask("/deployments/noop"))["workers"] and len(descendants(pid)) > 1:
            time.sleep(POLL_S)
        cold.append(timed(caller.ask, run, BODY))
        spawned.append(timed(platform_call, variables))
    while len(descendants(pid)) > 1:
        time.sleep(POLL_S)
    print(f"memory with one deployment at rest (its template kept): {pss_mb(pid):.1f} MB")
    print(f"{rounds} rounds, interleaved:")
    fast, woken = show("warm POST /run", warm), show("cold POST /run", cold)
    slow = show("the platform's way", spawned)
    print(f"warm is {slow / fast:.0f} times, cold {slow / woken:.0f} times as fast as the platform's way")


if __name__ == "__main__":
    main()
