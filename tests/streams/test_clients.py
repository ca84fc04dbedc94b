"""Values as they come in Python programs and at the command line."""

from __future__ import annotations

import fcntl
import json
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from modelport.client import AsyncClient, Client
from modelport.client.calls import events
from modelport.errors import InvalidArguments, ModelFailed, NotAcceptable
from tests.cli.conftest import MODELPORT, Cli, Running
from tests.forked import Forked
from tests.house import PATIENCE_S, alive, descendants, wait_until, wait_until_now

SOURCE = Path(__file__).with_name("plugin.py").read_text()
# As many as Linux keeps.
PIPE_BYTES = 1 << 16


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cli, str, Running]]:
    """The command, the model's file, and a server with it."""
    cli = Cli(tmp_path_factory.mktemp("clients"))
    module = cli.write("film.py", SOURCE)
    with cli.serving(module) as server:
        yield cli, module, server


async def test_a_program_gets_each_value_as_it_comes(here: tuple[Cli, str, Running], tmp_path: Path) -> None:
    gate, trace = tmp_path / "gate", tmp_path / "trace"
    async with AsyncClient(here[2].url) as client:
        values = client.stream("film", gate=str(gate))
        first = await anext(values)
        gate.touch()
        assert [first, *[value async for value in values]] == await client.predict("film")
        assert [value async for value in client.stream("film", mode="plain")] == [{"not": "a generator"}]
        with pytest.raises(ModelFailed, match="the film is torn"):
            [value async for value in client.stream("film", mode="raise")]
        with pytest.raises(NotAcceptable):
            [value async for value in client.stream("film", mode="image")]
    assert not trace.exists()


async def test_what_is_refused_is_named_in_the_message_too(here: tuple[Cli, str, Running]) -> None:
    async with AsyncClient(here[2].url) as client:
        with pytest.raises(InvalidArguments, match=r"^number: Not a valid integer\.$") as refused:
            await client.predict("film", number="many")
    assert refused.value.fields == {"number": ["Not a valid integer."]}


def test_a_program_without_an_event_loop_may_leave_in_the_middle(
    here: tuple[Cli, str, Running], tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    with Client(here[2].url) as client:
        for value in client.stream("film", mode="endless", trace=str(trace)):
            if value["index"] == 100:
                break
        wait_until_now(lambda: trace.read_text().endswith("closed\n"))
        assert [value["index"] for value in client.stream("film")] == [0, 1, 2]


async def test_events_may_be_cut_anywhere() -> None:
    said = b'id: 1\ndata: {"a": ": "}\n\n:\n\nevent: end\ndata: {"values": 1}\n\n'

    async def pieces(size: int) -> Any:
        for start in range(0, len(said), size):
            yield said[start : start + size]

    for size in range(1, len(said)):
        told = [event async for event in events(pieces(size))]
        assert told == [("message", b'{"a": ": "}'), ("end", b'{"values": 1}')]


@pytest.mark.parametrize("remote", [False, True], ids=["here", "at a server"])
def test_predict_prints_each_value_as_it_comes(here: tuple[Cli, str, Running], tmp_path: Path, remote: bool) -> None:
    cli, module, server = here
    named = ["film", "--url", server.url] if remote else [module]
    gate = tmp_path / "gate"
    with cli.running("predict", *named, "--stream", "--gate", str(gate)) as command:
        command.wait_line('"index": 0')
        assert len(command.out) == 1
        gate.touch()
        assert command.wait() == 0
        assert [json.loads(line)["index"] for line in command.out] == [0, 1, 2]
    listed = cli("predict", *named)
    assert [json.loads(line) for line in command.out] == listed.json()


@pytest.mark.parametrize("remote", [False, True], ids=["here", "at a server"])
def test_predict_says_what_goes_wrong_after_the_values(
    here: tuple[Cli, str, Running], tmp_path: Path, remote: bool
) -> None:
    cli, module, server = here
    named = ["film", "--url", server.url] if remote else [module]
    done = cli("predict", *named, "--stream", "--mode", "raise")
    assert done.status == 1 and len(done.out.splitlines()) == 3
    assert "ValueError: the film is torn" in done.err


async def test_ctrl_c_closes_the_generator(here: tuple[Cli, str, Running], tmp_path: Path) -> None:
    cli, _, server = here
    trace = tmp_path / "trace"
    arguments = ("--stream", "--mode", "endless", "--trace", str(trace))
    with cli.running("predict", "film", "--url", server.url, *arguments) as command:
        await wait_until(lambda: len(command.out) > 10)
        command.process.send_signal(signal.SIGINT)
        assert command.wait() == 130
    await wait_until(lambda: trace.read_text().endswith("closed\n"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["here", "there"])
def test_a_signal_ends_the_command_also_if_nobody_reads_what_it_prints(
    here: tuple[Cli, str, Running], where: str, number: signal.Signals
) -> None:
    """A pager reads its first page and waits for a key."""
    cli, module, server = here
    called = [module] if where == "here" else ["film", "--url", server.url]
    command = [MODELPORT, "predict", *called, "--stream", "--mode", "endless"]
    streams: dict[str, Any] = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    with Forked(command, cwd=cli.folder, env=cli.environ, stdin=subprocess.DEVNULL, **streams) as process:
        try:
            wait_until_now(lambda: waiting_bytes(process.stdout) > PIPE_BYTES - select.PIPE_BUF)
            below = descendants(process.pid)
            process.send_signal(number)
            assert process.wait(PATIENCE_S) == 128 + number
        finally:
            process.kill()
    wait_until_now(lambda: not any(map(alive, below)))


def waiting_bytes(pipe: IO[bytes] | None) -> int:
    """What has been written and not read."""
    assert pipe is not None
    count = bytearray(4)
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return int.from_bytes(count, sys.byteorder)


def test_stream_does_not_go_with_async(here: tuple[Cli, str, Running]) -> None:
    done = here[0]("predict", "film", "--stream", "--async", "--url", here[2].url)
    assert done.status == 2 and "--stream does not go with --async" in done.err


@pytest.mark.parametrize("mode", ["count", "raise"])
def test_the_values_of_a_job_are_printed_as_they_come(
    here: tuple[Cli, str, Running], tmp_path: Path, mode: str
) -> None:
    cli, _, server = here
    gate = tmp_path / "gate"
    job = cli("predict", "film", "--async", "--url", server.url, "--gate", str(gate), "--mode", mode).text.strip()
    with cli.running("job", job, "--stream", "--url", server.url) as command:
        command.wait_line('"index": 0')
        gate.touch()
        assert command.wait() == (1 if mode == "raise" else 0)
        assert [json.loads(line)["index"] for line in command.out] == [0, 1, 2]
    assert ("the film is torn" in "".join(command.err)) == (mode == "raise")
    again = cli("job", job, "--stream", "--url", server.url)
    assert again.text.splitlines(keepends=True) == command.out
