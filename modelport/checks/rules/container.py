"""Rules about the Dockerfile."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

from modelport.checks import rule as rules
from modelport.checks.metadata import Wrong
from modelport.checks.module import Module
from modelport.checks.rule import ERROR, HINT, WARNING, Problem

FILE = "Dockerfile"
SECRET_NAME = re.compile(r"\b\w*(?:TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|ACCESS_KEY)\w*", re.I)

rule = functools.partial(rules.rule, file=lambda module: module.path(FILE))


class Instruction(NamedTuple):
    line: int
    word: str
    rest: str


def _instructions(module: Module, *words: str) -> Iterator[Instruction]:
    """Lines that end in a backslash are joined; comments are left out."""
    first, joined = 0, ""
    for number, line in enumerate(module.text(FILE).splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        first = first or number
        joined += line.rstrip()
        if joined.endswith("\\"):
            joined = joined[:-1] + " "
            continue
        word, _, rest = joined.strip().partition(" ")
        if word.upper() in words:
            yield Instruction(first, word.upper(), rest.strip())
        first, joined = 0, ""


def _bases(module: Module) -> Iterator[tuple[int, str]]:
    """The images that are built upon, as ARG gives them by default."""
    values: dict[str, str] = {}
    stages: set[str] = set()
    for line, instruction, rest in _instructions(module, "ARG", "FROM"):
        if instruction == "ARG":
            name, _, value = rest.partition("=")
            values[name] = value.strip("\"'")
            continue
        words = [word for word in rest.split() if not word.startswith("--")]
        image = re.sub(r"\$\{?(\w+)[^}\s]*\}?", lambda match: values.get(match[1], ""), words[0] if words else "")
        if image not in stages:
            yield line, image
        stages.update(words[2:3])


@rule("docker-missing", HINT, "The module has a Dockerfile.")
def missing(module: Module) -> Iterator[Problem]:
    if module.folder is not None and module.path(FILE) is None:
        yield Problem("there is no Dockerfile; the hub and other platforms build an image from it", module.folder)


@rule("docker-tag", WARNING, "The base image is named with its version.")
def tag(module: Module) -> Iterator[Wrong]:
    for line, image in _bases(module):
        name = image.rpartition("/")[2]
        own = name.partition(":")[0] == "modelport"  # built here, as its newest version
        if image and image != "scratch" and not own and "@" not in name and name.partition(":")[2] in ("", "latest"):
            yield f"the base image {image} has no version; what it is changes from day to day", line


@rule("docker-clone", WARNING, "The image has the files that are here.")
def clone(module: Module) -> Iterator[Wrong]:
    for line, _, rest in _instructions(module, "RUN"):
        if re.search(r"\bgit\s+clone\b", rest) and module.name in re.split(r"[/\s.]", rest.replace("-", "_")):
            yield "the image gets the module from Git, so it is not what is tested here; COPY it", line


@rule("docker-download", WARNING, "ADD takes nothing from the network.")
def download(module: Module) -> Iterator[Wrong]:
    for line, _, rest in _instructions(module, "ADD"):
        if re.search(r"https?://", rest) and "--checksum" not in rest:
            yield "ADD takes a file from the network without --checksum; it may be another one tomorrow", line


@rule("docker-listen", ERROR, "The server in the image can be reached from outside.")
def listen(module: Module) -> Iterator[Wrong]:
    for line, _, rest in _instructions(module, "CMD", "ENTRYPOINT", "ENV"):
        if re.search(r"listen[-_]ip\W+(127\.0\.0\.1|localhost)", rest, re.I):
            yield "the server listens on 127.0.0.1, so nothing outside the container reaches it; use 0.0.0.0", line


@rule("docker-port", HINT, "The image says that its service is at port 5000.")
def port(module: Module) -> Iterator[str]:
    own = any("modelport" in image for _, image in _bases(module))  # whose base says so
    exposed = any("5000" in instruction.rest for instruction in _instructions(module, "EXPOSE"))
    if module.text(FILE) and not own and not exposed:
        yield "there is no EXPOSE 5000, the port at which the hub expects the service"


@rule("docker-open", ERROR, "The hub's pipeline calls the service without a token.")
def open_door(module: Module) -> Iterator[Wrong]:
    text = "\n".join(instruction.rest for instruction in _instructions(module, "ENV", "CMD", "ENTRYPOINT"))
    opened = re.search(r"MODELPORT_OPEN|--open\b|BEARER_TOKEN", text)
    if module.for_hub and re.search(r"\bmodelport\b", text) and not opened:
        line = max((instruction.line for instruction in _instructions(module, "CMD", "ENTRYPOINT")), default=0)
        yield "modelport refuses to listen beyond loopback without a token; set ENV MODELPORT_OPEN=yes", line


@rule("docker-secret", ERROR, "No secret is written into the image.")
def secret(module: Module) -> Iterator[Wrong]:
    for line, _, rest in _instructions(module, "ENV", "ARG"):
        for match in SECRET_NAME.finditer(rest):
            value = rest[match.end() :].lstrip("= ").strip("\"'")
            if value and not value.startswith("$"):
                yield f"{match[0]} has a value that everybody with the image can read; give it at run time", line
