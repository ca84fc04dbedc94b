"""The log lines of deepaas-run and deepaas-cli, as oslo.log writes them.

    2026-01-31 12:00:00.123 4711 INFO deepaas.api [-] Serving loaded V2 models: ['zoo']

The original ends every line with an ANSI reset (`ESC[0m`), also in a file or pipe. Here it does not: nobody needs it,
and a script that takes the last word of a line gets the word.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from modelport.commands.deepaas.deepaas_options import Options, end
from modelport.commands.shell.logs import Visible
from modelport.contract.visible import visible

FORMAT = "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s [-] %(message)s"
DATE_FORMAT = "%Y-%m-%d %H:%M:%S"
SYSLOG = "/dev/log"

logger = logging.getLogger("deepaas")


def set_up(options: Options, prog: str) -> None:
    """Configure the root logger. Ends the program where a file cannot be opened."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    # A reader of our stdout that has gone is no reason for tracebacks on stderr.
    logging.raiseExceptions = False
    configuration = options["log_config_append"]
    if configuration:
        from logging.config import fileConfig

        try:
            fileConfig(configuration, disable_existing_loggers=False)
        except Exception as error:  # whatever the file makes of the classes that it names
            end(prog, f"the logging configuration {configuration} cannot be used: {error!r}")
        return
    handlers = [_handler(options, prog)]
    notes = []
    if options["use_syslog"]:
        try:
            handlers.append(_syslog(options["syslog_log_facility"]))
        except OSError as error:
            notes.append(f"use_syslog has no effect: {SYSLOG}: {error}")
    kind = Visible if sys.stdout.isatty() else logging.Formatter
    formatter = _Json() if options["use_json"] else kind(FORMAT, options["log_date_format"] or DATE_FORMAT)
    for handler in handlers:
        handler.setFormatter(formatter)
        logging.root.addHandler(handler)
    logging.root.setLevel(logging.DEBUG if options["debug"] else logging.INFO)
    logging.getLogger("asyncio").setLevel(logging.INFO)
    if options["use_journal"]:
        notes.append("use_journal has no effect here")
    for note in notes:
        logger.warning(note)


def _handler(options: Options, prog: str) -> logging.Handler:
    name, folder = options["log_file"], options["log_dir"]
    if not name and not folder:
        return logging.StreamHandler(sys.stdout)
    path = Path(folder, name or f"{prog}.log")
    from logging.handlers import WatchedFileHandler

    kind = WatchedFileHandler if options["watch_log_file"] else logging.FileHandler
    try:
        return kind(path, encoding="utf-8")
    except OSError as error:
        end(prog, f"the log file {path} cannot be opened: {error.strerror}")


def _syslog(facility: str) -> logging.Handler:
    """Raises OSError where nobody listens."""
    from logging.handlers import SysLogHandler

    known = SysLogHandler.facility_names
    return SysLogHandler(SYSLOG, known.get(facility.lower().removeprefix("log_"), SysLogHandler.LOG_USER))


class _Json(logging.Formatter):
    """A line is a JSON object, with oslo.log's names."""

    def format(self, record: logging.LogRecord) -> str:
        plain = {
            "message": record.getMessage(),
            "asctime": self.formatTime(record),
            "name": record.name,
            "levelname": record.levelname,
            "levelno": record.levelno,
            "process": record.process,
            "traceback": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return json.dumps(plain)


def pass_on(chunk: bytes) -> None:
    """What a model has printed, on our stdout: as it is, as the original does it, but to a terminal."""
    try:
        sys.stdout.flush()
        if sys.stdout.isatty():
            chunk = visible(chunk.decode(errors="backslashreplace"), returns=True).encode()
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
    except (OSError, ValueError):
        pass  # whoever read it has gone; the prediction goes on
