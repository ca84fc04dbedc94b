"""OSCAR service definitions: what was sent → what we deploy, and what we keep → what clients expect back.

Keys match without regard to case and unknown ones are ignored: the dashboard sends the whole object back, its own and
the server's fields included. What a client asks for that has no meaning here is kept for the echo, and `warnings` say
so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelport.deployments.quantity import amount, quantity
from modelport.errors import InvalidRequest
from modelport.store.deployments import DeploymentRow

VISIBILITIES = ("private", "restricted", "public")
LOG_LEVELS = ("NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
DEFAULT_MEMORY, DEFAULT_CPU = "256Mi", "0.2"

# What an account's service may not set: it would run code of the account's choice in the module's process.
GUARDED_VARIABLES = re.compile(r"LD_.*|PYTHON.*|MODELPORT_.*|PATH|HOME|TMPDIR|IFS|BASH_ENV|ENV")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,37}[a-z0-9])?")
OWNER = "cluster_admin"
NAMESPACE = "modelport"
# Where none was sent. OSCAR's dashboard does not save a service whose script is empty.
SCRIPT = """#!/bin/sh
# Not run: modelport calls predict of this deepaas module by itself, in a process that has loaded it already.
"""
# Where an input may come from, and an output be asked to go to.
INPUTS = ("minio",)
OUTPUTS = ("minio", "s3", "onedata", "webdav", "rucio")

# The definition's fields, as clients expect them back: (key, default). What was sent is echoed where its type is right.
ECHOED: dict[str, Any] = {
    "cluster_id": "",
    "memory": DEFAULT_MEMORY,
    "cpu": DEFAULT_CPU,
    "total_memory": "",
    "total_cpu": "",
    "ephemeral_storage_request": "",
    "enable_gpu": False,
    "enable_sgx": False,
    "image_prefetch": False,
    "interlink_node_name": "",
    "image_pull_secrets": [],
    "annotations": {},
    "log_level": "INFO",
    "alpine": False,
    "file_stage_in": False,
    "script": "",
    "vo": "",
    "isolation_level": "",
    "bucket_list": [],
    "mount": {},
    "volume_status": {"enabled": False},
    "delegation": "",
    "replicas": [],
    "clusters": {},
    "rescheduler_threshold": 0,
}
# The dashboard sends "" for these where it has nothing.
LENIENT = ("clusters", "rescheduler_threshold", "replicas", "mount", "volume_status", "delegation")
KINDS = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
# Kubernetes' own, without meaning here: told where they ask for something. (key, what we say)
MEANINGLESS = {
    "enable_gpu": "a GPU is not reserved; the module uses what the server has",
    "enable_sgx": "there is no SGX here",
    "image_prefetch": "no image is fetched",
    "interlink_node_name": "there are no other nodes",
    "image_pull_secrets": "no image is fetched",
    "annotations": "there is no Kubernetes here",
    "isolation_level": "buckets are not divided by user",
    "file_stage_in": "the script is not run",
    "mount": "nothing is mounted",
    "volume": "nothing is mounted",
    "kserve": "there is no KServe here",
    "federation": "there are no other clusters",
    "replicas": "there are no other clusters",
}


@dataclass(frozen=True)
class Definition:
    """A definition as we understood it.

    plain: what was sent that has a meaning in an echo, keys in lower case, without secrets and token.
    modules: names to look for among the modules, the best first. path: `module` was given as a path.
    secrets: an empty value stands for the one that is kept.
    """

    name: str
    plain: dict[str, Any]
    modules: list[str]
    path: str | None
    variables: dict[str, str]
    secrets: dict[str, str]
    memory_bytes: int | None
    cpu: float | None
    min_workers: int | None
    max_workers: int | None
    warnings: list[str] = field(default_factory=list)


def parse(document: Mapping[str, Any]) -> Definition:
    """The definition that was sent. Raises InvalidRequest with the sentence that people are shown."""
    return _Parser(lower(_without_nulls(document))).parse()


def _without_nulls(value: Any) -> Any:
    """What is null was not given, at any depth: clients break on nulls in an echo. (The reader bounds the depth.)"""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value if item is not None] if isinstance(value, list) else value


def lower(document: Mapping[str, Any]) -> dict[str, Any]:
    """Keys in lower case; of two that become one, the one that was lower case already wins."""
    values = {key.lower(): value for key, value in document.items()}
    return values | {key: value for key, value in document.items() if key == key.lower()}


def candidates(image: str) -> list[str]:
    """Names that a module may have whose image is called so: the last part of the path without tag, `-` and `_` too."""
    last = image.strip().rstrip("/").rpartition("/")[2].partition("@")[0].partition(":")[0]
    names = [last, last.replace("-", "_"), last.replace("_", "-")]
    return list(dict.fromkeys(name for name in names if name))


def invalid(reason: str) -> InvalidRequest:
    return InvalidRequest(f"The service specification is not valid: {reason}")


class _Parser:
    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._warnings: list[str] = []

    def parse(self) -> Definition:
        name = self._name()
        module = self._text("module")
        image = self._text("image") or module
        if not image:
            raise invalid("image is missing")
        if not module and not self._text("script") and "script" not in self._document:
            raise invalid("script is missing")
        environment, scales = lower(self._sent("environment", dict)), self._scales()
        least, most = scales["min_scale"], scales["max_scale"]
        if most and least > most:
            raise invalid(f"synchronous.min_scale is {least}, more than max_scale, {most}")
        path = module if module.startswith("/") else None
        definition = Definition(
            name=name,
            plain={**self._plain(name, image), "synchronous": scales},
            modules=[] if path else candidates(module or image),
            path=path,
            variables=self._variables(environment, "variables"),
            secrets=self._variables(environment, "secrets"),
            memory_bytes=self._quantity("memory", lambda text: max(1, round(amount(text))), "512Mi or 2Gi"),
            cpu=self._quantity("cpu", quantity, "0.5, 2 or 500m") or None,
            min_workers=least or None,
            max_workers=most or None,
            warnings=self._warnings,
        )
        self._warn()
        return definition

    def _name(self) -> str:
        name = self._text("name")
        if not name:
            raise invalid("name is missing")
        if not _NAME.fullmatch(name):
            allowed = "at most 39 lower-case letters, digits and - are allowed, and no - at its ends"
            raise invalid(f"the name is {name[:100]!r}; {allowed}")
        return name

    def _plain(self, name: str, image: str) -> dict[str, Any]:
        plain = {key: self._echoed(key, default) for key, default in ECHOED.items()}
        plain["image"] = image
        if self._text("module"):
            plain["module"] = self._text("module")
        plain["script"] = str(plain["script"]).replace("\r\n", "\n").replace("\r", "\n")
        plain["log_level"] = plain["log_level"].upper() if plain["log_level"].upper() in LOG_LEVELS else "INFO"
        plain["labels"] = self._sent("labels", dict, str)
        plain["allowed_users"] = [user.strip() for user in self._sent("allowed_users", list, str) if user.strip()]
        visibility = self._text("visibility") or "private"
        if visibility not in VISIBILITIES:
            raise invalid(f"visibility is {visibility!r}; allowed are {', '.join(VISIBILITIES)}")
        plain["visibility"] = visibility
        plain["input"] = [self._storage(row, name, "input", INPUTS) for row in self._sent("input", list, dict)]
        plain["output"] = [self._storage(row, name, "output", OUTPUTS) for row in self._sent("output", list, dict)]
        return plain

    def _scales(self) -> dict[str, int]:
        synchronous = lower(self._sent("synchronous", dict))
        scales = {key: synchronous.get(key, 0) for key in ("min_scale", "max_scale")}
        for key, value in scales.items():
            if type(value) is not int or value < 0:
                raise invalid(f"{key} is {value!r}; a whole number, 0 or more, is expected")
        return scales

    # Values by type

    def _sent(self, key: str, kind: type, item: type | None = None) -> Any:
        return _typed(key, self._document.get(key, kind()), kind, item)

    def _text(self, key: str) -> str:
        return str(self._sent(key, str)).strip()

    def _echoed(self, key: str, default: Any) -> Any:
        value = self._document.get(key, default)
        if key in ("cpu", "memory", "total_cpu", "total_memory") and isinstance(value, (int, float)):
            value = default if isinstance(value, bool) else f"{value:g}" if key.endswith("cpu") else str(value)
        if key in LENIENT and type(value) is not type(default):
            return default
        return _typed(key, value, type(default)) or default

    def _variables(self, environment: Mapping[str, Any], key: str) -> dict[str, str]:
        variables: dict[str, str] = _typed(f"environment.{key}", environment.get(key, {}), dict, str)
        for name, value in variables.items():
            if "\0" in value:
                raise invalid(f"environment.{key}.{name} contains a NUL character")
            if not _VARIABLE.fullmatch(name):
                raise invalid(f"environment.{key} has {name!r}; a variable's name has letters, digits and _")
        return variables

    # What is applied

    def _quantity(self, key: str, read: Callable[[str], float], examples: str) -> Any:
        if not (text := str(self._document.get(key, "")).strip()):
            return None
        try:
            return read(text)
        except ValueError:
            raise invalid(f"{key} is {text!r}; a quantity such as {examples} is expected") from None

    def _storage(self, entry: Mapping[str, Any], name: str, where: str, kinds: Iterable[str]) -> dict[str, Any]:
        values = lower(entry)
        provider = values.get("storage_provider", "minio")
        path = values.get("path", "")
        if not isinstance(provider, str) or not isinstance(path, str):
            raise invalid(f"{where}: storage_provider and path are texts")
        kind, _, id = provider.strip().partition(".")
        if kind not in kinds:
            raise invalid(f"{where}: storage provider {provider!r} is not supported; use minio.default")
        if not (path := path.strip(" /")):
            raise invalid(f"{where}: the path is empty")
        path = path if "/" in path else f"{name}/{path}"
        if kind != "minio" or id not in ("", "default"):
            self._warnings.append(f"{where} {provider}: only minio.default is served; nothing is read or written there")
        elif path != f"{name}/{where}s":
            self._warnings.append(f"{where} {path}: nothing is read or written there, but in {name}/{where}s")
        storage: dict[str, Any] = {"storage_provider": f"{kind}.{id or 'default'}", "path": path}
        for key in ("suffix", "prefix"):
            value = values.get(key, [])
            storage[key] = value if isinstance(value, list) else []
            if storage[key]:
                self._warnings.append(f"{where} {path}: {key} is kept, but not applied")
        return storage

    def _warn(self) -> None:
        for key, what in MEANINGLESS.items():
            if self._document.get(key) not in (None, False, "", [], {}, 0):
                self._warnings.append(f"{key}: {what}")
        script = self._document.get("script", "")
        if isinstance(script, str) and script.strip() and "deepaas" not in script:
            self._warnings.append("script: kept, but not run; the module's predict is called")
        expose = lower(self._sent("expose", dict))
        if expose.get("max_scale") or expose.get("api_port"):
            self._warnings.append("expose: the service answers on /run, its own web API is not exposed")


def _typed(where: str, value: Any, kind: Any, item: type | None = None) -> Any:
    """`value`, if it is of this kind, and its items are. Raises InvalidRequest."""
    if type(value) is not kind:
        raise invalid(f"{where} is {KINDS[type(value)]}; {KINDS[kind]} is expected")
    if item is not None:
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            _typed(f"{where}.{name}", part, item)
    return value


# The echo

# max_scale 0, or the dashboard hides its button Invoke.
NOT_EXPOSED = {
    "min_scale": 0,
    "max_scale": 0,
    "api_port": [],
    "cpu_threshold": 0,
    "rewrite_target": False,
    "nodePort": [],
    "default_command": False,
    "set_auth": False,
    "auth_type": "",
    "health_path": "",
    "probe_mode": "",
}


def echo(row: DeploymentRow, minio: Mapping[str, Any], bucket: str = "") -> dict[str, Any]:
    """The definition of a deployment as every client expects it: no key is missing, nothing is null.

    minio: the provider called minio.default. bucket: the deployment's; empty: it has none.
    """
    sent = row.definition or {}
    plain = {key: sent.get(key, default) for key, default in ECHOED.items()}
    plain["script"] = plain["script"] or SCRIPT
    owner = row.owner or OWNER
    variables: Mapping[str, str] = row.environment
    storage: dict[str, Any] = {"inputs": sent.get("input", []), "outputs": sent.get("output", [])}
    if row.definition is None:  # what nobody has defined is what it is
        cpu = DEFAULT_CPU if row.cpu is None else f"{row.cpu:g}"
        plain.update(log_level="CRITICAL", cpu=cpu, memory=_memory_text(row.memory_bytes))
        # One service without PAPI_CREATED breaks the AI4OS dashboard's list.
        created = row.created.replace("T", " ").rstrip("Z")
        papi = {"PAPI_TITLE": row.title, "PAPI_DESCRIPTION": row.description, "PAPI_CREATED": created}
        variables = {**papi, **row.environment}
        for folder in storage if bucket else ():
            path = f"{bucket}/{folder}"
            storage[folder] = [{"storage_provider": "minio.default", "path": path, "suffix": [], "prefix": []}]
    labels = {"oscar_service": row.name, "owner_name": owner.replace(" ", "_"), "uid": owner, "vo": plain["vo"]}
    return {
        "name": row.name,
        "image": sent.get("image") or row.module.rstrip("/").rpartition("/")[2],
        **({"module": sent["module"]} if "module" in sent else {}),
        **plain,
        "token": row.token,
        "input": storage["inputs"],
        "output": storage["outputs"],
        "environment": {"variables": {**variables}, "secrets": dict.fromkeys(row.secrets, "")},
        "synchronous": sent.get("synchronous")
        or {"min_scale": row.min_workers or 0, "max_scale": row.max_workers or 0},
        "expose": NOT_EXPOSED,
        "labels": {**sent.get("labels", {}), **labels},
        "allowed_users": sent.get("allowed_users", []),
        "visibility": sent.get("visibility", "private"),
        "owner": owner,
        "namespace": NAMESPACE,
        "storage_providers": {"minio": {"default": dict(minio)}},
    }


def _memory_text(size: int | None) -> str:
    if size is None:
        return DEFAULT_MEMORY
    return f"{size >> 20}Mi" if size % (1 << 20) == 0 else str(size)
