"""An answer written out: to stdout or to a file."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import BinaryIO

import click
import msgspec

from modelport.client.calls import Answer
from modelport.commands.shell.files import replaced
from modelport.commands.shell.output import print_log
from modelport.contract.visible import visible_json
from modelport.errors import NotAcceptable


def check_terminal(media_type: str | None, output: str | None) -> None:
    """Raises NotAcceptable where bytes that are no text would go to a terminal."""
    if media_type and output is None and not _is_text(media_type) and sys.stdout.isatty():
        raise NotAcceptable(f"the answer is {media_type}, which a terminal cannot show: name a file with -o FILE")


def _is_text(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type.endswith(("json", "xml", "yaml", "javascript"))


async def write(answer: Answer, output: str | None, *, compact: bool) -> None:
    """JSON is indented on a terminal, unless `compact`; a file gets exactly the answer, JSON with a last newline."""
    check_terminal(answer.media_type, output)
    if output is not None:
        with replaced(output) as file:
            await pour(answer, file)
        return
    if answer.is_json and sys.stdout.isatty() and not compact:
        body = b"".join([chunk async for chunk in answer.chunks])
        click.echo(visible_json(msgspec.json.format(body, indent=2).decode()))
        return
    if sys.stdout.isatty() and _is_text(answer.media_type):
        await print_log(answer.chunks)
        click.echo("", nl=answer.is_json)
        return
    sys.stdout.flush()
    await pour(answer, sys.stdout.buffer)
    sys.stdout.buffer.flush()


async def write_values(values: AsyncIterator[bytes], output: str | None) -> None:
    """One JSON value a line, each at once."""
    with contextlib.nullcontext(sys.stdout.buffer) if output is None else replaced(output) as file:
        async for value in values:
            await asyncio.sleep(0)  # many may have come at once, and Ctrl-C is heard between two
            if output is None and sys.stdout.isatty():
                click.echo(visible_json(value.decode()))
                continue
            file.write(value + b"\n")
            file.flush()


async def pour(answer: Answer, file: BinaryIO) -> None:
    """JSON gets a last newline."""
    last = b"\n"
    async for chunk in answer.chunks:
        file.write(chunk)
        last = chunk[-1:] or last
    if answer.is_json and last != b"\n":
        file.write(b"\n")
