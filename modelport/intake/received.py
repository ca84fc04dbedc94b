"""What a call is given, by the names that the client used → raw arguments by the model's own names, and files."""

from __future__ import annotations

import asyncio
import mimetypes
import os
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from modelport.contract.card import Argument, Card
from modelport.contract.prediction import InputFile
from modelport.errors import InvalidArguments, StorageFull, UnsupportedMedia
from modelport.intake import datauri
from modelport.intake.jsonbody import OSCAR_FILES, OscarFile, read_oscar_body
from modelport.intake.jsonrest import Large
from modelport.intake.scratch import Scratch, new_path
from modelport.intake.texts import file_name
from modelport.settings import Settings

HELP = "help"


@dataclass(frozen=True)
class Upload:
    """A file that came with a call. key: the argument, as the client wrote it."""

    key: str
    path: str
    content_type: str | None
    filename: str | None


@dataclass
class ReceivedArguments:
    """What a body holds. values: raw, by the names that the client used; some may be `Large`."""

    values: dict[str, Any] = field(default_factory=dict)
    files: list[Upload] = field(default_factory=list)
    larges: list[Large] = field(default_factory=list)


def asks_for_help(arguments: ReceivedArguments, card: Card) -> bool:
    """`{"help": …}`, whatever its value, unless the model has an argument of that name."""
    return HELP in arguments.values and not any(arg.name == HELP for arg in card.predict_args)


async def read_json(
    chunks: AsyncIterator[bytes], settings: Settings, card: Card, scratch: Scratch
) -> ReceivedArguments:
    """A JSON object, or base64 of one, whose files are in `oscar-files` or are data URIs.

    Raises InvalidJson, InvalidRequest (no object), InvalidArguments, TooLarge, StorageFull.
    """
    file_names = {name for arg in card.predict_args if arg.is_file for name in (arg.name, arg.wire_name)}
    oscar = await read_oscar_body(chunks, scratch, settings, data_uri_names=file_names)
    uploads = await asyncio.to_thread(lambda: [_upload(file) for file in oscar.files]) if oscar.files else []
    return ReceivedArguments(oscar.arguments, uploads, oscar.larges)


def file_arguments(card: Card) -> list[Argument]:
    return [arg for arg in card.predict_args if arg.is_file]


def sole_file_argument(card: Card, what: str) -> Argument:
    """The one that a file without a name is for: the model's only file argument, or its first required one.

    what: came, such as "a body of type image/png". Raises UnsupportedMedia.
    """
    arguments = file_arguments(card)
    if not arguments:
        raise UnsupportedMedia(f"{what} is a file, and this model takes none; send a JSON object")
    required = [argument for argument in arguments if argument.required]
    if len(arguments) > 1 and not required:
        names = ", ".join(argument.name for argument in arguments)
        raise UnsupportedMedia(f"{what} is a file, but of which argument: {names}? Send a JSON object")
    return (required or arguments)[0]


# Files


def with_suffix(path: str, suffix: str) -> str:
    """Models look at the ending of the path, as the platform's had one."""
    if not suffix or path.endswith(suffix):
        return path
    os.rename(path, path + suffix)
    return path + suffix


def _upload(file: OscarFile) -> Upload:
    suffix = f".{file.file_format}" if file.file_format else mimetypes.guess_extension(file.content_type) or ""
    content_type = file.content_type or mimetypes.guess_type(f"x{suffix}")[0]
    return Upload(file.key, with_suffix(file.path, suffix), content_type, f"{file_name(file.key)}{suffix}")


# Arguments


async def settle(card: Card, arguments: ReceivedArguments, scratch: Scratch) -> tuple[dict[str, Any], list[InputFile]]:
    """What was given, by the model's own names. Raises InvalidArguments that names every key at fault."""
    known = card.derive(_by_names)
    values: dict[str, Any] = {}
    faults: dict[str, list[str]] = {}
    files: list[InputFile] = []
    uploads = list(arguments.files)
    for key, value in arguments.values.items():
        argument = known.get(key)
        if argument is None:
            faults[key] = [_unknown(card)]
        elif value is None or (type(value) is Large and value.is_null):
            continue  # as if it had not been given
        elif argument.is_file:
            uploads += await _data_uris(key, value, scratch, faults)
        elif type(value) is Large:
            files.append(large_input(argument, value, numbers_are_text=True))
        elif argument.type == "string" and isinstance(value, (int, float)):
            values[argument.name] = str(value)  # to the platform's command line numbers are text
        else:
            values[argument.name] = [value] if argument.multiple and not isinstance(value, list) else value
    if arguments.larges:
        used = {file.path for file in files}
        files += [large_input(None, value) for value in arguments.larges if value.path not in used]
    return values, files + _files(card, known, uploads, faults) if uploads or faults else files


def _by_names(card: Card) -> dict[str, Argument]:
    return {name: argument for argument in card.predict_args for name in (argument.wire_name, argument.name)}


def large_input(argument: Argument | None, large: Large, *, numbers_are_text: bool = False) -> InputFile:
    """A large value for the model's process. argument: None for one that need only be valid."""
    if argument is None:
        return InputFile("", large.path, "", "application/json", "value.json", "json")
    reading = "json"
    if numbers_are_text and argument.type == "string" and large.is_number:
        reading = "text"
    elif argument.multiple and not (large.is_list or large.is_null):
        reading = "list"
    name = argument.wire_name
    return InputFile(argument.name, large.path, name, "application/json", f"{file_name(name)}.json", reading)


def _files(
    card: Card, known: dict[str, Argument], uploads: Iterable[Upload], faults: dict[str, list[str]]
) -> list[InputFile]:
    input_files: list[InputFile] = []
    counts: dict[str, int] = {}
    for upload in uploads:
        argument = known.get(upload.key)
        if argument is None:
            faults[upload.key] = [_unknown(card)]
        elif not argument.is_file:
            names = ", ".join(one.name for one in file_arguments(card)) or "none"
            faults[upload.key] = [f"Not a file argument; the model's file arguments: {names}."]
        else:
            counts[argument.name] = counts.get(argument.name, 0) + 1
            if counts[argument.name] > 1 and argument.type != "array":
                faults[upload.key] = [f"Takes one file; {counts[argument.name]} were given."]
            input_files.append(
                InputFile(argument.name, upload.path, argument.wire_name, upload.content_type, upload.filename)
            )
    if faults:
        sentence = "; ".join(f"{key[:100]}: {' '.join(messages)}" for key, messages in faults.items())
        raise InvalidArguments(sentence, fields=faults)
    return input_files


def _unknown(card: Card) -> str:
    names = ", ".join(arg.name for arg in card.predict_args)
    return f"Unknown argument; the model's arguments: {names}." if names else "Unknown argument; the model takes none."


async def _data_uris(key: str, value: Any, scratch: Scratch, faults: dict[str, list[str]]) -> list[Upload]:
    """The files of a file argument that was written among the values: data URIs, where the scanner left them."""
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) and datauri.is_one(text) for text in texts):
        faults[key] = [f"Is a file: send it in {OSCAR_FILES}, or as data:<media type>;base64,<data>."]
        return []
    try:
        return await asyncio.to_thread(lambda: [_data_uri(key, text, scratch) for text in texts])
    except ValueError:
        faults[key] = ["The data URI is not base64."]
        return []


def _data_uri(key: str, text: str, scratch: Scratch) -> Upload:
    """Raises ValueError."""
    data, content_type = datauri.decode(text)
    suffix = mimetypes.guess_extension(content_type) or ""
    path = new_path(scratch, suffix)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise StorageFull(f"there is no room for the upload: {error.strerror}") from error
    return Upload(key, str(path), content_type, f"{file_name(key)}{suffix}")
