"""Load test: the no-op plugin through modelport's endpoints, beside the limit and its peers, in one run.

    python benchmarks/load.py [--rounds 5] [--seconds 3] [--peers fastapi,litserve,bentoml,deepaas] [--json FILE]
    python benchmarks/load.py --long 60 [--peers ""] [--json FILE]

bare: an aiohttp handler, which is the limit. isolated: the same with one worker process, with as many calls under way
to it as modelport sends ahead: what isolation costs at least. The peers are pinned in benchmarks/peers; each gets an
environment of its own in benchmarks/.environments, made when it is missing.

With --long there are two workers, and two other questions. 64 clients for so many seconds: are there errors, how long
do the slowest calls take beside those of `bare`, does memory stay? And 16 clients of a model that computes for 5 ms:
how many calls are answered beside those that two processes make which call it in a loop?

Needs `wrk` (Debian package of that name). All servers run at once, idle but for the one that is measured; rounds are
interleaved, and ratios are those of one round to `bare` in the same round, since machines are shared and noisy. The
processor's time for a request, as the kernel counts it for the server's process and all below it, depends less than a
rate on who else uses the machine.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
PEERS, ENVIRONMENTS = HERE / "peers", HERE / ".environments"
ROUTE = "/v2/models/noop/predict/"
BODY = json.dumps({"text": "hello", "count": 7, "share": 0.25})
TICKS = os.sysconf("SC_CLK_TCK")

BOUNDARY = "benchmark"
PARTS = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in
         (("text", "hello"), ("count", 7), ("share", 0.25))]  # fmt: skip
FORM = (
    "".join(PARTS).encode()
    + f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="data"; filename="picture.png"\r\n'.encode()
    + b"Content-Type: image/png\r\n\r\n\x89PNG\r\n\x1a\n" + bytes(20_000)
    + f"\r\n--{BOUNDARY}--\r\n".encode()
)  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Served:
    """One server in a process of its own."""

    def __init__(self, name: str, command: list[str], port: int, folder: Path | None = None, body: str = BODY) -> None:
        self.name, self.body = name, body
        self.base = f"http://127.0.0.1:{port}"
        self.url = self.base + ROUTE
        environment = {**os.environ, "PYTHONPATH": str(HERE / "plugins")}
        # Whoever starts a server has its modules compiled.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait(self) -> float:
        """Seconds until the first answer."""
        while True:
            if self.process.poll() is not None:
                raise SystemExit(f"{self.name} ended with status {self.process.returncode}")
            with contextlib.suppress(OSError):
                request = urllib.request.Request(
                    self.url, self.body.encode(), {"Content-Type": "application/json"}, method="POST"
                )
                with urllib.request.urlopen(request, timeout=30) as answer:
                    assert re.search(rb"\b7\b", answer.read())
                    return time.perf_counter() - self.started
            time.sleep(0.01)

    def processes(self) -> list[int]:
        return [self.process.pid, *descendants(self.process.pid)]

    def processor_s(self) -> tuple[float, float]:
        """What the server's own process has used, and all of them together."""
        used = [processor_s(pid) for pid in self.processes()]
        return used[0], sum(used)

    def memory_mb(self) -> float:
        """Private memory and a fair share of the shared, of the server and all its children."""
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                total += int(re.search(r"^Pss:\s+(\d+)", rollup, re.M).group(1))
        return total / 1024

    def stop(self) -> None:
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # some leave processes that go on working


def descendants(pid: int) -> list[int]:
    children = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                children += [int(each) for each in (task / "children").read_text().split()]
    return children + [each for child in children for each in descendants(child)]


def processor_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def wrk(
    url: str,
    clients: int,
    seconds: float,
    body: str | bytes,
    folder: Path,
    headers: dict[str, str] | None = None,
) -> dict[str, float]:
    """Requests per second, latencies in ms, and errors of one run."""
    script, data = folder / "post.lua", folder / "body"
    data.write_bytes(body.encode() if isinstance(body, str) else body)
    headers = {"Content-Type": "application/json", **(headers or {})}
    lines = "".join(f"wrk.headers['{name}'] = '{value}'\n" for name, value in headers.items())
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = io.open('{data}', 'rb'):read('*a')\n{lines}"
        "function done(summary, latency)\n"
        "  io.write(string.format('RESULT %d %d %d %d %d %d\\n', summary.requests, summary.duration,\n"
        "    latency:percentile(50), latency:percentile(99), summary.errors.status,\n"
        "    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))\nend\n"
    )
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:g}s", "--timeout", "30s", "-s", str(script), url]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    requests, duration_us, p50, p99, status, other = map(int, printed.split("RESULT ")[1].split())
    return {
        "requests": requests,
        "rps": requests / duration_us * 1e6,
        "p50": p50 / 1000,
        "p99": p99 / 1000,
        "errors": status + other,
    }


# Servers


def environment(name: str) -> Path:
    """The folder `bin` of a peer's environment, with what its requirements.txt names."""
    requirements, folder = PEERS / name / "requirements.txt", ENVIRONMENTS / name
    made = folder / "made-of.txt"
    if not made.exists() or made.read_text() != requirements.read_text():
        print(f"making the environment of {name}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(folder / "bin/pip"), "install", "--quiet", "-r", str(requirements)], check=True)
        made.write_text(requirements.read_text())
    return folder / "bin"


def commands(peers: list[str], folder: str, workers: int = 1) -> dict[str, tuple[list[str], int, Path | None]]:
    """(command, port, folder to start it in) by name."""
    ports = [free_port() for _ in range(3 + len(peers))]
    mine = [str(BIN / "modelport"), "serve", "noop", "--listen-port", str(ports[2]), "--home", folder, "--s3-port", "0"]
    mine += ["--workers", str(workers)]
    servers: dict[str, tuple[list[str], int, Path | None]] = {
        "bare": ([sys.executable, str(HERE / "bare.py"), str(ports[0]), folder + "/upload"], ports[0], None),
        "isolated": ([sys.executable, str(HERE / "isolated.py"), str(ports[1]), "3"], ports[1], None),
        "modelport": (mine, ports[2], None),
    }
    for name, port in zip(peers, ports[3:], strict=True):
        bin, start = environment(name), PEERS / name
        command = [str(bin / "python"), "app.py", str(port)]
        if name == "bentoml":
            command = [str(bin / "python"), "-m", "bentoml", "serve", "app:Noop", "--port", str(port)]
        elif name == "deepaas":
            start = HERE
            command = [str(bin / "deepaas-run"), "--listen-port", str(port), "--model-name", "noop"]
        servers[name] = (command, port, start)
    return servers


def versions(peers: list[str]) -> dict[str, str]:
    pinned = {
        name: dict(line.split("==") for line in (PEERS / name / "requirements.txt").read_text().split())[name]
        for name in peers
    }
    own = {name: version(name) for name in ("modelport", "aiohttp", "uvloop", "msgspec", "marshmallow")}
    return {"python": platform.python_version(), "linux": platform.release(), **own, **pinned}


# Measuring


def measured(
    server: Served, url: str, clients: int, seconds: float, folder: Path, form: bool = False, body: str = BODY
) -> dict[str, float]:
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"} if form else {}
    before = server.processor_s()
    result = wrk(url, clients, seconds, FORM if form else body, folder, headers)
    after = server.processor_s()
    requests = max(1.0, result.pop("requests"))
    result["own_us"], result["all_us"] = ((b - a) / requests * 1e6 for a, b in zip(before, after, strict=True))
    return result


def rows_of(servers: dict[str, Served]) -> dict[str, tuple[Served, str, bool]]:
    """(server, address, with a file of 20 kB) by name."""
    rows = {name: (server, server.url, False) for name, server in servers.items()}
    mine = servers["modelport"]
    rows["modelport /noop"] = (mine, f"{mine.base}/noop", False)
    rows["modelport /run/noop"] = (mine, f"{mine.base}/run/noop", False)
    rows["bare, 20 kB file"] = (servers["bare"], servers["bare"].url, True)
    rows["modelport, 20 kB file"] = (mine, mine.url, True)
    return rows


def compare(servers: dict[str, Served], rounds: int, seconds: float, folder: Path) -> dict[str, dict[str, object]]:
    """By number of clients and row: medians, the least and the most, and the ratio to `bare`."""
    found: dict[str, dict[str, object]] = {}
    for clients, figure, unit in ((16, "rps", "requests/s"), (1, "p50", "ms, median latency")):
        rows = rows_of(servers)
        results: dict[str, list[dict[str, float]]] = {name: [] for name in rows}
        for _ in range(rounds):
            for name, (server, url, form) in rows.items():
                results[name].append(measured(server, url, clients, seconds, folder, form))
        print(f"{clients} client{'s' * (clients > 1)}, {rounds} rounds of {seconds:g} s, interleaved: {unit}")
        found[str(clients)] = {name: summary(results[name], results["bare"], figure) for name in rows}
        for name, row in found[str(clients)].items():
            print(
                f"  {name:22} {row[figure]:9.2f} ({row['least']:.2f} … {row['most']:.2f})"
                f"   {row['to_bare']:6.2f} × bare   p99 {row['p99']:7.2f} ms"
                f"   processor {row['own_us']:5.0f} µs, {row['all_us']:5.0f} in all   {row['errors']:g} errors",
                flush=True,
            )
    return found


def summary(results: list[dict[str, float]], bare: list[dict[str, float]], figure: str) -> dict[str, float]:
    row = {key: statistics.median(each[key] for each in results) for key in results[0]}
    values = [each[figure] for each in results]
    ratio = statistics.median(each[figure] / limit[figure] for each, limit in zip(results, bare, strict=True))
    return {
        **row,
        "least": min(values),
        "most": max(values),
        "to_bare": ratio,
        "errors": sum(e["errors"] for e in results),
    }


# With two workers


def endure(servers: dict[str, Served], seconds: float, folder: Path) -> dict[str, dict[str, float]]:
    """64 clients. Memory is compared with what it was after the first of ten parts, when all is loaded and warm."""
    rows: dict[str, dict[str, float]] = {}
    for name in ("bare", "modelport"):
        server = servers[name]
        measured(server, server.url, 64, max(1.0, seconds / 10), folder)
        before = server.memory_mb()
        row = measured(server, server.url, 64, seconds, folder)
        rows[name] = {**row, "memory_mb": before, "growth_mb": server.memory_mb() - before}
        print(
            f"  {name:12} {row['rps']:9.0f} requests/s   p99 {row['p99']:7.2f} ms   {row['errors']:g} errors   "
            f"memory {before:6.1f} MB, {rows[name]['growth_mb']:+.1f} MB",
            flush=True,
        )
    print(f"  p99 is {rows['modelport']['p99'] / rows['bare']['p99']:.2f} × bare's")
    return rows


COMPUTE_MS = 5
LOOP = f"""
import sys, time
from noop import predict
count, end = 0, time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    predict("hello", 7, 0.25, {COMPUTE_MS}, 0)
    count += 1
print(count)
"""


def compute(server: Served, seconds: float, rounds: int, folder: Path) -> dict[str, float]:
    """Calls/s of the model that computes, by two processes that do nothing else, and through the server."""
    variables = {**os.environ, "PYTHONPATH": str(HERE / "plugins")}
    body = json.dumps({**json.loads(BODY), "busy_ms": COMPUTE_MS})
    direct, served = [], []
    for _ in range(rounds):
        command = [sys.executable, "-c", LOOP, str(seconds)]
        loops = [subprocess.Popen(command, env=variables, stdout=subprocess.PIPE) for _ in range(2)]
        direct.append(sum(int(loop.communicate()[0]) for loop in loops) / seconds)
        served.append(measured(server, server.url, 16, seconds, folder, body=body)["rps"])
    share = statistics.median(mine / limit for mine, limit in zip(served, direct, strict=True))
    row = {"direct": statistics.median(direct), "modelport": statistics.median(served), "share": share}
    print(
        f"  {row['modelport']:.1f} calls/s, {share:.3f} of what two processes compute ({row['direct']:.1f})", flush=True
    )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--peers", default="fastapi,litserve,bentoml,deepaas", help="empty: none")
    parser.add_argument("--long", type=float, default=0, metavar="SECONDS", help="two workers; 64 clients for so long")
    parser.add_argument("--json", type=Path, help="where to write the results")
    options = parser.parse_args()
    peers = [name for name in options.peers.split(",") if name]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        servers: dict[str, Served] = {}
        starts = {}
        print("start to first answer, one server after the other")
        for name, (command, port, start) in commands(peers, folder, 2 if options.long else 1).items():
            servers[name] = server = Served(name, command, port, start)
            stack.callback(server.stop)
            starts[name] = {"first_answer_s": server.wait(), "memory_mb": server.memory_mb()}
            print(f"  {name:12} {starts[name]['first_answer_s']:6.2f} s   memory {starts[name]['memory_mb']:6.1f} MB")
        if options.long:
            print(f"64 clients for {options.long:g} s, 2 workers")
            results: dict[str, object] = {"64": endure(servers, options.long, Path(folder))}
            print(
                f"a model of {COMPUTE_MS} ms, 16 clients, 2 workers, {options.rounds} rounds of {options.seconds:g} s"
            )
            results["compute"] = compute(servers["modelport"], options.seconds, options.rounds, Path(folder))
        else:
            results = dict(compare(servers, options.rounds, options.seconds, Path(folder)))
        load = os.getloadavg()[0]
        print(f"load of the machine at the end: {load:.1f} on {os.cpu_count()} cores")
    if options.json is not None:
        document = {"versions": versions(peers), "load": load, "cores": os.cpu_count(), "starts": starts, **results}
        options.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
