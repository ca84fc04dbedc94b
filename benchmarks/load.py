"""Load test: the no-op plugin through modelport and through the real deepaas-run; beside them a bare aiohttp handler,
which is the limit, and the same handler with one worker process, which is what isolation costs at least.

    python benchmarks/load.py [--rounds 5] [--seconds 4] [--without-deepaas]

Needs `wrk` (Debian package of that name). All servers run at once, idle but for the one that is measured; rounds are
interleaved and medians compared, since machines are shared and noisy. The servers and wrk share the machine's cores.
"""

import argparse
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
ROUTE = "/v2/models/noop/predict/"
BODY = json.dumps({"text": "hello", "count": 7, "share": 0.25})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Served:
    """One server in a process of its own."""

    def __init__(self, name: str, command: list[str], port: int) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}{ROUTE}"
        environment = {**os.environ, "PYTHONPATH": str(HERE / "plugins")}
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def wait(self) -> float:
        """Seconds until the first answer."""
        while True:
            if self.process.poll() is not None:
                raise SystemExit(f"{self.name} ended with status {self.process.returncode}")
            with contextlib.suppress(OSError):
                request = urllib.request.Request(
                    self.url, BODY.encode(), {"Content-Type": "application/json"}, method="POST"
                )
                with urllib.request.urlopen(request, timeout=30) as answer:
                    assert b'"count": 7' in answer.read()
                    return time.perf_counter() - self.started
            time.sleep(0.01)

    def memory_mb(self) -> float:
        """Private memory and a fair share of the shared, of the server and all its children."""
        total = 0
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            with contextlib.suppress(OSError):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                total += int(re.search(r"^Pss:\s+(\d+)", rollup, re.M).group(1))
        return total / 1024

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


def descendants(pid: int) -> list[int]:
    children = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            children += [int(part) for part in (task / "children").read_text().split()]
    return children + [each for child in children for each in descendants(child)]


def wrk(
    url: str, clients: int, seconds: float, body: str, folder: Path, headers: dict[str, str] | None = None
) -> dict[str, float]:
    """Requests per second, latencies in ms, and errors of one run."""
    script = folder / "post.lua"
    given = "".join(f"wrk.headers['{name}'] = '{value}'\n" for name, value in (headers or {}).items())
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = '{body}'\nwrk.headers['Content-Type'] = 'application/json'\n{given}"
        "function done(summary, latency)\n"
        "  io.write(string.format('RESULT %d %d %d %d %d %d\\n', summary.requests, summary.duration,\n"
        "    latency:percentile(50), latency:percentile(99), summary.errors.status,\n"
        "    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))\nend\n"
    )
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:g}s", "--timeout", "30s", "-s", str(script), url]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    requests, duration_us, p50, p99, status, other = map(int, printed.split("RESULT ")[1].split())
    return {"rps": requests / duration_us * 1e6, "p50": p50 / 1000, "p99": p99 / 1000, "errors": status + other}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--without-deepaas", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        ports = [free_port() for _ in range(4)]
        home = ["--home", folder]
        commands = {
            "bare": [sys.executable, str(HERE / "bare.py"), str(ports[0]), folder + "/upload"],
            "isolated": [sys.executable, str(HERE / "isolated.py"), str(ports[1])],
            "modelport": [str(BIN / "modelport"), "serve", "noop", "--listen-port", str(ports[2]), *home],
            "deepaas-run": [str(BIN / "deepaas-run"), "--model-name", "noop", "--listen-port", str(ports[3])],
        }
        if options.without_deepaas:
            del commands["deepaas-run"]
        servers = []
        print("start to first answer, one server after the other")
        for (name, command), port in zip(commands.items(), ports, strict=False):
            server = Served(name, command, port)
            stack.callback(server.stop)
            print(f"  {name:12} {server.wait():6.2f} s   idle memory {server.memory_mb():6.1f} MB")
            servers.append(server)
        compare(servers, options.rounds, options.seconds, Path(folder))


def compare(servers: list[Served], rounds: int, seconds: float, folder: Path) -> None:
    for clients, figure, unit in ((16, "rps", "requests/s"), (1, "p50", "ms, median latency")):
        rows: dict[str, list[dict[str, float]]] = {each.name: [] for each in servers}
        for _ in range(rounds):
            for server in servers:
                rows[server.name].append(wrk(server.url, clients, seconds, BODY, folder))
        print(f"{clients} client{'s' * (clients > 1)}, {rounds} rounds of {seconds:g} s, interleaved: {unit}")
        for name, results in rows.items():
            values = [result[figure] for result in results]
            ratio = statistics.median(v / b[figure] for v, b in zip(values, rows["bare"], strict=True))
            errors = sum(result["errors"] for result in results)
            print(
                f"  {name:12} {statistics.median(values):9.2f} ({min(values):.2f} … {max(values):.2f})   "
                f"{ratio:5.2f} × bare   p99 {statistics.median(result['p99'] for result in results):7.2f} ms   "
                f"{errors:g} errors"
            )


if __name__ == "__main__":
    main()
