"""The installed command `modelport` as a process, and a plugin to use it on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from modelport.client import Client
from tests.forked import Forked, completed
from tests.house import PATIENCE_S, alive, descendants, doing, wait_until_now

MODELPORT = str(Path(sys.executable).with_name("modelport"))

# One argument of every kind, every kind of answer, and every way to end.
PLUGIN = """
import io, os, sys, time
from marshmallow import ValidationError, fields, validate
import modelport

def get_metadata():
    return {"name": "everything", "version": "1.2", "summary": "Answers with what it got", "author": "me"}

def get_predict_args():
    file = {"type": "file", "location": "form", "description": "a picture"}
    return {
        "mode": fields.Str(load_default="echo"),
        "word": fields.Str(load_default="hello", metadata={"description": "what to say"}),
        "count": fields.Int(load_default=1, validate=validate.Range(1, 9)),
        "loud": fields.Bool(load_default=False),
        "numbers": fields.List(fields.Float(), load_default=[]),
        "table": fields.Dict(load_default={}),
        "image": fields.Raw(metadata=file),
        "more_files": fields.List(fields.Raw(), metadata=file),
        "timeout": fields.Int(load_default=0, metadata={"description": "has the name of an option of ours"}),
        "accept": fields.Str(
            load_default="application/json",
            validate=validate.OneOf(["application/json", "image/png", "text/plain"]),
            metadata={"location": "headers"},
        ),
    }

def _read(upload):
    with open(upload.filename, "rb") as file:
        return [upload.original_filename, upload.content_type, len(file.read())]

def predict(mode, accept, **given):
    print("working on", mode, flush=True)
    if mode == "fail":
        raise ValueError("I cannot")
    if mode == "refuse":
        raise ValidationError({"word": ["I do not like it."]})
    if mode == "die":
        os._exit(3)
    if mode == "sleep":
        time.sleep(600)
    if mode == "nan":
        return float("nan")
    if accept == "image/png":
        return io.BytesIO(b"\\x89PNG\\r\\n\\x1a\\n" + bytes(range(256)) * given["count"])
    if accept == "text/plain":
        return "plain " + given["word"]
    given["image"] = _read(given["image"]) if given.get("image") else None
    given["more_files"] = [_read(each) for each in given.get("more_files") or []]
    return given

def get_train_args():
    no = {"load_default": False}
    return {"steps": fields.Int(load_default=3), "fail": fields.Bool(**no), "sleep": fields.Bool(**no)}

def train(steps, fail, sleep):
    for each in range(steps):
        modelport.progress(each / steps, f"step {each}")
    if sleep:
        time.sleep(600)
    if fail:
        raise RuntimeError("no convergence")
    modelport.progress(1.0, "done")
    return {"steps": steps, "loss": 0.1}
"""


@dataclass
class Done:
    """A command that has ended."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Running:
    """A command that runs; what it prints is gathered as it comes."""

    process: subprocess.Popen[str]
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._readers = [
            threading.Thread(target=into.extend, args=(stream,))
            for stream, into in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def wait_line(self, pattern: str, *, err: bool = False, count: int = 1) -> str:
        """The line in which the pattern stands for the count-th time."""
        lines = self.err if err else self.out

        def found() -> list[str]:
            return [line for line in list(lines) if re.search(pattern, line)]

        wait_until_now(lambda: len(found()) >= count or self.process.poll() is not None)
        assert len(found()) >= count, f"no {pattern!r} in:\n{''.join(self.out)}{''.join(self.err)}"
        return found()[count - 1].rstrip("\n")

    @property
    def url(self) -> str:
        return self.wait_line("^Listening on").split()[-1]

    def wait_ready(self, count: int = 1) -> None:
        self.wait_line(": ready after", count=count)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send the signal; the exit status, when it and everything below it is gone."""
        below = descendants(self.process.pid)
        self.process.send_signal(number)
        status = self.wait()
        assert not [each for each in below if alive(each)]
        return status

    def wait(self) -> int:
        try:
            status = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{error}; it does this:\n{doing(self.process.pid)}\nand wrote {self.err}") from None
        for reader in self._readers:
            reader.join(PATIENCE_S)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return status


class Cli:
    """Runs `modelport` in a folder and with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        foreign = ("MODELPORT_", "BEARER_TOKEN", "DEEPAAS_", "PYTHON", "OS_DEFAULT")
        self.environ = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        self.environ["MODELPORT_HOME"] = str(self.home)
        self.environ["COLUMNS"] = "100"

    def __call__(self, *arguments: str, **environ: str) -> Done:
        done = completed(
            [MODELPORT, *arguments],
            cwd=self.folder,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            timeout_s=PATIENCE_S,
        )
        return Done(done.returncode, done.stdout, done.stderr.decode())

    @contextlib.contextmanager
    def running(self, *arguments: str, **environ: str) -> Iterator[Running]:
        process = Forked(
            [MODELPORT, *arguments],
            cwd=self.folder,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running = Running(process)
        try:
            yield running
        finally:
            if process.poll() is None:
                process.kill()
                running.wait()

    @contextlib.contextmanager
    def serving(self, *arguments: str, **environ: str) -> Iterator[Running]:
        """A server on a free port, its models warm."""
        with self.running("serve", "--listen-port", "0", *arguments, **environ) as running:
            running.wait_ready()
            yield running

    def clear(self, server: Running, *kept: str) -> None:
        """What a test has left on a server that several share, and in its folder."""
        token = json.loads((self.home / "server.json").read_text())["token"]
        with Client(server.url, token) as client:
            while jobs := client.jobs(limit=1000):
                for job in jobs:
                    client.remove(client.cancel(job))
            for deployment in client.deployments():
                client.undeploy(deployment["name"])
        for path in self.folder.iterdir():
            if path.name not in ("home", *kept):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def write(self, name: str, text: str = PLUGIN) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """The plugin by path, and on a server."""
    cli = Cli(tmp_path_factory.mktemp("both"))
    module = cli.write("everything.py")
    cli.write("a picture.png", "x" * 1000)
    with cli.serving(module) as server:
        yield Both(cli, module, server)


@dataclass
class Both:
    """The same model here and on a server."""

    cli: Cli
    module: str
    server: Running

    def local(self, method: str, *arguments: str) -> Done:
        return self.cli(method, self.module, *arguments)

    def remote(self, method: str, *arguments: str) -> Done:
        return self.cli(method, "everything", "--url", self.server.url, *arguments)

    def ways(self) -> list[Callable[..., Done]]:
        return [self.local, self.remote]

    def ask(self, *arguments: str) -> list[Done]:
        """The same command here and on the server, at the same time."""
        with ThreadPoolExecutor() as threads:
            return list(threads.map(lambda ask: ask(*arguments), self.ways()))


def post(url: str, token: str = "", data: bytes = b"") -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, data=data, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
