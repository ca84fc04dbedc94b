"""How the commands and the client reach a server: certificates, proxies, answers of others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelport.client.connection import proxy_of
from tests.cli.conftest import MODELPORT, Both
from tests.nginx import self_signed

pytestmark = pytest.mark.slow


class Door:
    """Passes connections on to a port of this machine; with TLS, or as an HTTP proxy. seen: what was asked first."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.seen: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.seen.append(first := await reader.readuntil(b"\r\n\r\n"))
            if first.startswith(b"CONNECT"):
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                first = b""
            their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self.target)
            their_writer.write(first)
            await asyncio.gather(pump(reader, their_writer), pump(their_reader, writer))
        writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@contextlib.contextmanager
def door(target: int, context: ssl.SSLContext | None = None) -> Iterator[Door]:
    """In an event loop of its own."""
    made = Door(target)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def opened() -> asyncio.Server:
        return await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)

    async def closed() -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(opened(), loop).result()
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(closed(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of `localhost`, signed by nobody else."""
    return self_signed(tmp_path_factory.mktemp("tls"))


def port(both: Both) -> int:
    return int(both.server.url.rpartition(":")[2])


COMMANDS = (["predict", "everything"], ["jobs"], ["info", "everything"], ["batch", "everything", "a picture.png"])


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: str(words[0]))
def test_a_certificate_that_is_not_trusted_says_what_to_do(both: Both, certificate: Path, words: list[str]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with door(port(both), context) as tls:
        url = f"https://localhost:{tls.port}"
        done = both.cli(*words, "--url", url)
        assert done.status == 3
        assert "its certificate is not trusted: self-signed certificate" in done.err
        assert "set SSL_CERT_FILE to" in done.err
        if words[0] == "predict":
            done = both.cli(*words, "--url", url, SSL_CERT_FILE=f"{certificate}.crt")
            assert done.status == 0, done.err
            assert done.json()["word"] == "hello"
            done = both.cli(*words, "--url", f"https://127.0.0.1:{port(both)}")
            assert "TLS fails: " in done.err


def test_proxies_are_asked_and_left_out_where_that_is_said(both: Both) -> None:
    words = ("predict", "everything", "--url", "http://models.example:80")
    # By a name that it does not know, a server answers only callers with a token.
    token = json.loads((both.cli.home / "server.json").read_text())["token"]
    with door(port(both)) as other:
        proxy, seen = f"http://127.0.0.1:{other.port}", other.seen
        done = both.cli(*words, http_proxy=proxy, BEARER_TOKEN=token)
        assert done.status == 0, done.err
        assert done.json()["word"] == "hello"
        assert seen[0].startswith(b"GET http://models.example/")
        seen.clear()
        for name in ("models.example", ".example", "*"):
            assert both.cli(*words, http_proxy=proxy, no_proxy=name).status == 3
        assert both.cli("predict", "everything", "--url", both.server.url, http_proxy=proxy).status == 0
        assert seen == []
        done = both.cli("jobs", "--url", "https://models.example", https_proxy=proxy)
        assert done.status == 3
        assert seen[0].startswith(b"CONNECT models.example:443 ")


def test_a_host_of_mcp_reaches_its_server_by_the_proxy(both: Both) -> None:
    with door(port(both)) as other:
        environ = {**both.cli.environ, "http_proxy": f"http://127.0.0.1:{other.port}"}
        words = [MODELPORT, "mcp", "--url", "http://models.example:80"]
        with subprocess.Popen(words, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bridge:
            assert bridge.stdin is not None and bridge.stdout is not None
            bridge.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
            bridge.stdin.flush()
            assert json.loads(bridge.stdout.readline())["id"] == 1
            bridge.stdin.close()
        assert other.seen[0].startswith(b"POST http://models.example/mcp ")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example/x", "http://secure:1"),
        ("http://a.example", "http://plain:2"),
        ("http://localhost:5000", None),
        ("http://127.1.2.3", None),
        ("http://[::1]:5000", None),
        ("https://inside.example", None),
    ],
)
def test_which_proxy_is_asked(monkeypatch: pytest.MonkeyPatch, url: str, expected: str | None) -> None:
    for name, value in (("https_proxy", "http://secure:1"), ("http_proxy", "plain:2"), ("no_proxy", "inside.example")):
        monkeypatch.setenv(name, value)
    assert proxy_of(url) == expected
