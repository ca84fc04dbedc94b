"""deepaas-run and deepaas-cli, run as processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.forked import Forked, completed
from tests.house import descendants, wait_until_now
from tests.plugins import environment

PATIENCE_S = 60.0

LOG_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) (\d+) ([A-Z]+) (\S+) \[-\] (.*)")


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def returned(self) -> str:
        """What stands behind `return: ` in the log."""
        return self.out.partition("return: ")[2].split("\n")[0]

    def message(self, word: str) -> str:
        """Of the first log line that holds `word`."""
        return next(match[5] for line in self.lines if word in line and (match := LOG_LINE.fullmatch(line)))


@dataclass(frozen=True)
class Commands:
    """folder: the working directory; plugins are in `site`."""

    shims: Path
    folder: Path
    model: str = ""
    more: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return environment(self.folder / "site", self.model, HOME=str(home), **self.more)

    def with_environment(self, **more: str) -> Commands:
        return Commands(self.shims, self.folder, self.model, {**self.more, **more})

    def cli(self, *arguments: str, program: Path | None = None) -> Done:
        return self._ended(program or self.shims / "deepaas-cli", *arguments)

    def run(self, *arguments: str, program: Path | None = None) -> Done:
        """deepaas-run, where it is expected to end by itself."""
        return self._ended(program or self.shims / "deepaas-run", *arguments)

    def _ended(self, program: Path, *arguments: str) -> Done:
        done = completed(
            [str(program), *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            timeout_s=PATIENCE_S,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    @contextlib.contextmanager
    def running(self, *arguments: str, program: Path | None = None) -> Iterator[Running]:
        """deepaas-run, listening; ended after it."""
        printed = Path(tempfile.mkdtemp(prefix="printed-", dir=self.folder))
        out, err = printed / "stdout", printed / "stderr"
        with open(out, "wb") as stdout, open(err, "wb") as stderr:
            process = Forked(
                [str(program or self.shims / "deepaas-run"), *arguments],
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        running = Running(process, out, err)
        try:
            wait_until_now(lambda: running.started or process.poll() is not None, PATIENCE_S)
            assert process.poll() is None, running.out + running.err
            yield running
        finally:
            below = descendants(process.pid)
            process.kill()
            process.wait()
            for pid in below:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True)
class Running:
    """A deepaas-run that listens."""

    process: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path

    @property
    def out(self) -> str:
        return self.stdout.read_text()

    @property
    def err(self) -> str:
        return self.stderr.read_text()

    @property
    def started(self) -> bool:
        return "======== Running on " in self.out

    @property
    def url(self) -> str:
        match = re.search(r"^======== Running on (http://\S+) ========$", self.out, re.M)
        assert match is not None
        return match[1]

    def wait_for(self, text: str) -> None:
        """Until `text` is in the output."""
        wait_until_now(lambda: text in self.out)

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def json(self, path: str, method: str = "GET") -> Any:
        status, body = self.get(path, method)
        assert status == 200, body
        return json.loads(body)

    def stop(self) -> int:
        """The exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)
