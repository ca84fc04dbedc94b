"""The options that deepaas-run and deepaas-cli take: from the command line, the environment and oslo.config's files.

A value comes from, later over earlier: its default · files, in order · the environment (`OS_DEFAULT__LISTEN_PORT`) ·
the command line. What cannot be understood ends the program with a message on stderr: status 2 for the command line,
1 for files and the environment. Nothing of oslo is needed for it.
"""

from __future__ import annotations

import argparse
import configparser
import functools
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from modelport.settings import BadSetting, Setting, checked, core_table, text_of

# The release of DEEPaaS whose commands these are. Platform scripts want 2.5.0 or later from --version.
DEEPAAS_VERSION = "2.6.0"
PROJECT = "deepaas"
SECTION = "DEFAULT"
NO_DEFAULT_SECTION = "\0"  # configparser shall treat [DEFAULT] as any other section
LARGEST_PORT = 65535


@dataclass(frozen=True)
class Option(Setting):
    """unit: how its value is called in the help. also: other ways to write it on the command line."""

    also: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        return f"--{self.name}" if self.name.startswith(PROJECT) else super().flag

    @property
    def inverse(self) -> str:
        return f"--no{self.flag[2:]}"

    @property
    def environment(self) -> str:
        return f"OS_{SECTION}__{self.name.upper()}"

    def value(self, text: str | bool, source: str) -> Any:
        """Raises BadSetting. Text is as it was given: what the server makes of it is said when it starts."""
        return text if self.type is str else checked(self, text, source)


_ALSO = {"workers": ("-p",), "debug": ("-d",)}
# With 0 workers the original starts and never answers (D-23).
_OWN = ("workers", "warm", "predict_endpoint", "train_endpoint", "doc_endpoint", "debug_endpoint", "client_max_size")
_SETTINGS = {
    row.name: Option(**{**vars(row), "unit": row.unit.upper()}, also=_ALSO.get(row.name, ())) for row in core_table()
}

COMMON = (
    Option("model_name", "", "the model to use, by the name of its entry point; else $DEEPAAS_V2_MODEL says"),
    *(_SETTINGS[name] for name in (*_OWN, "debug")),
    Option("log_config_append", "", "a logging configuration file", "PATH", also=("--log-config", "--log_config")),
    Option("log_date_format", "", "format of a log line's date and time", "DATE_FORMAT"),
    Option("log_dir", "", "folder of relative log files", also=("--logdir",)),
    Option("log_file", "", "file for the log lines, instead of stdout", "PATH", also=("--logfile",)),
    Option("watch_log_file", False, "open the log file again when it has been moved"),
    Option("use_syslog", False, "send log lines to syslog, too"),
    Option("syslog_log_facility", "LOG_USER", "syslog facility"),
    Option("use_journal", False, "taken, and ignored: what is printed reaches the journal anyway"),
    Option("use_json", False, "log lines are JSON objects"),
)
RUN = (*(_SETTINGS[name] for name in ("listen_ip", "listen_port", "base_path")), *COMMON)
CLI = (
    Option("deepaas_method_output", "", "file for what the method returns", "FILE"),
    Option("deepaas_with_multiprocessing", True, "taken, and ignored: the model has a process of its own"),
    *COMMON,
)


@dataclass(frozen=True)
class Options:
    """What was given. values: of every option, by name; named: those whose value is not the default."""

    values: Mapping[str, Any]
    named: frozenset[str]
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
    values = {option.name: option.default for option in table}
    values["model_name"] = environ.get("DEEPAAS_V2_MODEL", "")
    known = {option.name: option for option in table}
    options: dict[str, Any] = {}
    try:
        for name, text, source in _texts(prog, table, flags.pop("sources") or [], environ):
            if name in known and (text or known[name].type is str):
                options[name] = known[name].value(text, source)
    except BadSetting as error:
        end(prog, error.message)
    try:
        options |= {
            option.name: option.value(flags[option.name], f"argument {option.flag}")
            for option in table
            if flags[option.name] is not None
        }
    except BadSetting as error:
        parser.error(error.message)
    return Options({**values, **options}, frozenset(options), rest)


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
        source = functools.partial(_source, kind)
        parser.add_argument(name, action="append", dest="sources", type=source, metavar=kind.upper(), help=help)
    for option in sorted(table, key=lambda option: option.flag):
        if option.type is bool:
            text = f"{option.help} (default: {'yes' if option.default else 'no'}; {option.inverse}: the inverse)"
            parser.add_argument(
                option.flag, *option.also, dest=option.name, action="store_true", default=None, help=text
            )
            hidden = argparse.SUPPRESS
            parser.add_argument(option.inverse, dest=option.name, action="store_false", default=None, help=hidden)
        else:
            text = f"{option.help} (default: {option.default})" if option.default != "" else option.help
            parser.add_argument(option.flag, *option.also, dest=option.name, metavar=option.unit or None, help=text)
    return parser


def _source(kind: str, path: str) -> tuple[str, Path]:
    return kind, Path(os.path.expanduser(path))


def _split(table: Sequence[Option], argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options, and the method with all that follows, which may look like options of ours and is not."""
    switches = [option for option in table if option.type is bool]
    plain = [flag for option in switches for flag in (option.flag, option.inverse, *option.also)]
    valued = ["--config-file", "--config-dir"]
    valued += [flag for option in table if option.type is not bool for flag in (option.flag, *option.also)]

    def takes_next(word: str) -> bool:
        fitting = [flag for flag in (*valued, *plain) if flag.startswith(word)] if word.startswith("--") else []
        return word in valued or (bool(fitting) and not set(fitting) & set(plain))

    place = 0
    while place < len(argv) and argv[place].startswith("-"):
        place += 2 if takes_next(argv[place]) else 1
    return list(argv[:place]), list(argv[place:])


# Files and the environment


def _texts(
    prog: str, table: Sequence[Option], sources: Sequence[tuple[str, Path]], environ: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    """(name, text, where it stands), later ones override earlier ones."""
    for path in _paths(prog, sources, environ):
        for key, text in _entries(prog, path):
            yield key, text, f"{path}: {key}"
    for option in table:
        if option.environment in environ:
            yield option.name, environ[option.environment], option.environment


def _paths(prog: str, sources: Sequence[tuple[str, Path]], environ: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environ.get("HOME") or Path.home())
    places = (home / f".{PROJECT}", home, Path("/etc") / PROJECT, Path("/etc"))
    kinds = {kind for kind, _ in sources}
    for kind, ending in (("file", ".conf"), ("folder", ".conf.d")):
        if kind not in kinds:
            for name in (PROJECT, prog):
                config = next((place / (name + ending) for place in places if (place / (name + ending)).exists()), None)
                if config is not None:
                    yield from _in_folder(config) if kind == "folder" else [config]
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
