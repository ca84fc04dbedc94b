"""docs/cluster.md works as written. Its machines are nodes on this one, each with ports of its own."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import MODELPORT, Cli
from tests.cluster.conftest import PATIENCE_S, marked
from tests.docs.test_cluster import PAGE
from tests.docs.test_serverless import ADDRESS, ROOT, steps
from tests.house import command, descendants, wait_until_now

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

HEAD = "10.0.0.1:6379"
STARTED = "Ray runtime started."  # as `ray start` says it
WORKER = re.compile(r"^worker +\S+, process \d+(, busy)?$", re.M)
NODE = re.compile(r"^node +[\d.]+: \d+ CPUs?(, \d+ GPUs?)?, [\d.]+ GiB of memory$", re.M)


def section(title: str) -> str:
    [text] = re.findall(rf"^## {title}\n(.*?)^## ", PAGE.read_text(), re.M | re.S)
    return re.sub(r"^ {3}", "", text, flags=re.M)  # steps of a list


class Machines:
    """Runs the page's commands. Those that last are processes, which end with all that they have started."""

    def __init__(self, folder: Path, short: str) -> None:
        """short: a folder for Ray, whose sockets have short paths."""
        self.cli = Cli(folder)
        (folder / "data").symlink_to(ROOT / "data")
        self.mark = secrets.token_hex(8)
        self.cli.environ |= {
            "PATH": f"{Path(MODELPORT).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            "CLUSTER_TEST": self.mark,
        }
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._short = short
        self._log = folder / "machines.log"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.commands: list[str] = []

    def run(self, command: str) -> str:
        """What it prints. A worker that is just starting on a busy machine takes its time."""
        done = self._done(command)
        assert done.returncode == 0, f"$ {command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def answers(self, command: str) -> bool:
        """Whether it ends well."""
        return self._done(command).returncode == 0

    def _done(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.cli.folder,
            env=self.cli.environ,
            capture_output=True,
            text=True,
            timeout=3 * PATIENCE_S,
            check=False,
        )

    def begin(self, command: str, *options: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                ["bash", "-c", " ".join([command, *options])],
                cwd=self.cli.folder,
                env=self.cli.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        self.commands.append(" ".join([command, *options]))
        return process

    def start_node(self, command: str) -> None:
        number = len(self.processes) + 1
        head = [f"--temp-dir={self._short}"] if "--head" in command else []
        own = ["--block", "--min-worker-port=0", "--max-worker-port=0", f"--node-ip-address=127.0.0.{number}", *head]
        node = self.begin(command, *own)
        started = len(self.processes)
        wait_until_now(lambda: self._log.read_text().count(STARTED) == started or node.poll() is not None, PATIENCE_S)
        assert node.poll() is None, self._log.read_text()

    def serve(self, command: str) -> dict[str, Any]:
        """What the server says of itself: url, token."""
        server = self.begin(command, "--listen-port 0 --s3-port 0")
        notice = self.cli.home / "server.json"
        wait_until_now(lambda: notice.exists() or server.poll() is not None, PATIENCE_S)
        assert server.poll() is None, self._log.read_text()
        told: dict[str, Any] = json.loads(notice.read_text())
        return told

    def end(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            process.wait(PATIENCE_S)
        wait_until_now(lambda: not marked(self.mark), PATIENCE_S)


@pytest.fixture
def machines(tmp_path: Path, fitted_home: Path) -> Iterator[Machines]:
    short = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    made = Machines(tmp_path, short)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(short, ignore_errors=True)


def test_one_machine(machines: Machines) -> None:
    """All but the installation, which the tests have behind them."""
    _, (serve, _), (curl, _) = steps(section("Try it on one machine"))
    url = machines.serve(serve)["url"]
    digits = json.loads(machines.run(curl.replace(ADDRESS, url)))
    assert digits[0]["name"] == "eight"


def three_machines(machines: Machines) -> str:
    """Every step of the page. How to make a prediction then."""
    page = section("Three machines").replace(HEAD, f"127.0.0.1:{machines.port}")
    commands = [command for command, _ in steps(page.replace("--port=6379", f"--port={machines.port}"))]
    token, protect, head, join, serve, deploy = commands
    machines.run(token)
    machines.run(protect)
    for start in (head, join, join):
        machines.start_node(start)
    server = machines.serve(serve)
    machines.run(deploy)
    return "modelport predict digits --files data/digits_page.png --url {url} --token {token}".format(**server)


def test_three_machines(machines: Machines) -> None:
    predict = three_machines(machines)
    with ThreadPoolExecutor() as threads:
        calls = [threads.submit(machines.run, predict) for _ in range(4)]
        assert all(call.result() for call in calls)
    shown, sample = machines.run("modelport info digits"), section("Where the workers are")
    assert len(NODE.findall(sample)) == len(NODE.findall(shown)) == 3
    assert WORKER.search(sample) and WORKER.search(shown)


def test_the_server_connects_again_when_the_head_is_back(machines: Machines) -> None:
    machines.cli.environ["RAY_gcs_rpc_server_reconnect_timeout_s"] = "3"  # of the nodes
    machines.cli.environ["MODELPORT_RAY_HEAD_TIMEOUT_S"] = "3"
    predict = three_machines(machines)
    assert machines.run(predict)
    nodes = list(zip(machines.processes[:3], machines.commands[:3], strict=True))
    [head] = [pid for pid in descendants(nodes[0][0].pid) if "gcs_server" in command(pid)]
    os.kill(head, signal.SIGKILL)
    for process, _ in nodes:
        process.wait(PATIENCE_S)  # without their head, they end
    for _, again in nodes:
        machines.begin(again)
    wait_until_now(lambda: machines.answers(predict), 3 * PATIENCE_S)
