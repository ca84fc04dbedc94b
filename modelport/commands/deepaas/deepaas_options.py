"""The options that deepaas-run and deepaas-cli take: from the command line, the environment and oslo.config's files.

A value comes from, later over earlier: its default · files, in order · the environment (`OS_DEFAULT__LISTEN_PORT`) ·
the command line. What cannot be understood ends the program with a message on stderr: status 2 for the command line,
1 for files and the environment. Nothing of oslo is needed for it.
"""

from __future__ import annotations

import argparse
import configparser
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from modelport.settings import text_of

# The release of DEEPaaS whose commands these are. Platform scripts want 2.5.0 or later from --version.
DEEPAAS_VERSION = "2.6.0"
PROJECT = "deepaas"
SECTION = "DEFAULT"
NO_DEFAULT_SECTION = "\0"  # configparser shall treat [DEFAULT] as any other section
LARGEST_PORT = 65535

TEXT, NUMBER, SWITCH = "text", "number", "switch"
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True)
class Option:
    """One option. name: without the leading dashes. also: other ways to write it on the command line."""

    name: str
    kind: str
    default: Any
    help: str
    metavar: str | None = None
    also: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None

    @property
    def key(self) -> str:
        """In a file."""
        return self.name.replace("-", "_")

    @property
    def environment(self) -> str:
        return f"OS_{SECTION}__{self.key.upper()}"

    def flags(self) -> list[str]:
        return [f"--{self.name}", *self.also]

    def value(self, text: str | bool) -> Any:
        """Raises ValueError, which says what is wrong."""
        if isinstance(text, bool) or self.kind == TEXT:
            return text
        if self.kind == SWITCH:
            if text.strip().lower() not in _WORDS:
                raise ValueError(f"{text!r} is neither true nor false")
            return _WORDS[text.strip().lower()]
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a whole number") from None
        if self.minimum is not None and number < self.minimum:
            raise ValueError(f"{number} is too small; it must be at least {self.minimum}")
        if self.maximum is not None and number > self.maximum:
            raise ValueError(f"{number} is too large; it may be at most {self.maximum}")
        return number


COMMON = (
    Option("model-name", TEXT, "", "the model to use, by the name of its entry point; else $DEEPAAS_V2_MODEL says"),
    # With 0 the original starts and never answers (D-23).
    Option("workers", NUMBER, 1, "processes that hold the model", also=("-p",), minimum=1),
    Option("warm", SWITCH, True, "call the model's warm() first"),
    Option("predict-endpoint", SWITCH, True, "serve predictions"),
    Option("train-endpoint", SWITCH, True, "serve trainings"),
    Option("doc-endpoint", SWITCH, True, "serve the documentation page /api"),
    Option("debug-endpoint", SWITCH, False, "show what the model prints at /v2/debug/"),
    Option("client-max-size", NUMBER, 0, "largest request body in bytes; 0: no limit", minimum=0),
    Option("debug", SWITCH, False, "log more, and put tracebacks into answers", also=("-d",)),
    Option("log-config-append", TEXT, "", "a logging configuration file", "PATH", ("--log-config", "--log_config")),
    Option("log-date-format", TEXT, "", "format of a log line's date and time", "DATE_FORMAT"),
    Option("log-dir", TEXT, "", "folder of relative log files", also=("--logdir",)),
    Option("log-file", TEXT, "", "file for the log lines, instead of stdout", "PATH", ("--logfile",)),
    Option("watch-log-file", SWITCH, False, "open the log file again when it has been moved"),
    Option("use-syslog", SWITCH, False, "send log lines to syslog, too"),
    Option("syslog-log-facility", TEXT, "LOG_USER", "syslog facility"),
    Option("use-journal", SWITCH, False, "taken, and ignored: what is printed reaches the journal anyway"),
    Option("use-json", SWITCH, False, "log lines are JSON objects"),
)
RUN = (
    Option("listen-ip", TEXT, "127.0.0.1", "address to listen on; beyond loopback a token is needed"),
    Option("listen-port", NUMBER, 5000, "port to listen on; 0 takes a free one", minimum=0, maximum=LARGEST_PORT),
    Option("base-path", TEXT, "", "path in front of every route, such as /models"),
    *COMMON,
)
CLI = (
    Option("deepaas_method_output", TEXT, "", "file for what the method returns", "FILE"),
    Option("deepaas_with_multiprocessing", SWITCH, True, "taken, and ignored: the model has a process of its own"),
    *COMMON,
)


@dataclass(frozen=True)
class Options:
    """What was given. values: of every option, by key; given: the keys whose value is not the default."""

    values: Mapping[str, Any]
    given: frozenset[str]
    rest: Sequence[str] = ()  # the method and its arguments

    def __getitem__(self, key: str) -> Any:
        return self.values[key]


def read(
    prog: str,
    table: Sequence[Option],
    argv: Sequence[str],
    environ: Mapping[str, str],
    *,
    methods: Sequence[str] = (),
) -> Options:
    """The options of the program `prog`.

    methods: words of which one may follow the options; the arguments behind it are not looked at. Ends the program on
    a mistake, and after --help and --version.
    """
    own, rest = _split(table, argv) if methods else (list(argv), [])
    parser = _parser(prog, table, methods)
    flags = vars(parser.parse_args(own))
    if rest and rest[0] not in methods:
        parser.error(f"argument methods: invalid choice: {rest[0]!r} (choose from {', '.join(map(repr, methods))})")
    values = {each.key: each.default for each in table}
    values["model_name"] = environ.get("DEEPAAS_V2_MODEL", "")
    given = dict(_from_files(prog, table, flags.pop("sources") or [], environ))
    for option in table:
        text = environ.get(option.environment)
        if text is not None and (text or option.kind == TEXT):
            given[option.key] = _value(prog, option, text, option.environment)
    for option in table:
        if flags[option.key] is not None:
            try:
                given[option.key] = option.value(flags[option.key])
            except ValueError as error:
                parser.error(f"argument --{option.name}: {error}")
    return Options({**values, **given}, frozenset(given), rest)


def end(prog: str, message: str, status: int = 1) -> NoReturn:
    sys.stderr.write(f"{prog}: error: {message}\n")
    raise SystemExit(status)


# The command line


def _parser(prog: str, table: Sequence[Option], methods: Sequence[str]) -> argparse.ArgumentParser:
    epilog = ""
    if methods:
        epilog = f"methods: {', '.join(methods)}; METHOD --help shows a method's arguments"
    usage = f"{prog} [options]{' METHOD [--argument VALUE ...]' if methods else ''}"
    parser = argparse.ArgumentParser(prog, usage, epilog=epilog)
    parser.add_argument("--version", action="version", version=DEEPAAS_VERSION)
    for name, kind, help in (
        ("--config-file", "file", "a configuration file; later ones override earlier ones"),
        ("--config-dir", "folder", "a folder of *.conf files"),
    ):
        parser.add_argument(name, action="append", dest="sources", type=_Source(kind), metavar=kind.upper(), help=help)
    for option in sorted(table, key=lambda each: each.name):
        if option.kind == SWITCH:
            parser.add_argument(*option.flags(), dest=option.key, action="store_const", const=True, help=_help(option))
            parser.add_argument(
                f"--no{option.name}", dest=option.key, action="store_const", const=False, help=argparse.SUPPRESS
            )
        else:
            parser.add_argument(*option.flags(), dest=option.key, metavar=option.metavar, help=_help(option))
    return parser


@dataclass(frozen=True)
class _Source:
    """Remembers files and folders in the order of the command line."""

    kind: str

    def __call__(self, path: str) -> tuple[str, Path]:
        return self.kind, Path(path).expanduser()


def _help(option: Option) -> str:
    if option.kind == SWITCH:
        return f"{option.help} (default: {'yes' if option.default else 'no'}; --no{option.name}: the inverse)"
    return f"{option.help} (default: {option.default})" if option.default not in ("", None) else option.help


def _split(table: Sequence[Option], argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options, and the method with all that follows, which may look like options of ours and is not."""
    valued = [flag for each in table if each.kind != SWITCH for flag in each.flags()]
    valued += ["--config-file", "--config-dir"]
    plain = [flag for each in table if each.kind == SWITCH for flag in [*each.flags(), f"--no{each.name}"]]
    place = 0
    while place < len(argv) and argv[place].startswith("-"):
        place += 2 if _takes_next(argv[place], valued, plain) else 1
    return list(argv[:place]), list(argv[place:])


def _takes_next(word: str, valued: Sequence[str], plain: Sequence[str]) -> bool:
    if word in valued:
        return True
    prefix_of_valued = word.startswith("--") and any(each.startswith(word) for each in valued)
    return prefix_of_valued and not any(each.startswith(word) for each in plain)


# Files


def _from_files(
    prog: str, table: Sequence[Option], sources: Sequence[tuple[str, Path]], environ: Mapping[str, str]
) -> Iterator[tuple[str, Any]]:
    """(key, value), later ones override earlier ones."""
    options = {each.key: each for each in table}
    for path in _paths(prog, sources, environ):
        for key, text in _entries(prog, path):
            option = options.get(key)
            if option is not None and (text or option.kind == TEXT):
                yield key, _value(prog, option, text, f"{path}: {key}")


def _value(prog: str, option: Option, text: str, source: str) -> Any:
    try:
        return option.value(text)
    except ValueError as error:
        end(prog, f"{source}: {error}")


def _paths(prog: str, sources: Sequence[tuple[str, Path]], environ: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environ.get("HOME") or Path.home())
    places = (home / f".{PROJECT}", home, Path("/etc") / PROJECT, Path("/etc"))
    kinds = {kind for kind, _ in sources}
    for kind, ending in (("file", ".conf"), ("folder", ".conf.d")):
        if kind not in kinds:
            for name in (PROJECT, prog):
                found = next((place / (name + ending) for place in places if (place / (name + ending)).exists()), None)
                if found is not None:
                    yield from _in_folder(found) if kind == "folder" else [found]
    for kind, path in sources:
        if not path.exists():
            end(prog, f"the configuration {kind} {path} does not exist")
        yield from _in_folder(path) if kind == "folder" else [path]


def _in_folder(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.conf"))


def _entries(prog: str, path: Path) -> Iterator[tuple[str, str]]:
    """Key and text of what stands under [DEFAULT]."""
    parser = configparser.ConfigParser(
        interpolation=None, strict=False, default_section=NO_DEFAULT_SECTION, allow_no_value=True
    )
    try:
        parser.read_string(text_of(path.read_bytes()))
    except (OSError, ValueError, configparser.Error) as error:
        end(prog, f"the configuration file {path} cannot be read: {' '.join(str(error).split())}")
    for section in parser.sections():
        if section.upper() == SECTION:
            for key, text in parser.items(section):
                yield key.replace("-", "_"), _unquoted(text or "")


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text
