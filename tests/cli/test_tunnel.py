"""`modelport tunnel`, with a stand-in for ngrok: a real small TCP proxy that says its address as ngrok does.

The real programs need an account or the internet; what is held here is all that is ours: how they are started, how the
address is found and checked, and that nothing is left.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelport.commands.tunnelling import tunnels
from modelport.commands.tunnelling.tunnels import ADDRESSES, Tunnel
from tests.cli.conftest import Cli, Running, post
from tests.house import alive, descendants, wait_until, wait_until_now

pytestmark = pytest.mark.slow

SMALL = "def get_predict_args():\n    return {}\n\ndef predict(**given):\n    return 'one'\n"

FAKE = """#!{python}
import asyncio, json, os, sys, time
from urllib.parse import urlsplit

mode = os.environ.get("FAKE", "")
assert sys.argv[1] == "http" and sys.argv[3:] == ["--log", "stdout", "--log-format", "json"], sys.argv
target = urlsplit(sys.argv[2])
if mode == "dies":
    print("ERR_NGROK_4018: your account has no authtoken", flush=True)
    sys.exit(7)
if mode == "silent":
    print("thinking", flush=True)
    time.sleep(600)
if mode == "stubborn":
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

def change(head):
    if mode == "adds":
        added = b"\\r\\nAuthorization: Bearer " + os.environ["FAKE_TOKEN"].encode() + b"\\r\\n"
        return head.replace(b"\\r\\n", added, 1)
    if mode == "drops":
        return head.replace(b"Authorization:", b"X-Dropped:")
    return head

async def pipe(reader, writer, first=False):
    try:
        while data := await reader.read(65536):
            writer.write(change(data) if first else data)
            first = False
            await writer.drain()
    except OSError:
        pass
    writer.close()

async def serve(reader, writer):
    try:
        below = await asyncio.open_connection(target.hostname, target.port)
    except OSError:
        writer.close()
        return
    await asyncio.gather(pipe(reader, below[1], True), pipe(below[0], writer))

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({{"lvl": "info", "msg": "starting web service", "addr": "127.0.0.1:4040"}}, separators=(",", ":")))
    line = {{"lvl": "info", "msg": "started tunnel", "addr": sys.argv[2], "url": f"http://127.0.0.1:{{port}}"}}
    print(json.dumps(line, separators=(",", ":")), flush=True)
    if mode == "talks":
        print("x" * 1000000, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def install(cli: Cli, name: str = "ngrok", text: str = FAKE) -> None:
    path = Path(cli.write(f"bin/{name}", text.format(python=sys.executable)))
    path.chmod(0o755)
    cli.environ["PATH"] = f"{path.parent}:/usr/bin:/bin"


@dataclass
class Served:
    cli: Cli
    server: Running
    token: str

    def tunnel(self, *arguments: str, **environ: str) -> Any:
        return self.cli.running("tunnel", *arguments, **environ)


@pytest.fixture
def served(cli: Cli) -> Iterator[Served]:
    """A server with one service, and ngrok's stand-in."""
    install(cli)
    with cli.running("serve", "--empty", "--listen-port", "0") as server:
        assert server.url
        wait_until_now(lambda: (cli.home / "server.json").exists())
        done = cli("deploy", cli.write("small.py", SMALL), "--name", "small", "--wait", "--json")
        assert done.status == 0, done.err
        yield Served(cli, server, done.json()["token"])


def test_the_public_address_is_checked_and_what_to_register_is_printed(served: Served) -> None:
    with served.tunnel() as tunnel:
        tunnel.wait_line("Ctrl-C ends the tunnel")
        public = tunnel.wait_line("^Public at").split()[-1]
        assert public != served.server.url
        endpoint = tunnel.wait_line("endpoint").split()[-1]
        assert endpoint == f"{public}/small"
        assert tunnel.wait_line("Authorization").split()[-1] == served.token
        assert post(endpoint)[0] == 401
        assert post(endpoint, served.token) == (200, b'{"result": "one"}')
        planned = served.cli("nevermined", "plan", "small", "--json").json()
        assert planned["body"]["agent"]["agentApiAttributes"]["agentDefinitionUrl"] == f"{public}/openapi.json"
        assert tunnel.end(signal.SIGINT) == 0
    assert served.cli("nevermined", "plan", "small").status == 2
    assert "Traceback" not in "".join(tunnel.err)
    assert post(f"{served.server.url}/small", served.token)[0] == 200


def test_sigterm_ends_it_too_and_json_is_for_programs(served: Served) -> None:
    port = served.server.url.rpartition(":")[2]
    with served.tunnel("--json", "--tool", "ngrok", "--port", port) as tunnel:
        document = json.loads(tunnel.wait_line("^{"))
        assert document["deployments"] == [
            {
                "name": "small",
                "endpoint": f"{document['url']}/small",
                "run": f"{document['url']}/run/small",
                "token": served.token,
            }
        ]
        assert tunnel.end() == 0


def test_a_program_that_talks_much_or_does_not_want_to_end_is_no_trouble(served: Served) -> None:
    for mode in ("talks", "stubborn"):
        with served.tunnel(FAKE=mode) as tunnel:
            tunnel.wait_line("Ctrl-C ends the tunnel")
            assert post(tunnel.wait_line("endpoint").split()[-1], served.token)[0] == 200
            assert tunnel.end(signal.SIGINT) == 0


def test_a_killed_command_leaves_no_tunnel(served: Served) -> None:
    with served.tunnel() as tunnel:
        tunnel.wait_line("Ctrl-C ends the tunnel")
        below = descendants(tunnel.process.pid)
        assert below
        tunnel.process.kill()
        tunnel.wait()
        wait_until_now(lambda: not [each for each in below if alive(each)])


async def test_a_tunnel_ends_though_the_wait_for_its_end_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnels, "END_S", 0.2)
    program = tmp_path / "ngrok"
    program.write_text("#!/bin/sh\ntrap '' TERM\necho ready\nwhile :; do sleep 600; done\n")
    program.chmod(0o755)
    tunnel, leaving = Tunnel(("ngrok", str(program)), "http://127.0.0.1:1"), asyncio.Event()

    async def use() -> None:
        async with tunnel:
            await wait_until(lambda: bool(tunnel.said()))
            leaving.set()

    using = asyncio.create_task(use())
    await leaving.wait()
    using.cancel()
    await asyncio.wait({using})
    assert using.cancelled()
    assert not alive(tunnel._process.pid)


def test_an_address_that_does_not_do_what_it_should_is_refused(served: Served) -> None:
    for mode, status, reason in (
        ("adds", 1, "without a token: the tunnel leads elsewhere, or adds one"),
        ("drops", 3, "does not take the token: something on the way drops or changes the header"),
        ("dies", 1, "ngrok has ended with status 7: ERR_NGROK_4018: your account has no authtoken"),
        ("silent", 4, "ngrok gave no working address within 5 s: thinking"),
    ):
        done = served.cli("tunnel", "--wait", "5s", FAKE=mode, FAKE_TOKEN=served.token)
        assert (done.status, done.out) == (status, b"")
        assert reason in done.err


def test_a_server_that_asks_for_no_token_is_not_made_public(cli: Cli) -> None:
    install(cli)
    with cli.serving(cli.write("small.py", SMALL)) as server:
        done = cli("tunnel")
        assert done.status == 2
        assert "small can be called without a token" in done.err
        assert server.end() == 0


def test_a_module_that_shares_the_servers_token_is_checked_but_the_token_not_shown(cli: Cli) -> None:
    install(cli)
    with cli.serving(cli.write("small.py", SMALL), BEARER_TOKEN="s3cret"), cli.running("tunnel") as tunnel:
        tunnel.wait_line("Ctrl-C ends the tunnel")
        assert tunnel.wait_line("Authorization").endswith("Bearer <the token that this server was started with>")
        assert "s3cret" not in "".join(tunnel.out)
        assert tunnel.end(signal.SIGINT) == 0


def test_without_a_program_it_says_how_to_get_one(served: Served) -> None:
    served.cli.environ["PATH"] = "/usr/bin:/bin"
    done = served.cli("tunnel")
    assert done.status == 3
    assert "https://ngrok.com/download" in done.err
    assert "https://github.com/cloudflare/cloudflared/releases" in done.err
    assert "cloudflared is not installed here" in served.cli("tunnel", "--tool", "cloudflared").err


def test_without_a_server_it_says_so(cli: Cli) -> None:
    install(cli)
    done = cli("tunnel")
    assert done.status == 3
    assert "no server is running" in done.err
    assert cli("tunnel", "--port", "1").status == 3


def test_cloudflared_is_started_as_it_wants_and_its_address_found(served: Served) -> None:
    said = """#!/bin/sh
[ "$1 $2 $3" = "tunnel --no-autoupdate --url" ] || exit 9
echo "$4" >&2
echo "2026-01-01T00:00:00Z INF |  https://no-such-words-here.trycloudflare.com  |" >&2
exec sleep 600
"""
    install(served.cli, "cloudflared", said)
    done = served.cli("tunnel", "--tool", "cloudflared", "--wait", "1s")
    assert done.status == 4
    assert "cloudflared gave no working address within 1 s" in done.err
    assert served.server.url in done.err
    line = "INF |  https://some-words.trycloudflare.com                 |"
    match = ADDRESSES["cloudflared"].search(line)
    assert match is not None
    assert match[1] == "https://some-words.trycloudflare.com"
