"""Every setting in one table: name, default, unit, help.

A setting is read from, later over earlier: the default · a TOML file · the environment (`MODELPORT_<NAME>`) · a flag
(`--name-with-dashes`). After reading, settings do not change.

The server's own are the dataclass `Settings`; the flags, `etc/modelport.toml` and docs/settings.md are made from it,
and a test keeps them equal. Extensions declare further ones (`modelport/extending.py`), which have flags, variables and
a section of the file like these.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from modelport.settings.declared import declared
from modelport.settings.setting import Setting

# Older names that people and platforms already set.
ENVIRONMENT_ALIASES = {"token": "BEARER_TOKEN"}


def _setting(
    default: Any,
    help: str,
    *,
    unit: str = "",
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    secret: bool = False,
    section: str = "",
) -> Any:
    metadata = {
        "help": help,
        "unit": unit,
        "choices": choices,
        "minimum": minimum,
        "secret": secret,
        "section": section,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """The table. Section headings in the file are those of `section`, carried on from the field before."""

    # Where
    listen_ip: str = _setting("127.0.0.1", "address to listen on; beyond loopback a token is needed", section="server")
    listen_port: int = _setting(5000, "port to listen on; 0 takes a free one", minimum=0)
    base_path: str = _setting("", "path in front of every route, such as /models")
    root_path: str = _setting(
        "", "path that a proxy in front removes from every request, such as /apps/models; links begin with it"
    )
    trusted_proxies: str = _setting(
        "",
        "addresses and networks of proxies in front, separated by commas, such as 127.0.0.1,10.0.0.0/8; what they say "
        "in X-Forwarded-For, -Proto, -Host and -Prefix, or in Forwarded, is believed",
    )
    token: str = _setting("", "bearer token that callers must send; empty: none is asked for", secret=True)
    password: str = _setting(
        "", "the owner's password, user `oscar`; empty: one is made once and kept in the home folder", secret=True
    )
    open: bool = _setting(
        False, "listen beyond loopback without a token: only where something in front lets in the right callers"
    )
    home: str = _setting("~/.modelport", "folder of all state")
    executor: str = _setting("local", "which executor runs predictions (entry-point group modelport.executors)")

    # Doors
    predict_endpoint: bool = _setting(True, "serve predictions", section="doors")
    train_endpoint: bool = _setting(True, "serve trainings")
    doc_endpoint: bool = _setting(True, "serve the documentation pages /api and /docs")
    dashboard: bool = _setting(True, "serve the dashboard at /ui/")
    session_s: float = _setting(
        30 * 86400.0, "a browser that has signed in to the dashboard stays so for", unit="seconds", minimum=60
    )
    hosts: str = _setting(
        "",
        "names by which browsers reach this server, separated by commas, beside addresses, localhost and the machine's "
        "own name; by other names only callers with a token are answered; *: any name",
    )
    debug_endpoint: bool = _setting(False, "show what server and model print at /v2/debug/")
    debug: bool = _setting(False, "log more, and put tracebacks into error answers")
    cors_origins: str = _setting(
        "*",
        "pages of these origins may call, separated by commas; *: of any, if they send a token; empty: none",
    )
    run_ok_status: bool = _setting(
        False, "answer 200 on /run for a failed prediction, too, as the OSCAR platform does; the text says what failed"
    )
    oidc_issuers: str = _setting(
        "", "whose account tokens are taken: URLs of OpenID Connect issuers, separated by commas; empty: nobody's"
    )
    oidc_audience: str = _setting("", "account tokens must be for this audience; empty: for any")
    oidc_groups: str = _setting("", "accounts must be in one of these groups, separated by commas; empty: any will do")

    # Models
    workers: int = _setting(
        1, "worker processes of a deployment; each holds the model once", minimum=1, section="model"
    )
    warm: bool = _setting(True, "call the plugin's warm() in each worker before it takes calls")
    python: str = _setting("", "interpreter of the model's processes; empty: the server's own")
    start_method: str = _setting(
        "auto",
        "how workers start: forked from a process that has imported the plugin, or spawned; auto: by what is safe",
        choices=("auto", "fork", "spawn"),
    )
    spare_worker: bool = _setting(
        True,
        "where workers cannot be forked (the module runs threads, or uses a GPU), one more process imports the module "
        "and waits, so that a worker which had to be killed is replaced without another import",
    )
    nan: str = _setting(
        "null",
        "what becomes of NaN, infinity and missing values (NaT, NA) in a JSON answer: null, and a line in the log says "
        "where; or error. A deployed service may have another value in its environment, as MODELPORT_NAN",
        choices=("null", "error"),
    )
    train_in_pool: bool = _setting(
        False, "run trainings in the workers that predict, as deepaas does, instead of in a process of their own"
    )
    max_trainings: int = _setting(1, "trainings of one deployment that run at once; more wait", minimum=1)
    kept_trainings: int = _setting(100, "ended trainings of one deployment that stay in the list", minimum=1)

    # Modules: what may be deployed
    module_folders: str = _setting(
        "",
        "folders with modules that are not installed, or folders of such folders, separated by commas; the dashboard "
        "shows them beside the installed ones",
        section="modules",
    )
    module_pythons: str = _setting(
        "",
        "interpreters of environments whose installed modules the dashboard shows, too, such as /envs/yolo/bin/python; "
        "separated by commas",
    )
    scan_timeout_s: float = _setting(
        30.0, "an interpreter must have told within so long what is installed there", unit="seconds", minimum=0.1
    )

    # Services: what is deployed while the server runs
    min_workers: int = _setting(
        0, "workers of a deployed service that stay when nothing is to do", minimum=0, section="services"
    )
    max_workers: int = _setting(1, "most workers of a deployed service", minimum=1)
    idle_s: float = _setting(
        300.0, "a worker above min_workers ends when it has been idle so long", unit="seconds", minimum=0
    )
    keep_template: bool = _setting(
        True, "keep the process that has imported a service's module when no worker is left: waking one is then a fork"
    )
    try_idle_s: float = _setting(
        600.0,
        "a module that is only tried is undeployed when it has not been called for so long",
        unit="seconds",
        minimum=1,
    )
    memory_budget_bytes: int = _setting(
        0,
        "when all models together use more, the least recently used idle services are unloaded; 0: no limit",
        unit="bytes",
        minimum=0,
    )

    # Jobs: predictions and trainings that outlive the request that asked for them
    job_limit: int = _setting(
        100_000, "jobs of all deployments that may wait; more are refused", minimum=1, section="jobs"
    )
    job_workers: int = _setting(
        0, "most workers of a deployment that work on jobs at once; 0: all, as synchronous calls leave them", minimum=0
    )
    job_attempts: int = _setting(
        3, "a job is given to so many workers before the loss of one, or of the server, is its end", minimum=1
    )
    job_kept_s: float = _setting(
        30 * 86400.0, "a job that has ended is kept so long, with its files, result and log", unit="seconds", minimum=0
    )
    kept_jobs: int = _setting(100_000, "so many jobs that have ended are kept, the youngest", minimum=0)
    job_bytes: int = _setting(
        20 << 30,
        "files and large results of jobs may take so much: the oldest jobs that have ended go first, then new ones are "
        "refused; 0: no limit",
        unit="bytes",
        minimum=0,
    )
    job_inline_bytes: int = _setting(
        64 << 10, "a job's result up to this size lies in the store, a larger one in a file", unit="bytes", minimum=0
    )
    job_wait_limit_s: float = _setting(
        300.0, "a client that prefers to wait for its job (Prefer: wait=…) waits at most", unit="seconds", minimum=0
    )
    job_unserved_s: float = _setting(
        3600.0, "a waiting job whose deployment this server does not have fails after", unit="seconds", minimum=0
    )
    event_stream_limit: int = _setting(200, "streams of events that may be open at once", minimum=0)
    webhook_hosts: str = _setting(
        "",
        "hosts that the end of a job may be reported to, separated by commas: name, name:port or *.domain; *: any on "
        "the public internet; empty: none",
    )
    webhook_secret: str = _setting(
        "", "signs what is reported; empty: one is made once and kept in the store", secret=True
    )
    webhook_timeout_s: float = _setting(10.0, "a report must be taken within", unit="seconds", minimum=0.1)
    webhook_attempts: int = _setting(
        12, "a report is tried so often, at growing distances, over about half a day", minimum=1
    )

    # Buckets
    buckets: bool = _setting(True, "give every deployment a bucket: files in, results out", section="buckets")
    s3_port: int = _setting(
        9000, "port of the S3 endpoint; 0 takes a free one, and so does 9000 where it is taken", minimum=0
    )
    bucket_folder: str = _setting("", "folder of the buckets; empty: `buckets` in the home folder")
    s3_url: str = _setting(
        "", "address by which users reach the S3 endpoint, where it is not that of this server; shown to them"
    )
    account_buckets: int = _setting(10, "an account may make so many buckets of its own (OSCAR)", minimum=0)
    account_bucket_bytes: int = _setting(
        10 << 30, "each may hold so much; then uploads to it are refused; 0: any", unit="bytes", minimum=0
    )
    bucket_endpoint: str = _setting("", "URL of an S3 service to use instead of the server's own")
    bucket_access_key: str = _setting("", "its access key", secret=True)
    bucket_secret_key: str = _setting("", "its secret key", secret=True)
    bucket_region: str = _setting("us-east-1", "its region")
    bucket_prefix: str = _setting("", "begins the names of the buckets there, such as modelport-")
    bucket_list_s: float = _setting(5.0, "its buckets are listed for new objects every", unit="seconds", minimum=0.1)
    bucket_timeout_s: float = _setting(
        30.0, "it, or the disk of the buckets, must answer within", unit="seconds", minimum=0.1
    )
    bucket_object_bytes: int = _setting(
        5 << 30, "largest object that is taken, and read as an input", unit="bytes", minimum=1
    )

    # Limits
    client_max_size: int = _setting(0, "largest request body; 0: no limit", unit="bytes", minimum=0, section="limits")
    json_limit_bytes: int = _setting(64 << 20, "largest JSON body, without its files", unit="bytes", minimum=1)
    json_small_bytes: int = _setting(
        256 << 10,
        "JSON up to this size is read by the server itself; the values of a larger body go to the model in files",
        unit="bytes",
        minimum=1024,
    )
    form_limit_bytes: int = _setting(
        1 << 20, "the text of all fields of a form together, without its files", unit="bytes", minimum=1
    )
    form_limit_parts: int = _setting(1000, "most parts in one form", minimum=1)
    least_room_bytes: int = _setting(
        1 << 20,
        "when less is free on the disk, new jobs, uploads to buckets and deployments are refused and /ready is false; "
        "what is there already goes on",
        unit="bytes",
        minimum=0,
    )
    ready_timeout_s: float = _setting(
        2.0, "the stores must answer /ready within, or it is false", unit="seconds", minimum=0.1
    )
    document_limit_bytes: int = _setting(
        256 << 10,
        "largest definition of a service, deployment or bucket that is sent to the server itself",
        unit="bytes",
        minimum=1024,
    )
    sign_in_limit_bytes: int = _setting(64 << 10, "largest sign-in form of the dashboard", unit="bytes", minimum=1024)
    gzip_bodies: bool = _setting(False, "take request bodies with Content-Encoding: gzip; limits count what they hold")
    gzip_ratio_limit: int = _setting(100, "a gzip body may hold so many times what was sent", minimum=1)
    queue_limit: int = _setting(128, "predictions that may wait for a worker of one deployment", minimum=0)
    queue_ahead: int = _setting(
        3, "predictions that a busy worker of a quick model is sent ahead, to go on at once; at most 9", minimum=0
    )
    queue_ahead_below_s: float = _setting(
        0.01, "a model is quick whose predictions usually take less", unit="seconds", minimum=0
    )
    predict_timeout_s: float = _setting(3600.0, "a prediction is stopped after; 0: never", unit="seconds", minimum=0)
    train_timeout_s: float = _setting(0.0, "a training is stopped after so long; 0: never", unit="seconds", minimum=0)
    load_timeout_s: float = _setting(600.0, "import and warm() together may take so long", unit="seconds", minimum=0.1)
    start_wait_s: float = _setting(
        600.0, "a call waits so long for a model that is still loading", unit="seconds", minimum=0
    )
    child_timeout_s: float = _setting(
        10.0,
        "the process that makes a model's workers must answer within so long; else it is killed and started again",
        unit="seconds",
        minimum=0.1,
    )
    grace_s: float = _setting(
        30.0, "on SIGTERM or SIGHUP, running predictions may go on for so long", unit="seconds", minimum=0
    )
    header_timeout_s: float = _setting(10.0, "a request's headers must arrive within", unit="seconds", minimum=0.1)
    request_line_bytes: int = _setting(
        16 << 10,
        "longest first line of a request, with its address; a longer one is answered 414",
        unit="bytes",
        minimum=64,
    )
    header_bytes: int = _setting(
        8190, "longest header of a request; a longer one is answered 431", unit="bytes", minimum=64
    )
    header_limit: int = _setting(128, "most headers of a request; more are answered 431", minimum=8)
    keepalive_timeout_s: float = _setting(75.0, "an idle connection is closed after", unit="seconds", minimum=0)
    body_rate_bytes_s: int = _setting(
        1024, "a request body must arrive at least so fast, over any 30 seconds", unit="bytes/second", minimum=0
    )
    log_tail_bytes: int = _setting(
        64 << 10, "so much of what a call printed is kept, from its end", unit="bytes", minimum=0
    )
    inline_limit_bytes: int = _setting(
        1 << 20, "a larger answer goes by a file instead of through memory", unit="bytes", minimum=0
    )
    message_limit_bytes: int = _setting(
        256 << 10, "so much of a model's error is kept: message, fields and traceback", unit="bytes", minimum=1024
    )
    card_limit_bytes: int = _setting(
        1 << 20,
        "largest description of a module, its arguments and metadata as JSON; a module with a larger one does not load",
        unit="bytes",
        minimum=1024,
    )
    debug_limit_bytes: int = _setting(1 << 20, "so much output is kept for /v2/debug/", unit="bytes", minimum=0)

    # Guessing: wrong tokens, passwords, codes and signatures
    guess_free: int = _setting(
        10,
        "wrong secrets of one address within guess_window_s that are refused at once; further refusals are held back",
        minimum=0,
        section="guessing",
    )
    guess_window_s: float = _setting(
        60.0,
        "wrong secrets are counted, and told in one line of the log for each address, over",
        unit="seconds",
        minimum=0.1,
    )
    guess_delay_s: float = _setting(
        0.25,
        "the first refusal that is held back waits so long, each further one twice as long; 0: none waits",
        unit="seconds",
        minimum=0,
    )
    guess_delay_limit_s: float = _setting(10.0, "no refusal waits longer than", unit="seconds", minimum=0)
    guess_held: int = _setting(
        10,
        "refusals of one address that may wait at once; further ones are answered 429 and the connection is closed",
        minimum=1,
    )
    guess_held_total: int = _setting(200, "the same, of all addresses", minimum=1)

    # Those of extensions, by name; see `value`.
    extensions: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    def value(self, setting: Setting) -> Any:
        """Of any setting of the table."""
        own = setting.name in self.__dataclass_fields__
        return getattr(self, setting.name) if own else self.extensions.get(setting.name, setting.default)

    @property
    def home_path(self) -> Path:
        return Path(self.home).expanduser().resolve()

    @property
    def buckets_path(self) -> Path:
        """Of the server's own buckets."""
        return Path(self.bucket_folder).expanduser() if self.bucket_folder else self.home_path / "buckets"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can call."""
        try:
            return self.listen_ip == "localhost" or ipaddress.ip_address(self.listen_ip).is_loopback
        except ValueError:
            return False


def core_table() -> Iterator[Setting]:
    """The server's own settings, in the order of the file."""
    section = ""
    for column in dataclasses.fields(Settings):
        if not column.metadata:
            continue  # holds no setting of its own
        setting = Setting(column.name, cast(Any, column.default), **column.metadata)
        section = setting.section or section
        yield dataclasses.replace(setting, section=section)


@functools.cache
def table() -> tuple[Setting, ...]:
    """Every setting, in the order of the file: the server's own, then those of extensions. Raises BadSetting."""
    own = tuple(core_table())
    return *own, *declared({setting.name for setting in own})
