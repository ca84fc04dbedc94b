"""Jobs as they are kept: adding, finding and going through them. How they change is in `job_states`."""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import product
from sqlite3 import Connection
from typing import Any

import msgspec

from modelport.contract.job import Job, JobArtifact, JobFile, JobResult
from modelport.contract.prediction import Status
from modelport.errors import Conflict, ModelportError, NotFound, from_plain

ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
# An id begins with the job's number: 6 digits of the server's run, 8 of the count within it. The rest is random.
NUMBER_DIGITS = 14
COUNT_BITS = 32
NUMBER_LIMIT = (1 << 63) - 1  # SQLite's own

# Larger arguments are kept apart, and a list leaves them out: a hundred jobs of 64 MB each would not fit the memory.
LISTED_ARGUMENTS_BYTES = 16 << 10
# Where the jobs of more groups than these are wanted, the newest of all are looked through first: so many times as
# many as are wanted.
FEW_GROUPS = 10
LOOKED_THROUGH = 4

METHODS = ("predict", "train")
FINAL = tuple(status for status in Status if status.final)

_fast_encode = msgspec.json.Encoder(enc_hook=str).encode
_sorted_encode = msgspec.json.Encoder(enc_hook=str, order="deterministic").encode
_fast_decode = msgspec.json.Decoder().decode


def encode(value: Any, *, sort: bool = False) -> bytes:
    """JSON. Text with lone surrogates, as file names of clients may have them, is kept as it is.

    sort: the same text for equal objects.
    """
    try:
        return _sorted_encode(value) if sort else _fast_encode(value)
    except UnicodeEncodeError:
        plain = msgspec.to_builtins(value, enc_hook=str)
        return json.dumps(plain, default=str, sort_keys=sort).encode()


def _decode(text: bytes) -> Any:
    try:
        return _fast_decode(text)
    except msgspec.DecodeError:
        return json.loads(text)


@dataclass(frozen=True)
class JobRow:
    """A job with what only the server wants to know of it.

    arguments: raw, for the call, where `job.arguments` is what people are shown.
    text: `Call.text`. deliver: kinds of deliveries that its end makes.
    key, digest: the client's key against doing it twice, and what the job was made of.
    folder_bytes: what lies in the job's folder.
    """

    job: Job
    arguments: dict[str, Any]
    text: bool = False
    deliver: tuple[str, ...] = ()
    key: str = ""
    digest: bytes | None = None
    folder_bytes: int = 0


# In the order of `to_row`.
_READ = (
    *("id", "deployment", "method", "status", "source", "created", "owner", "origin", "shown", "files", "accept"),
    *("timeout_s", "started", "finished", "attempt", "losses", "fraction", "message", "media_type", "size_bytes"),
    *("filename", "stored", "error", "timings", "log_bytes", "webhook", "text", "deliver", "key", "digest", "bytes"),
    *("arguments", "version", "metrics", "artifacts", "use"),
)
_APART = ("arguments", "shown")
# Columns that hold JSON: objects, and lists of dataclasses.
_OBJECTS = ("origin", "shown", "arguments", "timings", "metrics", "use")
_LISTS = {"files": JobFile, "artifacts": JobArtifact}
# Columns that hold a field of Job as it is.
_PLAIN = {field.name for field in fields(Job)} & {*_READ} - {"status", "error", *_OBJECTS, *_LISTS}
_ADDED = (
    *(_PLAIN - {"finished", "losses", "fraction", "message", "log_bytes"}),  # which come later
    *(
        "number",
        "status",
        "origin",
        "shown",
        "files",
        "text",
        "lease",
        "deliver",
        "key",
        "digest",
        "bytes",
        "arguments",
    ),
)
_INSERT_APART = "INSERT INTO job_inputs (number, arguments, shown) VALUES (?, ?, ?)"
_INSERT = f"INSERT INTO jobs ({', '.join(_ADDED)}) VALUES ({', '.join(f':{name}' for name in _ADDED)})"
COLUMNS = ", ".join(
    f"coalesce(jobs.{column}, job_inputs.{column})" if column in _APART else f"jobs.{column}" for column in _READ
)
WHOLE = "jobs LEFT JOIN job_inputs USING (number)"
_GET = f"SELECT {COLUMNS}, job_bodies.text FROM {WHOLE} LEFT JOIN job_bodies USING (number) WHERE number = ? AND id = ?"
_LIST = f"SELECT {', '.join(_READ)} FROM jobs WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number DESC"
_OUTLINES = (
    "SELECT id, status, created, started, finished, error FROM jobs WHERE number IN (SELECT value FROM json_each(?))"
)
_NUMBERS = "SELECT number FROM jobs WHERE deployment = ? AND method = ? AND status = ?"
_OWNED = "jobs INDEXED BY jobs_owner WHERE owner <> ''"
_BY_KEY = f"SELECT {COLUMNS} FROM {WHOLE} WHERE deployment = ? AND owner = ? AND key = ? AND key <> ''"


def number_of(job_id: str) -> int:
    """Raises NotFound for what is no id."""
    if not ID.fullmatch(job_id):
        raise NotFound(f"there is no job {job_id[:64]}")
    return int(job_id[:NUMBER_DIGITS], 16)


# A job as it is written: its columns, and the arguments that are kept apart.
Values = tuple[dict[str, Any], tuple[int, bytes, bytes | None] | None]


def to_values(row: JobRow, lease: int = 0) -> Values:
    """What `add_job` writes. lease: of a job that runs at once."""
    job, number = row.job, number_of(row.job.id)
    arguments = encode(row.arguments)
    shown = None if job.arguments is row.arguments else encode(job.arguments)
    apart = max(len(arguments), len(shown or b"")) > LISTED_ARGUMENTS_BYTES
    columns = {
        **{name: getattr(job, name) for name in _PLAIN},
        "number": number,
        "status": job.status.value,
        "origin": encode_some(job.origin),
        "shown": None if apart else shown,
        "files": encode_some(job.files),
        "text": row.text,
        "lease": lease,
        "deliver": " ".join(row.deliver),
        "key": row.key,
        "digest": row.digest,
        "bytes": row.folder_bytes,
        "arguments": None if apart else arguments,
    }
    return columns, (number, arguments, shown) if apart else None


def add_job(connection: Connection, /, row: JobRow, values: Values) -> JobRow:
    """This job, or the one that came before with the same key. values: of `to_values`.

    Raises Conflict where that one was made of something else.
    """
    if row.key:
        job = row.job
        existing = connection.execute(_BY_KEY, (job.deployment, job.owner, row.key)).fetchone()
        if existing is not None:
            earlier = to_row(existing)
            if earlier.digest != row.digest:
                raise Conflict("this idempotency key has been used with another request")
            return earlier
    columns, apart = values
    connection.execute(_INSERT, columns)
    if apart is not None:
        connection.execute(_INSERT_APART, apart)
    return row


def has_job(connection: Connection, /, number: int) -> bool:
    return connection.execute("SELECT 1 FROM jobs WHERE number = ?", (number,)).fetchone() is not None


def get_job(connection: Connection, /, job_id: str) -> JobRow:
    """Raises NotFound."""
    *values, text = _one(connection, _GET, job_id)
    return to_row(values, text)


def _one(connection: Connection, sql: str, job_id: str) -> Any:
    row = connection.execute(sql, (number_of(job_id), job_id)).fetchone()
    if row is None:
        raise NotFound(f"there is no job {job_id}")
    return row


@dataclass(frozen=True)
class JobOutline:
    """What a table of very many jobs shows of one. error: its message."""

    status: Status
    created: float
    duration_s: float | None
    error: str


def outline_jobs(connection: Connection, /, ids: Iterable[str]) -> dict[str, JobOutline]:
    """By id, those of them that there are."""
    numbers = json.dumps([number_of(id) for id in ids])
    return {row[0]: _outline(*row[1:]) for row in connection.execute(_OUTLINES, (numbers,))}


def _outline(
    status: str, created: float, started: float | None, finished: float | None, error: bytes | None
) -> JobOutline:
    duration_s = None if started is None or finished is None else round(max(0.0, finished - started), 3)
    return JobOutline(Status(status), created, duration_s, str(_decode(error)["message"]) if error else "")


def get_log(connection: Connection, /, job_id: str) -> bytes:
    """So much as is kept. Raises NotFound."""
    sql = "SELECT log FROM jobs LEFT JOIN job_bodies USING (number) WHERE number = ? AND id = ?"
    return bytes(_one(connection, sql, job_id)[0] or b"")


def get_bodies(connection: Connection, /, job_id: str) -> tuple[bytes, str | None, bytes]:
    """(answer that lies in the store, its text, log); empty what there is not. Raises NotFound."""
    sql = (
        "SELECT result, job_bodies.text, log FROM jobs LEFT JOIN job_bodies USING (number) WHERE number = ? AND id = ?"
    )
    result, text, log = _one(connection, sql, job_id)
    return result or b"", text, log or b""


def get_curves(connection: Connection, /, job_id: str) -> dict[str, Any]:
    """The points of its metrics, as they were given to be kept. Raises NotFound."""
    sql = "SELECT curves FROM jobs LEFT JOIN job_curves USING (number) WHERE number = ? AND id = ?"
    curves = _one(connection, sql, job_id)[0]
    return _decode(curves) if curves else {"step": "", "metrics": {}}


def get_position(connection: Connection, /, job: Job) -> int:
    """How many of its deployment and method wait before it."""
    sql = "SELECT count(*) FROM jobs WHERE deployment = ? AND method = ? AND status = 'queued' AND number < ?"
    return int(connection.execute(sql, (job.deployment, job.method, number_of(job.id))).fetchone()[0])


@dataclass(frozen=True)
class JobQuery:
    """Which jobs a list has. Empty statuses, method and source: any; owner None: anybody's."""

    deployments: Collection[str]
    statuses: Collection[Status] = ()
    method: str = ""
    source: str = ""
    owner: str | None = None

    def numbers(self, connection: Connection, before: int, limit: int) -> list[int]:
        """Of the newest below `before`, newest first."""
        condition, values = self._condition
        if self.owner:
            sql = f"SELECT number FROM {_OWNED} AND {condition} AND number < ? ORDER BY number DESC LIMIT ?"
            return [number for (number,) in connection.execute(sql, (*values, before, limit))]
        groups = list(product(self.deployments, self._methods, self._statuses))
        # Mostly jobs of all kinds are wanted, and then the newest of all are those.
        if len(groups) > FEW_GROUPS:
            sql = f"SELECT number, {condition} FROM jobs WHERE number < ? ORDER BY number DESC LIMIT ?"
            newest, seen = [], 0
            for number, fits in connection.execute(sql, (*values, before, LOOKED_THROUGH * limit)):
                seen += 1
                newest += [number] if fits else []
                if len(newest) == limit:
                    return newest
            if seen < LOOKED_THROUGH * limit:
                return newest
        # Each group is one stretch of the index, and its newest are read from that alone.
        own = "".join(f" AND {column} = ?" for column in self._own)
        sql = f"{_NUMBERS} AND number < ?{own} ORDER BY number DESC LIMIT ?"
        pages = (connection.execute(sql, (*group, before, *self._own.values(), limit)) for group in groups)
        return heapq.nlargest(limit, (number for rows in pages for (number,) in rows))

    def count(self, connection: Connection) -> int:
        condition, values = self._condition
        sql = f"SELECT count(*) FROM {_OWNED if self.owner else 'jobs WHERE TRUE'} AND {condition}"
        return int(connection.execute(sql, values).fetchone()[0])

    @property
    def _condition(self) -> tuple[str, list[str]]:
        """In SQL, and its values."""
        among = {"deployment": list(self.deployments), "method": self._methods, "status": self._statuses}
        tests = [f"{column} IN (SELECT value FROM json_each(?))" for column in among]
        tests += [f"{column} = ?" for column in self._own]
        return " AND ".join(tests), [*map(json.dumps, among.values()), *self._own.values()]

    @property
    def _methods(self) -> Sequence[str]:
        return (self.method,) if self.method else METHODS

    @property
    def _statuses(self) -> list[str]:
        return [Status(status).value for status in self.statuses or Status]

    @property
    def _own(self) -> dict[str, str]:
        """Columns that must have one value."""
        source = {"source": self.source} if self.source else {}
        return source if self.owner is None else {**source, "owner": self.owner}


def list_jobs(connection: Connection, /, query: JobQuery, before: int, limit: int) -> list[Job]:
    """The newest whose numbers are below `before`, newest first; see LISTED_ARGUMENTS_BYTES."""
    numbers = query.numbers(connection, before, limit)
    return [to_row(row).job for row in connection.execute(_LIST, (json.dumps(numbers),))]


def count_jobs(connection: Connection, /, query: JobQuery) -> int:
    return query.count(connection)


def to_row(values: Sequence[Any], text: str | None = None, *, started: float | None = None) -> JobRow:
    """The columns of `_READ`. text: of the result, which lies elsewhere.

    started: as it is, one that waits, when it is claimed then.
    """
    of = dict(zip(_READ, values, strict=True))
    if started is not None:
        of.update(status="running", attempt=of["attempt"] + 1, started=started)
    kept: dict[str, Any] = {name: _decode(of[name]) for name in _OBJECTS if of[name]}
    for name, kind in _LISTS.items():
        if of[name]:
            kept[name] = tuple(kind(**item) for item in _decode(of[name]))
    arguments = kept.get("arguments", {})
    kept["arguments"] = kept.pop("shown", arguments)
    if of["media_type"] is not None:
        kept["result"] = JobResult(of["media_type"], of["size_bytes"] or 0, of["filename"], of["stored"], text)
    error = from_plain(_decode(of["error"])) if of["error"] else None
    job = Job(**{name: of[name] for name in _PLAIN}, status=Status(of["status"]), error=error, **kept)
    return JobRow(job, arguments, bool(of["text"]), tuple(of["deliver"].split()), of["key"], of["digest"], of["bytes"])


# A traceback may be long, and a message may hold what a client sent.
ERROR_CHARACTERS = 20_000


def encode_error(error: ModelportError | None) -> bytes | None:
    if error is None:
        return None
    plain = error.to_plain()
    for name in ("message", "detail"):
        if len(plain.get(name, "")) > ERROR_CHARACTERS:
            plain[name] = plain[name][-ERROR_CHARACTERS:] if name == "detail" else plain[name][:ERROR_CHARACTERS] + "…"
    return encode(plain)


def encode_some(value: Any) -> bytes | None:
    """None where it is empty."""
    return encode(value) if value else None
