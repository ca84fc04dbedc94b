"""What a tool is called with, as values and files of a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Raw

from modelport.extending import (
    Argument,
    Card,
    FrontendContext,
    InputFile,
    InvalidArguments,
    InvalidJson,
    Scratch,
    decode_data_uri,
    is_data_uri,
)
from modelport.frontends.mcp.tools import answer_type, arguments

SHOWN_CHARS = 100


@dataclass
class Inputs:
    """values, files: for the call."""

    values: dict[str, Any] = field(default_factory=dict)
    files: list[InputFile] = field(default_factory=list)


def fault(name: str, text: str) -> InvalidArguments:
    return InvalidArguments(f"{name}: {text}", fields={name: [text]})


def by_name(card: Card) -> dict[str, Argument]:
    return {argument.wire_name: argument for argument in arguments(card)}


async def read(context: FrontendContext, card: Card, sent: Mapping[str, Raw], scratch: Scratch) -> Inputs:
    """Raises InvalidArguments, InvalidJson, StorageFull."""
    known, inputs = card.derive(by_name), Inputs()
    for name, raw in sent.items():
        argument = known.get(name)
        if argument is None:
            listed = ", ".join(known) or "none"
            raise fault(name[:SHOWN_CHARS], f"there is no such argument; the arguments are {listed}")
        text = bytes(raw)
        if text == b"null" and not argument.nullable:
            continue  # how many language models leave out what is optional
        if argument.is_file:
            await _files(context, argument, text, inputs, scratch)
        elif len(text) > context.settings.json_small_bytes:
            inputs.files.append(await context.json_file(argument, text, scratch))
        else:
            inputs.values[argument.name] = decoded(name, text)
    if card.accept is not None and "accept" not in inputs.values and (wanted := answer_type(card)) is not None:
        inputs.values["accept"] = wanted
    return inputs


def decoded(name: str, text: bytes, type: Any = Any) -> Any:
    try:
        return msgspec.json.decode(text, type=type)
    except msgspec.ValidationError as error:
        raise fault(name, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"{name} is not valid JSON: {error}") from error


async def _files(context: FrontendContext, argument: Argument, text: bytes, inputs: Inputs, scratch: Scratch) -> None:
    name = argument.wire_name
    places: str | list[str] | None = decoded(name, text, str | list[str] | None)
    if places is None:
        return
    if isinstance(places, list) and argument.type == "file":
        raise fault(name, "one file is taken, not a list")
    places = [places] if isinstance(places, str) else places
    if len(places) > (most := context.settings.form_limit_parts):
        raise fault(name, f"{len(places)} files are too many; at most {most} are taken (form_limit_parts)")
    for place in places:
        inputs.files.append(await _file(context, argument, place, scratch))


async def _file(context: FrontendContext, argument: Argument, place: str, scratch: Scratch) -> InputFile:
    if not is_data_uri(place):
        raise fault(argument.wire_name, f"{place[:SHOWN_CHARS]!r} is not a data: URI with base64")
    try:
        content, media_type = decode_data_uri(place)
    except ValueError as error:
        raise fault(argument.wire_name, f"the data: URI cannot be read: {error}") from error
    return await context.input_file(argument, content, scratch, media_type=media_type)
