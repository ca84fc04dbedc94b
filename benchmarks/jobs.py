"""Durable jobs: how fast they are accepted, how fast they end, and what they cost a synchronous call meanwhile.

    python benchmarks/jobs.py [--folder .] [--rounds 3] [--seconds 3]

Needs `wrk` (Debian package of that name). The server keeps its store under --folder, which must be a real disk: beside
every figure stands a bare fdatasync of the same disk in the same round. `held` is a deployment whose one worker sleeps,
so that its jobs only wait; the jobs of `noop` are run as they come.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from load import BIN, BODY, Served, free_port, wrk
from store import fsync

ASYNC = {"Content-Type": "application/json", "Prefer": "respond-async"}
WAITING = 10_000


def ask(url: str, body: str | None = None, headers: dict[str, str] | None = None) -> dict:
    request = urllib.request.Request(url, body.encode() if body else None, headers or {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


class Measured:
    """A server with the deployments noop and held."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        command = [
            *(str(BIN / "modelport"), "serve", "noop", "held=noop", "--listen-port", str(self.port)),
            *("--home", str(home), "--job-limit", "10000000", "--kept-jobs", "10000000", "--no-buckets"),
        ]
        self.served = Served("modelport", command, self.port)
        self.served.wait()
        self.base = f"http://127.0.0.1:{self.port}"
        ask(self.route("held"), json.dumps({"sleep_s": 100_000}), ASYNC)

    def route(self, name: str) -> str:
        return f"{self.base}/v2/models/{name}/predict/"

    def submit(self, name: str, clients: int, seconds: float, folder: Path) -> dict[str, float]:
        """Jobs accepted per second, milliseconds, errors."""
        return wrk(self.route(name), clients, seconds, BODY, folder, {"Prefer": "respond-async"})

    def predict(self, seconds: float, folder: Path) -> dict[str, float]:
        return wrk(self.route("noop"), 1, seconds, BODY, folder)

    def waiting(self, name: str) -> int:
        """How many jobs are ahead of the newest."""
        newest = ask(f"{self.base}/jobs?deployment={name}&status=queued&limit=1")["jobs"]
        return ask(f"{self.base}/jobs/{newest[0]['id']}")["position"] if newest else 0

    def until_done(self, name: str) -> None:
        while any(
            ask(f"{self.base}/jobs?deployment={name}&status={each}&limit=1")["jobs"] for each in ("queued", "running")
        ):
            time.sleep(0.05)


def line(name: str, values: list[float], unit: str, note: str = "") -> None:
    low, middle, high = min(values), statistics.median(values), max(values)
    print(f"  {name:44} {middle:9.2f} {unit:8} ({low:.2f} … {high:.2f}) {note}")


def accepting(server: Measured, rounds: int, seconds: float, folder: Path) -> None:
    many, one, syncs, errors = [], [], [], 0
    for _ in range(rounds):
        syncs.append(statistics.median(fsync(folder, 0.5)) * 1000)
        for clients, results in ((32, many), (1, one)):
            submit = server.submit("held", clients, seconds, folder)
            results.append(submit["rps" if clients > 1 else "p50"])
            errors += submit["errors"]
    print("accepting jobs (202 after the commit), which only wait")
    line("one fdatasync", syncs, "ms")
    line("32 clients", many, "jobs/s")
    ratio = statistics.median(each / sync for each, sync in zip(one, syncs, strict=True))
    line("1 client, median", one, "ms", f"{ratio:.2f} × fdatasync")
    print(f"  errors: {errors}")


def running(server: Measured, rounds: int, seconds: float, folder: Path) -> None:
    rates = []
    for _ in range(rounds):
        start = time.perf_counter()
        accepted = server.submit("noop", 8, seconds, folder)["rps"] * seconds
        server.until_done("noop")
        rates.append(accepted / (time.perf_counter() - start))
    print("accepting and running jobs of a model that does nothing, one worker, 8 clients")
    line("from the first submit to the last end", rates, "jobs/s")


def beside(server: Measured, rounds: int, seconds: float, folder: Path) -> None:
    """A synchronous call's latency with none and with many jobs waiting."""
    before, after = [], []
    for _ in range(rounds):
        before.append(server.predict(seconds, folder)["p50"])
    while server.waiting("held") < WAITING:
        server.submit("held", 32, 1, folder)
    for _ in range(rounds):
        after.append(server.predict(seconds, folder)["p50"])
    print(f"a synchronous call, one client, median; then while {server.waiting('held')} jobs of another model wait")
    line("no job waits", before, "ms")
    line("jobs wait", after, "ms", f"{statistics.median(after) / statistics.median(before):.2f} ×")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default=".")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        server = Measured(folder / "home")
        try:
            beside(server, options.rounds, options.seconds, folder)
            accepting(server, options.rounds, options.seconds, folder)
            running(server, options.rounds, options.seconds, folder)
        finally:
            server.served.stop()


if __name__ == "__main__":
    sys.exit(main())
