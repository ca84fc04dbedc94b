"""What is sent for one input of a batch: the file as the model's file argument, or the arguments in a JSON file."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import hashlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from modelport.client.calls import CallArguments, CallFile, form, shown_name
from modelport.commands.batching.batch_inputs import Input
from modelport.contract.card import Argument, Card
from modelport.errors import InvalidRequest
from modelport.settings import check_encoding

READ_BYTES = 1 << 20
# Where the model has nothing to choose from: JSON, or whatever it gives.
ANY_ANSWER = "application/json, */*;q=0.1"


def file_argument(card: Card, name: str | None) -> Argument | None:
    """What an input becomes: the one called `name`, else the only file argument, or the first required one; None: none.

    Raises click.UsageError.
    """
    files = [arg for arg in card.predict_args if arg.is_file]
    names = ", ".join(file.name for file in files)
    if name is not None:
        for file in files:
            if name in (file.name, file.wire_name):
                return file
        raise click.UsageError(f"--argument is {name!r}; the model's file arguments: {names or 'none'}")
    required = [file for file in files if file.required]
    if len(files) > 1 and not required:
        raise click.UsageError(f"several file arguments, none of them required; choose one with --argument: {names}")
    return next(iter(required or files), None)


@dataclass(frozen=True)
class Plan:
    """How every input of a batch is sent.

    argument: what a file becomes; None where the model takes none. raw: also a .json file is one, not arguments.
    arguments: the same for all. accept: the media type wanted of the answers.
    """

    deployment: str
    argument: Argument | None
    raw: bool
    arguments: CallArguments
    accept: str

    @classmethod
    def make(cls, card: Card, argument: str | None, arguments: CallArguments) -> Plan:
        """arguments: those of the command line. Raises click.UsageError."""
        accept = card.default_answer_type or ANY_ANSWER
        if card.accept is not None:
            accept = str(arguments.values.pop(card.accept.name, accept))
        target = file_argument(card, argument)
        for file in arguments.files:
            if file.argument is target:
                raise click.UsageError(f"--{file.argument.name} is what every FILE becomes; --argument names another")
        return cls(card.name, target, argument is not None, arguments, accept)

    @cached_property
    def digest(self) -> str:
        """Of what is the same for all inputs. Raises OSError."""
        files = [[file.argument.name, file.name, _hashed(str(file.content))] for file in self.arguments.files]
        argument = self.argument.name if self.argument is not None else ""
        said = [self.deployment, argument, self.raw, sorted(self.arguments.values.items()), self.accept, files]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def is_document(self, input: Input) -> bool:
        """Whether the file holds the arguments of a call, as a JSON object. Raises OSError, InvalidRequest."""
        if self.raw or not input.path.lower().endswith(".json"):
            return False
        with open(input.path, "rb") as file:
            head = file.read(READ_BYTES)
        try:
            check_encoding(head)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        return _opened(head) is not None

    # Blocking, as it reads the files; the event loop calls it in a thread.

    def stamp(self, input: Input) -> str:
        """Changes when the file, or the command line's arguments, do."""
        status = os.stat(input.path)
        return f"{status.st_size}-{status.st_mtime_ns}-{self.digest[:16]}"

    def key(self, batch: str, input: Input) -> str:
        """Of the request, for Idempotency-Key: the same for the same batch, arguments, name and content."""
        return _hashed(input.path, json.dumps([batch, self.digest, shown_name(input.path)]).encode())

    def open(self, input: Input, files: contextlib.ExitStack) -> dict[str, Any]:
        """The request's body and type, for aiohttp. files: owns what is opened.

        Raises InvalidRequest for what cannot be sent, OSError.
        """
        if self.is_document(input):
            if self.arguments.files:
                raise InvalidRequest("a file on the command line cannot be joined with a .json file's arguments")
            return {"data": self._document(input), "headers": {"Content-Type": "application/json"}}
        if self.argument is None:
            raise InvalidRequest("the model takes no file; give .json files with its arguments")
        listed = {name: value if isinstance(value, list) else [value] for name, value in self.arguments.values.items()}
        values = [(name, text) for name, texts in listed.items() for text in texts]
        return {"data": form(values, [CallFile.of(self.argument, Path(input.path)), *self.arguments.files], files)}

    async def _document(self, input: Input) -> AsyncIterator[bytes]:
        """The file, with the command line's arguments put in front: of two values for one name the last counts, so
        the file's own."""
        with await asyncio.to_thread(open, input.path, "rb") as file:
            rest = _opened(await asyncio.to_thread(file.read, READ_BYTES)) or b""
            head = json.dumps(self.arguments.values).encode()[:-1]
            comma = b", " if self.arguments.values and rest.lstrip()[:1] != b"}" else b""
            yield head + comma + rest
            while piece := await asyncio.to_thread(file.read, READ_BYTES):
                yield piece


def _opened(head: bytes) -> bytes | None:
    """What stands behind the brace that opens a JSON object; None: it is none."""
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    return text[1:] if text.startswith(b"{") else None


def _hashed(path: str, before: bytes = b"") -> str:
    hashed = hashlib.sha256(before)
    with open(path, "rb") as file:
        while piece := file.read(READ_BYTES):
            hashed.update(piece)
    return hashed.hexdigest()
