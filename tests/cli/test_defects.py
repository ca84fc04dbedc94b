"""Whatever is typed, and whatever becomes of the streams: no command ends in "a defect of modelport"."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import pytest

from modelport import cli as commands
from tests.cli.conftest import MODELPORT, Both, Cli, Done
from tests.forked import completed
from tests.house import PATIENCE_S

pytestmark = pytest.mark.slow

NOT_UTF8 = os.fsdecode(b"caf\xe9")
NASTY = (
    NOT_UTF8,
    "9" * 400,
    "http://[",
    "",
    "-",
    "a\x01b\n",
    "x" * 300,
    "/dev/full",
    f"a={NOT_UTF8}",
    "http://h:99999/",
)
# What a command needs to come to its options. A server would stay: it is given a module that is not there.
NEEDED = {
    "predict": ["everything"],
    "train": ["everything"],
    "describe": ["everything"],
    "batch": ["everything"],
    "deploy": ["nosuch"],
    "serve": ["nosuch"],
    **{name: ["nosuch"] for name in ("info", "token", "logs", "undeploy")},
    "job": ["0" * 32],
}
ALONE = ("deepaas-run", "deepaas-cli", "shims")


def lines(url: str, *, every: bool) -> Iterator[list[str]]:
    """Each option of each command with a value, and a value as an argument. every: with each value, not with one of
    them in turn."""
    turn = itertools.cycle(NASTY)

    def values() -> Sequence[str]:
        return NASTY if every else [next(turn)]

    context = click.Context(commands.group)
    for name in commands.group.list_commands(context):
        if name in ALONE:
            continue
        command = commands.group.get_command(context, name)
        assert command is not None
        at = ["--url", url] if any("--url" in param.opts for param in command.params) else []
        yes = ["--yes"] if name == "undeploy" else []
        for parameter in command.params:
            option = next((opt for opt in parameter.opts if opt.startswith("--")), "")
            if isinstance(parameter, click.Option) and not parameter.is_flag and option != "--url":
                yield from ([name, *NEEDED.get(name, []), *at, *yes, f"{option}={value}"] for value in values())
        yield from ([name, *at, *yes, value] for value in values())
        yield from ([name, *NEEDED.get(name, []), *at, *yes, "--word", value] for value in values())
        if at:
            yield from ([name, *NEEDED.get(name, []), *yes, "--url", value] for value in values())


def fault_of(done: Done) -> str:
    """What no command should say; empty: it is fine."""
    wrong = any(text in done.err for text in ("a defect of modelport", "Traceback", "Exception ignored"))
    return f"{done.status}: {done.err[-300:]}" if wrong or done.status not in (0, 1, 2, 3, 4) else ""


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.thorough)], ids=["in turn", "every"])
def test_no_word_on_any_command_line_is_a_defect(both: Both, every: bool) -> None:
    (both.cli.folder / NOT_UTF8).write_bytes(b"1")
    words = list(lines(both.server.url, every=every))
    assert len(words) > 100 * (len(NASTY) if every else 1)
    with ThreadPoolExecutor(4) as threads:
        found = zip(words, threads.map(lambda line: both.cli(*line), words), strict=True)
        wrong = [(line, fault) for line, done in found if (fault := fault_of(done))]
    assert wrong == []


def test_a_file_whose_name_is_not_utf8_is_sent_and_bytes_that_are_no_text_are_refused(both: Both) -> None:
    (both.cli.folder / NOT_UTF8).write_bytes(b"12345")
    for done in both.ask("predict", "--image", NOT_UTF8):
        assert done.status == 0, done.err
        assert done.json()["image"][0] == "caf\N{REPLACEMENT CHARACTER}"
        assert done.json()["image"][2] == 5
    for done in (*both.ask("predict", "--word", NOT_UTF8), both.cli("payload", "--text", f"word={NOT_UTF8}")):
        assert (done.status, done.out) == (2, b"")
        assert "caf\\xe9', which is not valid UTF-8" in done.err


# Streams


def shell(cli: Cli, line: str) -> Done:
    """A line for sh, `$M` is the command."""
    done = completed(
        ["sh", "-c", line],
        cwd=cli.folder,
        env={**cli.environ, "M": MODELPORT},
        stdin=subprocess.DEVNULL,
        timeout_s=PATIENCE_S,
    )
    return Done(done.returncode, done.stdout, done.stderr.decode())


PRINTING = (
    *("predict everything --async", "describe everything", "services --all", "info everything --json"),
    *("dashboard", "modules"),
)
STREAMS = ((">&-", "Bad file descriptor: stdout"), ("> /dev/full", "No space left on device"))


@pytest.mark.parametrize("words", PRINTING)
def test_a_closed_or_full_stdout_is_told(both: Both, words: str) -> None:
    where = f"--url {both.server.url}" if words.startswith("describe") else ""
    for stream, text in STREAMS:
        done = shell(both.cli, f"$M {words} {where} {stream}")
        assert not fault_of(done)
        assert done.status == 1
        if "--json" in words:
            assert json.loads(done.err)["message"].startswith(text)
        else:
            assert done.err.startswith(f"error: {text}")
    done = shell(both.cli, f"$M {words} {where} | true")
    assert (done.status, "error" in done.err) == (0, False), done.err


def test_all_streams_may_be_closed(both: Both, tmp_path: Path) -> None:
    done = shell(both.cli, f"$M predict {both.module} -o {tmp_path}/x <&- >&- 2>&-")
    assert (done.status, (tmp_path / "x").read_bytes()[:1]) == (0, b"{")
    assert shell(both.cli, "$M batch everything - <&-").status == 2
