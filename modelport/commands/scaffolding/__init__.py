"""What a module is made of is asked for: by options, and on a terminal by questions."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import click

from modelport.checks.schema import WORDS
from modelport.environment import child_environment
from modelport.scaffold import KINDS, LICENCES, Answers, names

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
IMAGE = re.compile(r"[a-z0-9][\w./:-]*?(?P<tag>:[\w.-]+)?")


class Question(NamedTuple):
    """name: of the parameter. words: from which the schema of the metadata lets choose."""

    name: str
    flag: str
    text: str
    words: tuple[str, ...] = ()


QUESTIONS = (
    Question("title", "--title", "Title"),
    Question("summary", "--summary", "What it does, in one sentence"),
    Question("author", "--author", "Author"),
    Question("email", "--email", "E-mail of the author"),
    Question("licence", "--license", "Licence", LICENCES),
    Question("source_code", "--source-code", "Address of its repository"),
    Question("tasks", "--task", "Task", WORDS["tasks"]),
    Question("libraries", "--library", "Library", WORDS["libraries"]),
    Question("categories", "--category", "Category", WORDS["categories"]),
    Question("data_types", "--data-type", "Type of data", WORDS["data-type"]),
)
LISTS = ("tasks", "libraries", "categories", "data_types")


def options(command: click.Command) -> click.Command:
    """A decorator: the answers as options."""
    kinds = ", ".join(f"{name} ({kind.text})" for name, kind in KINDS.items())
    command.params.append(
        click.Option(["--from", "kind"], type=click.Choice(list(KINDS)), metavar="KIND", help=f"What it is: {kinds}.")
    )
    for question in QUESTIONS:
        several = question.name in LISTS
        choices = click.Choice(question.words, case_sensitive=False) if question.words else None
        command.params.append(
            click.Option(
                [question.flag, question.name],
                type=choices,
                metavar="TEXT" if choices is None else "NAME",
                multiple=several,
                help=f"{question.text}{'; may be repeated' if several else ''}"
                f"{': ' + ', '.join(question.words) if question.words else ''}.",
            )
        )
    command.params += [
        click.Option(
            ["--app-version", "version"], metavar="X.Y.Z", default="0.1.0", help="Its version.  [default: 0.1.0]"
        ),
        click.Option(
            ["--base-image"], metavar="IMAGE:TAG", default="python:3.12-slim", help="What its image is built on."
        ),
        click.Option(["--hub"], is_flag=True, help="Add what the AI4OS hub's pipeline wants."),
        click.Option(["--yes"], is_flag=True, help="Ask nothing; take the defaults for what is not given."),
    ]
    return command


def answers(name: str, *, yes: bool, hub: bool, base_image: str, version: str, **options: Any) -> Answers:
    """From the options, and from the terminal for those that were not given. Raises click.UsageError."""
    try:
        repository, package = names(name)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if package in sys.stdlib_module_names or package in ("tests", "modelport"):
        raise click.UsageError(f"{package} is the name of another Python module; choose another name")
    ask = not yes and sys.stdin.isatty()
    kind = options.pop("kind") or (_asked("What is it", "function", tuple(KINDS)) if ask else "function")
    for question in QUESTIONS:
        value = options[question.name]
        if not value:
            default = _default(question.name, repository, kind, hub, options["author"])
            value = _asked(question.text, default, question.words) if ask else default
        if question.name in LISTS:
            options[question.name] = (value,) if isinstance(value, str) else tuple(dict.fromkeys(value))
        else:
            options[question.name] = _checked(question, value)
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise click.UsageError(f"--app-version is {version!r}; give three numbers such as 0.1.0")
    image = IMAGE.fullmatch(base_image)
    if image is None or image["tag"] is None:
        raise click.UsageError(f"--base-image is {base_image!r}; give an image with its tag, such as python:3.12-slim")
    base, tag = base_image.removesuffix(image["tag"]), image["tag"][1:]
    return Answers(repository, package, kind, version=version, base_image=base, base_tag=tag, hub=hub, **options)


def _asked(text: str, default: str, words: tuple[str, ...]) -> str:
    choices = click.Choice(words, case_sensitive=False) if words else None
    value: str = click.prompt(text, default=default, type=choices)
    return value


def _checked(question: Question, value: str) -> str:
    value = value.strip()
    if question.name == "email":
        if value and not EMAIL.fullmatch(value):
            raise click.UsageError(f"--email is {value!r}; give an address such as ada@example.org")
        return value
    if not value or not value.isprintable():
        raise click.UsageError(f"{question.flag} is {value!r}; give one line of text")
    return value


def _default(name: str, repository: str, kind: str, hub: bool, author: str) -> str:
    """author: as it was given, or empty; of somebody else, Git does not know the address."""
    defaults: dict[str, Callable[[], str]] = {
        "title": lambda: repository.replace("-", " ").capitalize(),
        "summary": lambda: f"A module made from {KINDS[kind].text}",
        "author": lambda: _git("user.name") or _login(),
        "email": lambda: _git("user.email") if author in ("", _git("user.name")) else "",
        "licence": lambda: "MIT",
        "source_code": lambda: f"https://github.com/{'ai4os-hub' if hub else 'your-account'}/{repository}",
        "tasks": lambda: KINDS[kind].task,
        "libraries": lambda: KINDS[kind].library,
        "categories": lambda: "AI4 inference",
        "data_types": lambda: KINDS[kind].data_type,
    }
    return defaults[name]()


def _login() -> str:
    import getpass  # these wait until somebody is asked: --help loads this file

    return getpass.getuser()


@functools.cache
def _git(name: str) -> str:
    import subprocess

    try:
        done = subprocess.run(
            ["git", "config", name], env=child_environment(), capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
