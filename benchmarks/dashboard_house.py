"""A house for the dashboard's benchmark: many modules, deployments, jobs and files, and a server over it."""

import asyncio
import json
import os
import random
import re
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field, replace
from pathlib import Path
from sqlite3 import Connection

from load import BIN, HERE

from modelport.contract.job import Job, JobResult
from modelport.contract.prediction import Status
from modelport.errors import Cancelled, DeadlineExceeded, ModelFailed, ModelportError
from modelport.store import Store
from modelport.store.job_states import Attempt, Ending, end_running
from modelport.store.jobs import JobRow, add_job, number_of, to_values

DATA = HERE.parent / "data"
# Where numbers of jobs begin: of the first run of a server on the store, and beyond those that it has accepted.
FIRST = (1 << 32) + 1000
# So many jobs are written in one transaction.
AT_ONCE = 500

LIBRARIES = ("PyTorch", "TensorFlow", "Scikit-learn", "JAX", "ONNX", "XGBoost", "Other")
TASKS = ("Computer Vision", "Natural Language Processing", "Audio", "Time Series", "Tabular", "Classification")
TYPES = ("Image", "Text", "Audio", "Video", "Tabular", "Time Series", "Other")
TAGS = (
    "plankton",
    "birds",
    "satellite",
    "x-ray",
    "speech",
    "weather",
    "soil",
    "traffic",
    "OCR",
    "forest",
    "fish",
    "stars",
)

DESCRIPTION = """  Finds {tag} in what it is given, and says how sure it is.

  ## How it works

  - reads the file and brings it to **256 by 256**
  - asks a network that was trained on `{tag}-{number}`
  - answers with labels and their probabilities

  | set | accuracy |
  |---|---|
  | train | 0.98 |
  | test | 0.91 |

  ## Limits

  It knows twenty kinds of {tag}, in daylight. What it has never seen it takes for what is nearest to it.
"""


def write_modules(folder: Path, count: int) -> None:
    """So many projects, each with a module and its metadata."""
    chance = random.Random(5)
    for number in range(count):
        project, tag = folder / f"module_{number:03}", chance.choice(TAGS)
        project.mkdir(parents=True)
        project.joinpath("api.py").write_text("def predict(): return 1\n")
        lists = {
            "tags": [*chance.sample(TAGS, 3), f"set {number % 60}"],
            "tasks": chance.sample(TASKS, 2),
            "libraries": chance.sample(LIBRARIES, 1),
            "data-type": chance.sample(TYPES, 1),
            "categories": ["AI4 inference", "AI4 pre trained"],
        }
        document = {
            "metadata_version": "2.1.0",
            "title": f"{tag.capitalize()} finder {number}",
            "summary": f"Finds {tag} in files of the kind {lists['data-type'][0]}, by the {number}th of its networks.",
            "dates": {"created": "2024-01-15", "updated": f"2025-{1 + number % 12:02}-{1 + number % 28:02}"},
            "links": {"source_code": f"https://modelport.example/{number}"},
            "license": "Apache-2.0",
            "resources": {"inference": {"cpu": 1, "memory_MB": 512}},
            **lists,
        }
        lines = [f"{name}: {json.dumps(value)}" for name, value in document.items()]
        text = "\n".join([*lines, "description: |-", DESCRIPTION.format(tag=tag, number=number)])
        project.joinpath("ai4-metadata.yml").write_text(text)


# Jobs

ENDS = [Status.SUCCEEDED] * 17 + [Status.FAILED] * 2 + [Status.CANCELLED]
FAILURES = (
    ModelFailed("ValueError: the picture has 2 channels; give 1, 3 or 4"),
    DeadlineExceeded("it did not end within 60 s"),
)


def write_jobs(store: Path, names: list[str], count: int) -> None:
    """So many jobs that have ended, over all deployments, one in fifty a training; with logs and results."""
    asyncio.run(_write_jobs(store, names, count))


async def _write_jobs(path: Path, names: list[str], count: int) -> None:
    async with await Store.open(path) as store:
        for first in range(0, count, AT_ONCE):
            await store.write(_add_jobs, names, range(first, min(count, first + AT_ONCE)), count)


def _add_jobs(connection: Connection, /, names: list[str], numbers: range, count: int) -> None:
    for number in numbers:
        _add(connection, names[number % len(names)], number, time.time() - (count - number) * 60.0)


def _add(connection: Connection, deployment: str, number: int, created: float) -> None:
    """By the steps that a real job takes: it runs, and its attempt ends it."""
    training = number % 50 == 0
    job = Job(
        id=f"{FIRST + number:014x}{number:018x}",
        deployment=deployment,
        method="train" if training else "predict",
        status=Status.RUNNING,
        source="deepaas" if training else "plain",
        created=created,
        arguments={"epochs": 20} if training else {"text": f"the {number}th of many", "count": number, "share": 0.25},
        started=created + 0.5,
        attempt=1,
    )
    row = JobRow(job, dict(job.arguments))
    add_job(connection, row, to_values(row, lease=1))
    ended = end_running(connection, Attempt(number_of(job.id), 1, 1), _ending(job, number))
    assert ended, job.id


def _ending(job: Job, number: int) -> Ending:
    status = Status.SUCCEEDED if job.method == "train" else ENDS[number % len(ENDS)]
    body, error = b"", None
    if status is Status.SUCCEEDED:
        body = json.dumps(_answer(job, number)).encode()
    else:
        error = Cancelled("the job was cancelled") if status is Status.CANCELLED else FAILURES[number % 2]
    ended = replace(
        job,
        status=status,
        finished=job.started + 1.5,
        error=_like(error),
        result=JobResult("application/json", len(body)) if body else None,
        timings={"wait": 0.5, "model": 1.4},
    )
    return Ending(ended, 0.0, body=body, log=_log(job, number))


def _like(error: ModelportError | None) -> ModelportError | None:
    return None if error is None else type(error)(error.message, detail="Traceback\n" + "  a line of it\n" * 20)


def _answer(job: Job, number: int) -> dict[str, object]:
    if job.method == "train":
        return {"accuracy": 0.97, "loss": [1 / each for each in range(1, 21)], "confusion_matrix": [[9, 1], [0, 8]]}
    return {"labels": [f"kind {each}" for each in range(20)], "probabilities": [0.05] * 20, "number": number}


def _log(job: Job, number: int) -> bytes:
    if job.method == "train":
        lines = [json.dumps({"epoch": each, "loss": 1 / each, "accuracy": 1 - 1 / each}) for each in range(1, 21)]
    else:
        lines = [f"step {each} of {number % 40 + 5}" for each in range(number % 40 + 5)]
    return "\n".join([*lines, ""]).encode()


def write_files(folder: Path, count: int) -> None:
    """So many results in a bucket's folder."""
    for number in range(count):
        path = folder / "outputs" / f"scan {number:04}.{'log' if number % 2 else 'json'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"number": number, "labels": ["a"] * (number % 50)}))


def write_batch(folder: Path, count: int) -> None:
    """So many inputs with their outputs, as if they had been predicted elsewhere. The server finds them when it starts:
    each has a log that is younger."""
    for top in ("inputs", "outputs"):
        (folder / top).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        label, confidence = f"kind {number % 20}", 0.3 + number % 70 / 100
        (folder / "inputs" / f"scan {number:04}.png").write_bytes(DATA.joinpath("digit.png").read_bytes())
        if number % 20:
            answer = [{"label": label, "confidence": confidence, "box": [10, 10, 90, 90]}] * (number % 5 + 1)
            (folder / "outputs" / f"scan {number:04}.json").write_text(json.dumps(answer))
        log = "saved\n" if number % 20 else "failed (model_failed): ValueError: the picture is empty\n"
        (folder / "outputs" / f"scan {number:04}.log").write_text(log)


# A server


class House:
    """`modelport serve` over a home folder."""

    def __init__(self, home: Path, modules: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MODELPORT_")}
        environment |= {"PYTHONPATH": str(HERE / "plugins"), "MODELPORT_MODULE_FOLDERS": str(modules)}
        environment |= {
            "MODELPORT_TRY_IDLE_S": "86400",
            "MODELPORT_IDLE_S": "86400",
            "MODELPORT_S3_PORT": "0",
            "MODELPORT_GRACE_S": "0",
        }
        command = [str(BIN / "modelport"), "serve", "--empty", "--listen-port", "0", "--home", str(home)]
        self.log = home.with_suffix(".log")
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        notice = home / "server.json"
        while not notice.exists():
            if self.process.poll() is not None:
                raise SystemExit(self.log.read_text())
            time.sleep(0.01)
        told = json.loads(notice.read_text())
        self.url, self.token = told["url"], told["token"]

    def ask(self, method: str, path: str, document: object = None, **headers: str) -> object:
        """As the owner; the answer's JSON, or None."""
        all_headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **headers}
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self.url + path, body, all_headers, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def deploy(self, count: int) -> list[str]:
        """`digits`, and the no-op plugin under other names. Returns the names."""
        names = ["digits", *(f"noop-{number}" for number in range(1, count))]
        for name in names:
            module = "my_model" if name == "digits" else "noop"
            self.ask("POST", "/deployments", {"name": name, "module": module, "title": f"The service {name}"})
        return names

    def warm(self, names: list[str]) -> None:
        """Each has a worker, and has been called."""
        for name in names:
            self.ask("GET", f"/deployments/{name}/card")
            if name != "digits":
                self.ask("POST", f"/{name}", {})

    def hold(self, name: str, count: int) -> None:
        """One job that sleeps, and so many that wait for it."""
        self.ask("POST", f"/{name}", {"sleep_s": 100_000}, Prefer="respond-async")
        for number in range(count):
            self.ask("POST", f"/{name}", {"count": number}, Prefer="respond-async")

    def read_page(self) -> str:
        """my_model reads the sample page as a job. Returns the job's id, once it has ended."""
        boundary = "b" * 20
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="digits_page.png"\r\n\r\n'
        body = head.encode() + DATA.joinpath("digits_page.png").read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Authorization": f"Bearer {self.token}", "Prefer": "respond-async"}
        headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/digits", body, headers), timeout=60) as answer:
            job = json.load(answer)["id"]
        while self.ask("GET", f"/jobs/{job}")["status"] != "succeeded":
            time.sleep(0.02)
        return str(job)

    def wait_batch(self, name: str) -> None:
        """The server has found all that was laid into the service's bucket, and has read the answers."""
        head = {"Cookie": self.sign_in(), "HX-Request": "true"}
        request = urllib.request.Request(f"{self.url}/ui/files/{name}/results", headers=head)
        while True:
            with urllib.request.urlopen(request, timeout=120) as answer:
                text = answer.read()
            if b'class="tile ' in text and b"every 1s" not in text:
                return
            time.sleep(0.2)

    def sign_in(self) -> str:
        """The cookie of a session."""
        link = str(self.ask("POST", "/ui/code")["url"])
        form = f"code={link.partition('code=')[2]}&next=".encode()
        request = urllib.request.Request(f"{self.url}/ui/login", form, {"Origin": self.url}, method="POST")
        opener = urllib.request.build_opener(_Stay)
        return opener.open(request, timeout=60).headers["Set-Cookie"].partition(";")[0]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Redirections are answers."""

    def redirect_request(self, *_: object) -> None:
        return None

    def http_error_303(self, _request: object, answer: object, *_: object) -> object:
        return answer


def furnish(home: Path, modules: Path, wanted: dict[str, int]) -> list[str]:
    """Make all of it. wanted: how many modules, deployments, jobs, files. Returns the deployments' names."""
    write_modules(modules, wanted["modules"])
    house = House(home, modules)
    try:
        names = house.deploy(wanted["deployments"])
        buckets = [house.ask("GET", f"/deployments/{name}")["bucket"] for name in names[1:3]]
        buckets = [bucket["bucket"] if isinstance(bucket, dict) else bucket for bucket in buckets]
    finally:
        house.stop()
    write_jobs(home / "store.sqlite", names, wanted["jobs"])
    write_files(home / "buckets" / buckets[0], wanted["files"])
    write_batch(home / "buckets" / buckets[1], wanted["files"])
    return names


@dataclass
class Measured:
    """One page. All times in ms."""

    name: str
    path: str
    part: bool = False  # what htmx asks for, not a page
    signed: bool = True  # seen by who has signed in
    size_bytes: int = 0
    processor: float = 0.0
    server: list[float] = field(default_factory=list)  # of the quietest round
    bare: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    static: list[float] = field(default_factory=list)

    @property
    def file(self) -> str:
        return re.sub(r"\W+", "-", self.name) + ".html"


def pages(house: House, names: list[str]) -> list[Measured]:
    """Every page of the dashboard, and what the open ones ask for again and again."""
    job = house.read_page()
    jobs = house.ask("GET", "/jobs?limit=100")["jobs"]
    training = house.ask("GET", "/jobs?limit=1&method=train&status=succeeded")["jobs"][0]["id"]
    other, batch = names[1:3]
    house.wait_batch(batch)
    return [
        Measured("modules", "/ui/"),
        Measured("modules: a search", "/ui/?q=finds+birds&library=PyTorch&sort=date"),
        Measured("modules: a search's part", "/ui/?q=finds&task=Audio", part=True),
        Measured("module", "/ui/modules/module_007"),
        Measured("module: my_model", "/ui/modules/my_model"),
        Measured("module: its arguments", "/ui/modules/my_model/arguments", part=True),
        Measured("new service: choose", "/ui/deploy"),
        Measured("new service", "/ui/deploy?module=my_model"),
        Measured("inference", "/ui/inference"),
        Measured("inference: a poll", "/ui/inference?seen=0", part=True),
        Measured("info", "/ui/inference/digits"),
        Measured("info: a poll", "/ui/inference/digits", part=True),
        Measured("logs", "/ui/inference/digits/logs"),
        Measured("edit", f"/ui/inference/{other}/edit"),
        Measured("invoke", "/ui/inference/digits/invoke"),
        Measured("train", "/ui/inference/digits/train"),
        Measured("jobs", "/ui/jobs"),
        Measured("jobs: failed ones", "/ui/jobs?state=failed"),
        Measured("jobs: the next page", f"/ui/jobs?after={jobs[-1]['id']}"),
        Measured("jobs: its part", "/ui/jobs?seen=0", part=True),
        Measured("job", f"/ui/jobs/{job}"),
        Measured("compare", f"/ui/compare?one={jobs[0]['id']}&other={jobs[1]['id']}"),
        Measured("job: a training", f"/ui/jobs/{training}"),
        Measured("trainings", "/ui/trainings"),
        Measured("new training: choose", "/ui/trainings/new"),
        Measured("files: choose", "/ui/files"),
        Measured("files: outputs", f"/ui/files/{other}?prefix=outputs/"),
        Measured("files: results", f"/ui/files/{batch}/results"),
        Measured("files: results, unsure", f"/ui/files/{batch}/results?below=0.6&sort=unsure&label=kind+7"),
        Measured("files: results, last page", f"/ui/files/{batch}/results?first=2940"),
        Measured("files: results, a poll", f"/ui/files/{batch}/results?seen=0", part=True),
        Measured("api", "/ui/api"),
        Measured("status", "/ui/status"),
        Measured("status: a poll", "/ui/status", part=True),
        Measured("sign in", "/ui/login", signed=False),
    ]
