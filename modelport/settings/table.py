"""Every setting in one table: name, default, unit, help.

A setting is read from, later over earlier: the default · a TOML file · the environment (`MODELPORT_<NAME>`) · a flag
(`--name-with-dashes`). After reading, settings do not change.

The server's own are the dataclass `Settings`; the flags, `etc/modelport.toml` and docs/settings.md are made from it,
and a test keeps them equal. Extensions declare further ones (`modelport/extending.py`), which have flags, variables and
a section of the file like these.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelport.settings.setting import Setting

# Older names that people and platforms already set.
ENVIRONMENT_ALIASES = {"token": "BEARER_TOKEN"}
LARGEST_PORT = 65535


def _setting(default: Any, help: str, **facts: Any) -> Any:
    """facts: of `Setting`. A number is at least 0, and in the unit that its name ends in, unless they say otherwise."""
    return field(default=default, metadata={"help": help, **facts})


@dataclass(frozen=True)
class Settings:
    """The table. Section headings in the file are those of `section`, carried on from the field before."""

    listen_ip: str = _setting(
        "127.0.0.1", "address to listen on; anything but loopback needs a token, or the setting open", section="server"
    )
    listen_port: int = _setting(5000, "port to listen on; 0 chooses a free one", maximum=LARGEST_PORT)
    base_path: str = _setting("", "path in front of every route, such as /models")
    root_path: str = _setting(
        "", "path that a proxy in front removes from every request, such as /apps/models; links begin with it"
    )
    public_url: str = _setting(
        "",
        "address at which others reach the server, with its base path, such as https://models.example.org; "
        "/openapi.json names it, and marketplaces are told it",
    )
    public_documents: bool = _setting(
        False,
        "describe the plain endpoint of every service in /openapi.json to callers without a token, so that a "
        "marketplace can import it",
    )
    trusted_proxies: str = _setting(
        "",
        "addresses and networks of proxies in front, separated by commas, such as 127.0.0.1,10.0.0.0/8; the server "
        "believes their X-Forwarded-For, -Proto, -Host and -Prefix, or Forwarded",
    )
    token: str = _setting("", "bearer token that callers must send; empty: no token is needed", secret=True)
    password: str = _setting(
        "",
        "the owner's password, for the user `oscar`; empty: the server makes one and keeps it in the home folder",
        secret=True,
    )
    open: bool = _setting(
        False, "listen on other addresses than loopback without a token: only if a proxy in front checks the callers"
    )
    home: str = _setting("~/.modelport", "folder with everything that the server keeps")
    executor: str = _setting("local", "the executor that runs predictions (entry-point group modelport.executors)")

    predict_endpoint: bool = _setting(True, "serve predictions", section="frontends")
    train_endpoint: bool = _setting(True, "serve trainings")
    doc_endpoint: bool = _setting(True, "serve the documentation pages /api and /docs")
    dashboard: bool = _setting(True, "serve the dashboard at /ui/")
    session_s: float = _setting(30 * 86400.0, "how long a browser stays signed in to the dashboard", minimum=60)
    sessions_limit: int = _setting(
        200, "browsers that are signed in at once; the session that ends first makes room for the next", minimum=1
    )
    sign_in_link_s: float = _setting(86400.0, "a link that signs in to the dashboard works for this time", minimum=1)
    link_s: float = _setting(7 * 86400.0, "a shared link without a time of its own ends after this time", minimum=60)
    link_limit_s: float = _setting(90 * 86400.0, "a shared link ends after this time at the latest", minimum=60)
    links_limit: int = _setting(100, "maximum number of shared links of a service, including ended ones")
    link_kept_s: float = _setting(
        30 * 86400.0, "how long an ended link is kept, so that whoever opens it is told that it has ended"
    )
    hosts: str = _setting(
        "",
        "host names of this server for browsers, separated by commas, besides IP addresses, localhost and the "
        "machine's name; under other names, only callers with a token are answered; *: any name",
    )
    debug_endpoint: bool = _setting(False, "show the output of server and model at /v2/debug/")
    debug: bool = _setting(False, "log more, and include tracebacks in error answers")
    cors_origins: str = _setting(
        "*", "websites whose pages may call, separated by commas; *: any, if they send a token; empty: none"
    )
    kserve_clients: str = _setting(
        "python/gevent-http-client",
        "clients that get KServe's metadata at /v2 and /v2/models/<name>, where others are redirected to DEEPaaS's: "
        "how their User-Agent begins, separated by commas; *: all; empty: none",
    )
    run_ok_status: bool = _setting(
        False, "answer 200 on /run even if the prediction failed, as the OSCAR platform does; the text says what failed"
    )
    oidc_issuers: str = _setting(
        "", "OpenID Connect issuers whose account tokens are accepted: URLs, separated by commas; empty: none"
    )
    oidc_audience: str = _setting("", "audience that account tokens must have; empty: any")
    oidc_groups: str = _setting(
        "", "groups of which accounts must have at least one, separated by commas; empty: any account"
    )
    oidc_groups_s: float = _setting(300.0, "how long the groups that an issuer tells of an account are believed")
    oidc_timeout_s: float = _setting(5.0, "time limit for each request to an issuer", minimum=0.1)

    workers: int = _setting(
        1, "worker processes of a module on the command line; each holds the model once", minimum=1, section="model"
    )
    warm: bool = _setting(True, "call the module's warm() in each worker before its first call")
    python: str = _setting("", "Python interpreter of the model's processes; empty: the server's own")
    start_method: str = _setting(
        "auto",
        "how workers start: forked from a process that has imported the module, or spawned; auto: forked if that is "
        "safe",
        choices=("auto", "fork", "spawn"),
    )
    spare_worker: bool = _setting(
        True,
        "if workers cannot be forked (the module runs threads, or uses a GPU), keep one more process with the "
        "imported module ready, so that a killed worker is replaced without another import",
    )
    nan: str = _setting(
        "null",
        "what NaN, infinity and missing values (NaT, NA) become in a JSON answer: null, with a line in the log that "
        "says where, or an error. A service may have another value in its environment, as MODELPORT_NAN",
        choices=("null", "error"),
    )
    train_in_pool: bool = _setting(
        False, "run trainings in the workers that predict, as deepaas does, instead of in a process of their own"
    )
    max_trainings: int = _setting(1, "trainings of one service that run at once; others wait", minimum=1)
    kept_trainings: int = _setting(100, "ended trainings of one service that stay in the list", minimum=1)

    # Modules: what may be deployed
    module_folders: str = _setting(
        "",
        "folders with modules that are not installed, or folders of such folders, separated by commas; the "
        "dashboard lists them next to the installed ones",
        section="modules",
    )
    module_pythons: str = _setting(
        "",
        "interpreters of other environments whose installed modules the dashboard lists, such as "
        "/envs/yolo/bin/python; separated by commas",
    )
    scan_timeout_s: float = _setting(30.0, "time limit for an interpreter to list its installed modules", minimum=0.1)
    catalogue_timeout_s: float = _setting(30.0, "time limit for fetching a catalogue of modules", minimum=0.1)
    catalogue_limit_bytes: int = _setting(4 << 20, "maximum size of a catalogue of modules", minimum=1)
    git_timeout_s: float = _setting(300.0, "time limit for fetching a Git repository of modules", minimum=0.1)
    check_timeout_s: float = _setting(
        900.0, "time limit for checking a module, with loading it and a prediction with each example", minimum=0.1
    )
    kept_checks: int = _setting(200, "modules whose last report is kept, until the server ends", minimum=1)

    # Services: what is deployed while the server runs
    min_workers: int = _setting(0, "workers of a service that stay while nobody calls", section="services")
    max_workers: int = _setting(1, "maximum workers of a service", minimum=1)
    account_services: int = _setting(50, "services that an account may deploy (OSCAR)")
    idle_s: float = _setting(300.0, "workers above min_workers stop after this idle time")
    keep_template: bool = _setting(
        True,
        "keep the process that has imported a service's module when no worker is left, so that the next worker "
        "starts by a fork",
    )
    try_idle_s: float = _setting(
        600.0, "a trial of a module is undeployed when nobody has called it for this time", minimum=1
    )
    memory_budget_bytes: int = _setting(
        0, "if all models together use more, the least recently used idle services are unloaded; 0: no limit"
    )

    # Jobs: predictions and trainings that outlive the request that asked for them
    job_limit: int = _setting(
        100_000, "jobs that may wait, of all services together; more are refused", minimum=1, section="jobs"
    )
    job_workers: int = _setting(
        0, "maximum workers of a service that work on jobs at once; 0: all that direct calls leave free"
    )
    job_attempts: int = _setting(
        3, "a job fails when its worker or the server has been lost this many times", minimum=1
    )
    job_kept_s: float = _setting(30 * 86400.0, "how long an ended job is kept, with its files, result and log")
    kept_jobs: int = _setting(100_000, "ended jobs that are kept, the newest ones")
    job_bytes: int = _setting(
        20 << 30,
        "total size of the jobs' files and large results: beyond it, the oldest ended jobs are removed, then new "
        "ones are refused; 0: no limit",
    )
    job_inline_bytes: int = _setting(
        64 << 10, "job results up to this size are kept in the database, larger ones in files"
    )
    job_metric_points: int = _setting(
        1000,
        "points that are kept of each metric of a job; if there are more, every second one is dropped",
        minimum=10,
    )
    job_artifacts: int = _setting(200, "files that a job may keep with `modelport.artifact`")
    job_artifacts_bytes: int = _setting(
        1 << 30, "total size of the files that a job keeps with `modelport.artifact`; 0: it keeps none"
    )
    job_values_bytes: int = _setting(
        16 << 20,
        "values of generators that are kept in memory for those who follow jobs, of all jobs together; 0: none",
    )
    job_wait_limit_s: float = _setting(300.0, "longest time that a client can wait for its job (Prefer: wait=…)")
    job_unserved_s: float = _setting(3600.0, "a waiting job fails if the server has not had its service for this time")
    event_stream_limit: int = _setting(200, "event streams that may be open at once")
    webhook_hosts: str = _setting(
        "",
        "hosts to which webhooks may be sent, separated by commas: name, name:port or *.domain; *: any on the "
        "public internet; empty: none",
    )
    webhook_secret: str = _setting(
        "", "secret that signs webhooks; empty: the server makes one and keeps it", secret=True
    )
    webhook_timeout_s: float = _setting(10.0, "time limit for one webhook request", minimum=0.1)
    webhook_attempts: int = _setting(
        12, "how often a webhook is tried, at growing intervals, over about half a day", minimum=1
    )

    nevermined_api_key_file: str = _setting(
        "",
        "file with the key of Nevermined, with which calls of deployments with a price are sold; empty: the variable "
        "NVM_API_KEY, and without that nothing is sold",
        section="payments",
    )
    nevermined_backend: str = _setting("", "address of Nevermined's backend; empty: the one that the key is for")
    payment_timeout_s: float = _setting(
        30.0, "time limit for each question to the backend about a payment", minimum=0.1
    )
    payment_body_bytes: int = _setting(100 << 20, "largest body of a call that is paid for", minimum=1)
    payment_retry_s: float = _setting(
        86400.0, "how long a payment that the backend does not settle is tried again", minimum=0
    )

    buckets: bool = _setting(True, "give every service a bucket: files in, results out", section="buckets")
    s3_port: int = _setting(
        9000, "port of the S3 endpoint; 0 chooses a free one, and so does 9000 if it is taken", maximum=LARGEST_PORT
    )
    bucket_folder: str = _setting("", "folder of the buckets; empty: `buckets` in the home folder")
    s3_url: str = _setting("", "address of the S3 endpoint that users are shown, if it is not that of this server")
    account_buckets: int = _setting(10, "buckets that an account may make for itself (OSCAR)")
    account_bucket_bytes: int = _setting(
        10 << 30, "maximum size of each of these buckets; beyond it, uploads are refused; 0: no limit"
    )
    bucket_endpoint: str = _setting("", "URL of another S3 service to use instead of the server's own buckets")
    bucket_access_key: str = _setting("", "access key for bucket_endpoint", secret=True)
    bucket_secret_key: str = _setting("", "secret key for bucket_endpoint", secret=True)
    bucket_region: str = _setting("us-east-1", "region of bucket_endpoint")
    bucket_prefix: str = _setting("", "prefix of the bucket names at bucket_endpoint, such as modelport-")
    bucket_list_s: float = _setting(
        5.0, "how often the buckets at bucket_endpoint are listed for new objects", minimum=0.1
    )
    bucket_timeout_s: float = _setting(
        30.0, "time limit for an answer of bucket_endpoint, or of the disk with the buckets", minimum=0.1
    )
    bucket_object_bytes: int = _setting(5 << 30, "largest object that can be uploaded or used as an input", minimum=1)
    bucket_uploads: int = _setting(200, "uploads in parts that may be under way in one bucket", minimum=1)
    upload_kept_s: float = _setting(
        86400.0, "an upload in parts that its client does not continue is removed after this time", minimum=1
    )
    batch_files: int = _setting(10_000, "files of a folder that the dashboard counts, filters and sorts", minimum=1)
    batch_result_bytes: int = _setting(
        1 << 20, "largest JSON result that is read for the dashboard's grid, and for CSV and JSON Lines", minimum=1
    )

    client_max_size: int = _setting(0, "largest request body; 0: no limit", unit="bytes", section="limits")
    json_limit_bytes: int = _setting(64 << 20, "largest JSON body, without its files", minimum=1)
    tensor_limit_bytes: int = _setting(
        4 << 20,
        "largest JSON of a KServe request, largest data of its inputs that are not files, and largest answer that is "
        "not sent as it is",
        minimum=1024,
    )
    tensor_limit_elements: int = _setting(
        250_000, "elements of all inputs of a KServe request that are not files", minimum=1
    )
    tensor_limit_items: int = _setting(
        32, "items of one KServe request that has several; each is a prediction", minimum=1
    )
    openai_limit_bytes: int = _setting(4 << 20, "largest request for embeddings or chat at /v1", minimum=1024)
    mcp_limit_bytes: int = _setting(
        8 << 20, "largest message at /mcp, with the files that it has as data: URIs", minimum=1024
    )
    mcp_text_bytes: int = _setting(
        100_000, "longest text in the answer of a tool at /mcp; a link leads to longer ones", minimum=100
    )
    mcp_inline_bytes: int = _setting(
        700_000,
        "largest image, sound or file in the answer of a tool at /mcp; a link leads to larger ones. In base64 it must "
        "fit the 1 MiB that clients take of a stream",
    )
    mcp_fetch_hosts: str = _setting(
        "",
        "hosts from which tools at /mcp may fetch files by URL, separated by commas: name, name:port or *.domain; "
        "*: any on the public internet; empty: none",
    )
    mcp_fetch_timeout_s: float = _setting(30.0, "time limit for fetching one such file", minimum=0.1)
    mcp_fetch_bytes: int = _setting(256 << 20, "largest file that is fetched by URL", minimum=1)
    mcp_link_s: float = _setting(3600.0, "how long a link to an answer of /mcp works", minimum=1)
    mcp_links_bytes: int = _setting(1 << 30, "room for the answers that links of /mcp lead to; the oldest are removed")
    json_small_bytes: int = _setting(
        256 << 10,
        "JSON up to this size is read by the server itself; the values of a larger body go to the model in files",
        minimum=1024,
    )
    form_limit_bytes: int = _setting(1 << 20, "total size of the fields of a form, without its files", minimum=1)
    form_limit_parts: int = _setting(1000, "maximum number of parts in a form", minimum=1)
    least_room_bytes: int = _setting(
        1 << 20,
        "if less is free on the disk, new jobs, uploads to buckets and deployments are refused, and /ready is "
        "false; running work continues",
    )
    ready_timeout_s: float = _setting(
        2.0, "/ready is false if the database or the object store does not answer within this time", minimum=0.1
    )
    document_limit_bytes: int = _setting(
        256 << 10, "largest definition of a service, deployment or bucket", minimum=1024
    )
    sign_in_limit_bytes: int = _setting(64 << 10, "largest sign-in form of the dashboard", minimum=1024)
    gzip_bodies: bool = _setting(
        False, "accept request bodies with Content-Encoding: gzip; limits count the decompressed size"
    )
    gzip_ratio_limit: int = _setting(100, "how many times larger than sent a gzip body may become", minimum=1)
    queue_limit: int = _setting(128, "predictions that may wait for a worker of one service")
    queue_ahead: int = _setting(
        3,
        "predictions that are sent ahead to a busy worker of a fast model, so that it can continue at once; at most 9",
    )
    queue_ahead_below_s: float = _setting(0.01, "a model counts as fast if its predictions usually take less than this")
    batch_size: int = _setting(
        0,
        "maximum number of predictions that a module with predict_batch() gets at once; 0: its own BATCH_SIZE, or 16; "
        "1: no batches. A service may have another value in its environment, as MODELPORT_BATCH_SIZE",
    )
    batch_wait_s: float = _setting(
        0.0,
        "how long a prediction waits for others that could join its batch, even though a worker is free. A service may "
        "have another value in its environment, as MODELPORT_BATCH_WAIT_S",
    )
    predict_timeout_s: float = _setting(3600.0, "time limit of a prediction; 0: none")
    train_timeout_s: float = _setting(0.0, "time limit of a training; 0: none")
    load_timeout_s: float = _setting(600.0, "time limit for importing a module and its warm() together", minimum=0.1)
    start_wait_s: float = _setting(600.0, "how long a call waits for a model that is still loading")
    child_timeout_s: float = _setting(
        10.0,
        "time limit for an answer of the process that starts a model's workers; after that it is killed and started "
        "again",
        minimum=0.1,
    )
    stream_close_s: float = _setting(
        1.0, "how long a generator whose client has left may take to end; after that its worker is killed"
    )
    stream_ahead_bytes: int = _setting(
        256 << 10, "values of a generator that are kept for a slow client before the model waits"
    )
    grace_s: float = _setting(30.0, "after SIGTERM or SIGHUP, running predictions may continue for this time")
    header_timeout_s: float = _setting(10.0, "time limit for the headers of a request", minimum=0.1)
    request_line_bytes: int = _setting(
        16 << 10, "longest first line of a request, with its address; a longer one gets 414", minimum=64
    )
    header_bytes: int = _setting(8190, "longest header of a request; a longer one gets 431", minimum=64)
    header_limit: int = _setting(128, "maximum number of headers of a request; more get 431", minimum=8)
    keepalive_timeout_s: float = _setting(75.0, "an idle connection is closed after this time")
    stall_timeout_s: float = _setting(
        300.0, "a client that takes nothing of its answer for this time is disconnected", minimum=0.1
    )
    body_rate_bytes_s: int = _setting(
        1024, "minimum speed of a request body, on average over each body_window_s", unit="bytes/second"
    )
    body_window_s: float = _setting(30.0, "period over which the speed of a request body is measured", minimum=0.1)
    heartbeat_s: float = _setting(
        15.0,
        "a stream gets a sign of life at this interval: proxies keep it open, and a client that has left is noticed",
        minimum=0.1,
    )
    redirect_limit: int = _setting(5, "redirects that are followed when a file or a catalogue is fetched")
    log_tail_bytes: int = _setting(64 << 10, "how much of a call's output is kept, from its end")
    log_rate_bytes_s: int = _setting(
        256 << 10,
        "how much of what the models of one service print is in the log of `modelport serve`, on average over a "
        "minute; a line says how much is left out; 0: all",
        unit="bytes/second",
    )
    inline_limit_bytes: int = _setting(1 << 20, "answers larger than this go through a file instead of memory")
    message_limit_bytes: int = _setting(
        256 << 10, "how much of a model's error is kept: message, fields and traceback", minimum=1024
    )
    card_limit_bytes: int = _setting(
        1 << 20,
        "largest description of a module (arguments and metadata as JSON); a module with a larger one does not load",
        minimum=1024,
    )
    debug_limit_bytes: int = _setting(1 << 20, "how much output is kept for /v2/debug/")

    # Guessing: wrong tokens, passwords, codes and signatures
    guess_free: int = _setting(
        10,
        "wrong secrets from one address within guess_window_s that are refused at once; further refusals are delayed",
        section="guessing",
    )
    guess_window_s: float = _setting(
        60.0,
        "period over which wrong secrets are counted, and reported in one line of the log for each address",
        minimum=0.1,
    )
    guess_delay_s: float = _setting(
        0.25, "delay of the first delayed refusal; each further one is delayed twice as long; 0: no delay"
    )
    guess_delay_limit_s: float = _setting(10.0, "longest delay of a refusal")
    guess_held: int = _setting(
        10,
        "refusals of one address that may be delayed at once; further ones get 429, and the connection is closed",
        minimum=1,
    )
    guess_held_total: int = _setting(200, "the same, for all addresses together", minimum=1)

    # Those of extensions, by name; see `value`.
    extensions: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    def value(self, setting: Setting) -> Any:
        """Of any setting, also of an extension."""
        own = setting.name in self.__dataclass_fields__
        return getattr(self, setting.name) if own else self.extensions.get(setting.name, setting.default)

    @property
    def home_path(self) -> Path:
        return Path(os.path.expanduser(self.home)).resolve()

    @property
    def buckets_path(self) -> Path:
        """Of the server's own buckets."""
        return Path(os.path.expanduser(self.bucket_folder)) if self.bucket_folder else self.home_path / "buckets"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can call."""
        try:
            return self.listen_ip == "localhost" or ipaddress.ip_address(self.listen_ip).is_loopback
        except ValueError:
            return False
