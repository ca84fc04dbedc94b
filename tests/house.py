"""The real server for tests: in the test's own event loop (`open_house`), or a process (`spawned_house`)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from modelport.deployments.deployments import DeploymentRow
from modelport.http.gateway import Gateway
from modelport.server import Server
from modelport.settings import Settings
from tests.forked import Forked, mothers

# Generous: the machine may be busy with other things. No test waits so long when all is well.
PATIENCE_S = 30.0
POLL_S = 0.005
# What is to happen at once does not take so long even on a busy machine; where it goes wrong it takes a minute or more.
SOON_S = 10.0
# Tests present many wrong secrets, and all from one address. Those that are about guessing set this themselves.
UNHURRIED = {"guess_delay_s": 0.0}


@dataclass(frozen=True)
class Answer:
    """A response, read whole."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    reason: str = ""

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def type(self) -> str:
        return self.headers.get("Content-Type", "")

    def json(self) -> Any:
        """The body as JSON, strictly: no NaN."""
        return json.loads(self.body, parse_constant=_no_constant)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


async def wait_until(condition: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
    """The first true value of `condition`, asked again and again."""
    end = time.monotonic() + within_s
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{condition} did not become true within {within_s} s")
        await asyncio.sleep(POLL_S)
    return value


def wait_until_now(condition: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
    """The same where no event loop runs."""
    end = time.monotonic() + within_s
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{condition} did not become true within {within_s} s")
        time.sleep(POLL_S)
    return value


# Processes, as /proc shows them


def stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the state on (state, parent, group, session …); empty: there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    status = stat(pid)
    return bool(status) and status[0] not in "ZX"


def children(parent: int | None = None, *, zombies: bool = False) -> list[int]:
    """The direct children of a process, by default of this one."""
    parent = os.getpid() if parent is None else parent
    found = set()
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{parent}/task"):
            with contextlib.suppress(OSError):
                found |= set(map(int, Path(f"/proc/{parent}/task/{thread}/children").read_text().split()))
    return sorted(pid for pid in found if (fields := stat(pid)) and (zombies or fields[0] not in "ZX"))


def descendants(parent: int | None = None) -> list[int]:
    found = []
    for child in children(parent):
        found += [child, *descendants(child)]
    return found


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def templates(parent: int | None = None, name: str = "") -> list[int]:
    """The processes that hold the plugins; `name`: only those of that deployment."""
    wanted = json.dumps({"name": name})[1:-1] if name else ""
    return [child for child in children(parent) if "boot.py" in command(child) and wanted in command(child)]


def workers(parent: int | None = None, name: str = "") -> list[int]:
    """The worker processes: each leads a session of its own, its template is its parent."""
    return [child for template in templates(parent, name) for child in children(template) if leads_session(child)]


def leads_session(pid: int) -> bool:
    return (stat(pid)[3:4] or [""])[0] == str(pid)


def doing(pid: int) -> str:
    """What each thread of a process waits for, in the kernel's words."""
    said = []
    for task in sorted(Path(f"/proc/{pid}/task").glob("*")):
        for name in ("comm", "wchan", "syscall", "stack"):
            with contextlib.suppress(OSError):
                said.append(f"{task.name} {name} {(task / name).read_text().strip()}")
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/status").read_text()
        said += [line for line in text.splitlines() if line.startswith(("State", "Sig", "Shd"))]
    return "\n".join(said)


def descriptors(pid: int | str = "self") -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def peak_memory_bytes(pid: int) -> int:
    """The most physical memory that the process has ever held (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise LookupError("no VmHWM")


# The house


@dataclass
class House:
    """A running server, its models and a client."""

    server: Server
    session: aiohttp.ClientSession
    folder: Path
    printed: list[tuple[str, int, bytes]] = field(default_factory=list)
    before: frozenset[int] = frozenset()  # processes of other tests

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def home(self) -> Path:
        return self.server.settings.home_path

    @property
    def gateway(self) -> Gateway:
        assert self.server.gateway is not None
        return self.server.gateway

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """One request. path: from the host on, with the base path."""
        target = path if path.startswith("http") else f"http://127.0.0.1:{self.server.port}{path}"
        options.setdefault("allow_redirects", False)
        async with self.session.request(method, target, **options) as response:
            return Answer(response.status, await response.read(), response.headers, response.reason or "")

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Answer:
        return await self.ask("POST", path, **options)

    async def predict(self, query: Mapping[str, Any] | None = None, name: str = "x", **options: Any) -> Answer:
        """query: arguments in the query string."""
        path = f"{self.server.settings.base_path}/v2/models/{name}/predict/"
        return await self.post(path, params=query, **options)

    async def raw(self, data: bytes, within_s: float = PATIENCE_S, port: int | None = None) -> bytes:
        """What the server says to these very bytes until it closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.server.port)
        try:
            writer.write(data)
            async with asyncio.timeout(within_s):
                return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def counts(self, name: str = "x") -> Any:
        return self.server.deployments.get(name).counts()

    async def wait_running(self, number: int, name: str = "x") -> None:
        """Until so many workers are busy."""
        await wait_until(lambda: self.counts(name).busy == number)

    async def wait_queued(self, number: int, name: str = "x") -> None:
        await wait_until(lambda: self.counts(name).queued == number)

    async def wait_workers(self, number: int, name: str = "x") -> None:
        """Until so many workers are warm, whatever they do."""
        await wait_until(lambda: self.counts(name).workers == number)

    def template(self, name: str = "x") -> int:
        return templates(name=name)[0]

    def workers(self, name: str = "x") -> list[int]:
        return workers(name=name)

    def children(self) -> list[int]:
        return [pid for pid in children() if pid not in self.before and pid not in mothers()]

    def scratch(self) -> list[Path]:
        """What predictions have left on disk."""
        return sorted(self.home.glob("run/*/scratch/*"))


def write_plugins(folder: Path, sources: str | Mapping[str, str]) -> list[DeploymentRow]:
    """Each source in a file of its own; a single one is called x. A name may say which attribute: "x:obj"."""
    folder.mkdir(parents=True, exist_ok=True)
    deployment_rows = []
    for number, (name, source) in enumerate(({"x": sources} if isinstance(sources, str) else sources).items()):
        file = folder / f"plugin_{number}.py"
        file.write_text(source)
        name, colon, attribute = name.partition(":")
        deployment_rows.append(DeploymentRow(name, f"{file}{colon}{attribute}"))
    return deployment_rows


@contextlib.asynccontextmanager
async def open_house(folder: Path, sources: str | Mapping[str, str], **settings: Any) -> AsyncIterator[House]:
    """A server in this event loop, every model warm. folder: for its state and the plugins."""
    settings = {"listen_port": 0, "s3_port": 0, "home": str(folder / "home"), **UNHURRIED, **settings}
    printed: list[tuple[str, int, bytes]] = []
    before = frozenset(children())
    modules = write_plugins(folder / "plugins", sources)
    server = Server(Settings(**settings), modules, lambda *each: printed.append(each))
    # The jar would keep one test's cookies for the next.
    session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(PATIENCE_S))
    try:
        await server.start(warm_first=True)
        yield House(server, session, folder, printed, before)
    finally:
        await session.close()
        await server.stop(0)


# The house as a process

SERVE = """
import json, logging, sys
import uvloop
from modelport.deployments.deployments import DeploymentRow
from modelport.server import Server
from modelport.settings import Settings
from tests.forked import Forked, mothers
settings, modules = json.loads(sys.argv[1])
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
def started(server):
    print(server.port, flush=True)
server = lambda: Server(Settings(**settings), [DeploymentRow(*each) for each in modules])
async def main():
    return await server().run(started, warm_first=True)
sys.exit(uvloop.run(main()))
"""


@dataclass
class Spawned:
    """A server process. `log` is what it and its models have written."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    home: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def predict_url(self) -> str:
        return f"{self.url}/v2/models/x/predict/"

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def descendants(self) -> list[int]:
        return descendants(self.pid)

    async def wait(self, within_s: float = PATIENCE_S) -> int:
        """The exit status."""
        return await asyncio.to_thread(self.process.wait, within_s)


@contextlib.contextmanager
def launched(
    folder: Path,
    sources: str | Mapping[str, str],
    *,
    limit: Callable[[], None] | None = None,
    command: Sequence[str] = (),
    **settings: Any,
) -> Iterator[Spawned]:
    """A server as a process, under uvloop as `modelport serve` runs it; `port` is 0 until `listening` has found it.

    limit: run in it before it starts (a resource limit). command: to start it with, such as strace and its options.
    """
    settings = {"listen_port": 0, "s3_port": 0, "home": str(folder / "home"), **UNHURRIED, **settings}
    home = Path(settings["home"])
    modules = [(plugin.name, plugin.module) for plugin in write_plugins(folder / "plugins", sources)]
    log = folder / "server.log"
    with open(log, "ab") as errors:
        process = Forked(
            [*command, sys.executable, "-c", SERVE, json.dumps([settings, modules])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            preexec_fn=limit,
            start_new_session=True,
        )
    assert process.stdout is not None
    try:
        yield Spawned(process, 0, log, home)
    finally:
        below = descendants(process.pid)
        process.kill()
        process.wait()
        process.stdout.close()
        for each in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)


def listening(spawned: Spawned) -> bool:
    """Wait until it listens; False: it has ended before."""
    assert spawned.process.stdout is not None
    line = spawned.process.stdout.readline()
    spawned.port = int(line or 0)
    return bool(line)


@contextlib.contextmanager
def spawned_house(folder: Path, sources: str | Mapping[str, str], **options: Any) -> Iterator[Spawned]:
    """A server as a process that listens; `options` as for `launched`."""
    with launched(folder, sources, **options) as spawned:
        assert listening(spawned), f"the server did not start:\n{spawned.log.read_text()}"
        yield spawned
