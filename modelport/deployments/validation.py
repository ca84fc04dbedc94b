"""What a deployment may be: every value is checked here before it is kept."""

from __future__ import annotations

import math
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from modelport.errors import InvalidArguments, LoadFailed
from modelport.extensions import executor_class
from modelport.settings import BadSetting, checked, core_table
from modelport.store.deployments import DeploymentRow

# First parts of paths that front ends have, or will have: a service's plain endpoint is /<name>.
SEGMENTS = (
    "v2 run job jobs system health ready metrics api docs ui static swagger.json openapi.json deployments services "
    "events status results login logout modules models inference trainings train predict files buckets settings "
    "dashboard assets favicon.ico robots.txt index.html minio s3 admin token tokens oscar webhooks"
)
RESERVED: Mapping[str, str] = dict.fromkeys(SEGMENTS.split(), "the server itself")

# A DNS label, as the names of Kubernetes' services and of buckets are.
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", re.ASCII)
NAME_LIMIT = 63
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# Ours: the mark by which a model's processes are found.
OWN_VARIABLES = ("MODELPORT_TEMPLATE",)
# Settings that a service may have values of its own for, in its environment.
OWN_SETTINGS = {
    setting.name: setting for setting in core_table() if setting.name in ("nan", "batch_size", "batch_wait_s")
}

TITLE_LIMIT = 500
DESCRIPTION_LIMIT = 50_000
ENVIRONMENT_LIMIT = 100_000  # an execve takes 128 KiB for one variable, some MiB for all
WORKERS_LIMIT = 1000
SECONDS_LIMIT = 10 * 365 * 86400
BYTES_LIMIT = 1 << 50
MEMORY_LEAST = 1 << 20


def default_name(module: str) -> str:
    """Named after the module, with an end of its own: some clients cut names at 39 characters."""
    last = Path(module.partition(":")[0] if not module.startswith(("/", ".")) else module.rpartition(":")[0] or module)
    stem = last.stem if last.suffix == ".py" else last.name
    words = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:30].strip("-")
    return f"{words or 'model'}-{secrets.token_hex(3)}"


def check(row: DeploymentRow, changed: Iterable[str] | None = None, reserved: Mapping[str, str] = RESERVED) -> None:
    """Raises InvalidArguments that names every field at fault. Looks at the disk: call it in a thread.

    reserved: names that are taken, and by what.
    changed: only these fields are looked at. What was right once may have gone since, such as an interpreter.
    """
    problems = {name: why for name, why in _checks(row, reserved) if why}
    if changed is not None:
        looked_at = {"memory" if name == "memory_bytes" else name for name in changed}
        if "min_workers" in looked_at:
            looked_at.add("max_workers")
        problems = {name: why for name, why in problems.items() if name in looked_at}
    if problems:
        message = "; ".join(f"{name}: {why}" for name, why in problems.items())
        raise InvalidArguments(message, fields={name: [why] for name, why in problems.items()})


def _checks(row: DeploymentRow, reserved: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        ("name", _name(row.name, reserved)),
        ("module", _text(row.module, 1000) or ("" if row.module.strip() else "name the module to deploy")),
        ("python", _python(row.python)),
        ("executor", _executor(row.executor)),
        ("title", _text(row.title, TITLE_LIMIT)),
        ("description", _text(row.description, DESCRIPTION_LIMIT)),
        ("min_workers", _number(row.min_workers, 0, WORKERS_LIMIT, whole=True)),
        ("max_workers", _number(row.max_workers, 1, WORKERS_LIMIT, whole=True) or _most(row)),
        ("idle_s", _number(row.idle_s, 0, SECONDS_LIMIT)),
        ("timeout_s", _number(row.timeout_s, 0, SECONDS_LIMIT)),
        ("memory", _number(row.memory_bytes, MEMORY_LEAST, BYTES_LIMIT, whole=True)),
        ("cpu", _number(row.cpu, 0.001, 10_000)),
        ("environment", _environment(row.environment)),
        ("secrets", _environment(row.secrets)),
    ]


def _name(name: Any, reserved: Mapping[str, str]) -> str:
    if not isinstance(name, str):
        return "must be text"
    if len(name) > NAME_LIMIT:
        return f"{name[:NAME_LIMIT]!r}… is too long: a name has at most {NAME_LIMIT} characters"
    if not NAME.fullmatch(name):
        rule = "lower-case letters, digits and hyphens, with a letter or digit at both ends"
        return f"{name!r} is not a valid name. Use {rule}"
    return f"{name!r} is taken by {reserved[name]}; choose another" if name in reserved else ""


def _text(value: Any, limit: int) -> str:
    if not isinstance(value, str):
        return "must be text"
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        return "has characters that are not valid text"
    return f"is too long: at most {limit} characters" if len(value) > limit else ""


def _number(value: Any, least: float, most: float, *, whole: bool = False) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        return f"{value!r:.40} is not a {'whole ' if whole else ''}number"
    if not math.isfinite(value) or not least <= value <= most:
        return f"{value if whole else format(value, 'g')} must be from {least:g} to {most:g}"
    return ""


def _most(row: DeploymentRow) -> str:
    both = isinstance(row.min_workers, int) and isinstance(row.max_workers, int)
    if both and row.min_workers > row.max_workers:  # type: ignore[operator]
        return f"{row.max_workers} is less than the minimum (min_workers), {row.min_workers}"
    return ""


def _python(path: Any) -> str:
    if path is None:
        return ""
    if why := _text(path, 4000):
        return why
    if not os.path.isfile(path) or not os.access(path, os.X_OK):
        return f"{path} is not a Python interpreter: give the path of one, such as /envs/yolo/bin/python"
    return "" if os.path.isabs(path) else f"{path} must be an absolute path"


def _executor(name: Any) -> str:
    if name is None:
        return ""
    try:
        executor_class(str(name))
    except LoadFailed as error:
        return error.message
    return ""


def _environment(variables: Any) -> str:
    if not isinstance(variables, Mapping):
        return "must be an object whose values are texts"
    for name, value in variables.items():
        if not isinstance(name, str) or not VARIABLE.fullmatch(name):
            return f"{name!r:.60} is not a valid name of a variable. Use letters, digits and _, and no digit first"
        if name in OWN_VARIABLES:
            return f"{name} is set by the server"
        if _text(value, ENVIRONMENT_LIMIT):
            return f"{name} {_text(value, ENVIRONMENT_LIMIT)}"
    for setting in OWN_SETTINGS.values():
        if setting.environment in variables:
            try:
                checked(setting, variables[setting.environment], setting.environment)
            except BadSetting as error:
                return error.message
    size = sum(len(name) + len(value) for name, value in variables.items())
    return f"is too large: at most {ENVIRONMENT_LIMIT} characters" if size > ENVIRONMENT_LIMIT else ""
