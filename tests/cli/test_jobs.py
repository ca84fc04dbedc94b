"""`modelport jobs`, `job` and `predict --async`: against a real server, from the outside."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator

import pytest

from modelport.commands.following import job_text
from tests.cli.conftest import Cli, Done, Running
from tests.cli.test_asking import on_terminal
from tests.house import wait_until_now

# A prediction takes as many steps as it is told, each when there is a file `step-<number>`.
PLUGIN = """
import io, os, time
from marshmallow import fields, validate
import modelport

HERE = os.path.dirname(__file__)

def get_predict_args():
    return {
        "word": fields.Str(load_default="hello"),
        "steps": fields.Int(load_default=0),
        "mode": fields.Str(load_default="echo"),
        "accept": fields.Str(
            load_default="application/json",
            validate=validate.OneOf(["application/json", "image/png"]),
            metadata={"location": "headers"},
        ),
    }

def predict(word, steps, mode, accept):
    print("begun", flush=True)
    for number in range(steps):
        modelport.progress(number / steps, f"step [{number}]")
        print("waiting for", number, flush=True)
        while not os.path.exists(os.path.join(HERE, f"step-{number}")):
            time.sleep(0.01)
    if mode == "fail":
        raise ValueError("I cannot")
    return io.BytesIO(b"\\x89PNG\\r\\n\\x1a\\n") if accept == "image/png" else {"word": word}

def get_train_args():
    return {"steps": fields.Int(load_default=0)}

def train(steps):
    predict("", steps, "", "")
    return {"trained": steps}
"""


class Desk:
    """A server that has the plugin as `slow`."""

    def __init__(self, cli: Cli) -> None:
        self.cli = cli
        self.module = cli.write("slow.py", PLUGIN)

    def submit(self, *arguments: str) -> str:
        """The id of a job."""
        done = self.cli("predict", "slow", "--async", *arguments)
        assert done.status == 0, done.err
        return done.text.strip()

    def job(self, job_id: str, *arguments: str) -> Done:
        return self.cli("job", job_id, *arguments)

    def status(self, job_id: str) -> str:
        return str(self.job(job_id, "--json").json()["status"])

    def step(self, number: int) -> None:
        (self.cli.folder / f"step-{number}").touch()


@pytest.fixture
def desk(cli: Cli) -> Desk:
    return Desk(cli)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Desk, Running]]:
    desk = Desk(Cli(tmp_path_factory.mktemp("jobs")))
    with desk.cli.serving(desk.module) as server:
        yield desk, server


@pytest.fixture
def served(shared: tuple[Desk, Running]) -> Iterator[Desk]:
    desk, server = shared
    yield desk
    desk.cli.clear(server, "slow.py")


pytestmark = pytest.mark.slow


def test_a_prediction_is_sent_as_a_job_and_its_answer_fetched_later(served: Desk) -> None:
    done = served.cli("predict", "slow", "--async", "--word", "ä")
    assert re.fullmatch(r"[0-9a-f]{32}\n", done.text)
    job_id = done.text.strip()
    assert done.err == f"accepted; its answer: modelport job {job_id[:14]} --wait --result\n"
    assert served.job(job_id, "--wait", "--result").json() == {"word": "ä"}
    assert served.job(job_id[:14], "--log").text == "begun\n"
    assert served.job(job_id, "--log", "--json").json() == {"id": job_id, "log": "begun\n"}
    served.job(job_id, "-o", "answer.json")
    assert json.loads((served.cli.folder / "answer.json").read_text()) == {"word": "ä"}
    text, _, log = served.job(job_id).text.partition("\nlog:\n")
    assert log == "  begun\n"
    rows = dict(line.split(None, 1) for line in text.splitlines())
    assert (rows["id"], rows["service"], rows["status"], rows["attempt"]) == (job_id, "slow", "succeeded", "1 of 3")
    assert rows["result"] == "application/json, 14 bytes"
    document = served.job(job_id, "--json").json()
    assert (document["status"], document["method"]) == ("succeeded", "predict")
    assert served.cli("predict", "slow", "--async", "--json").json()["deployment"] == "slow"


def test_a_job_can_be_waited_for_at_once(served: Desk) -> None:
    done = served.cli("predict", "slow", "--async", "--wait", "--word", "x")
    assert (done.status, done.json()) == (0, {"word": "x"})
    assert re.match(r"accepted as job [0-9a-f]{32}\n", done.err)
    done = served.cli("predict", "slow", "--async", "--wait", "-o", "x.png")
    assert (served.cli.folder / "x.png").read_bytes().startswith(b"\x89PNG")
    done = served.cli("predict", "slow", "--async", "--wait", "--mode", "fail")
    assert (done.status, done.out) == (1, b"")
    assert "error: ValueError: I cannot" in done.err
    done = served.cli("predict", "slow", "--async", "--wait", "--steps", "1", "--timeout", "1")
    assert done.status == 4
    job_id = re.findall(r"[0-9a-f]{32}", done.err)[0]
    assert f"it goes on as {job_id}" in done.err
    assert served.status(job_id) == "running"
    with served.cli.running("job", job_id, "--wait") as waiting:
        waiting.wait_line("0%", err=True)
        assert waiting.end(signal.SIGINT) == 130
    assert f"the job goes on: modelport job {job_id[:14]} --wait\n" in waiting.err
    served.step(0)
    assert served.job(job_id, "--wait").status == 0


def test_a_training_is_a_job_too(served: Desk) -> None:
    done = served.cli("train", "slow", "--async", "--steps", "1")
    job_id = done.text.strip()
    assert re.fullmatch(r"[0-9a-f]{32}", job_id), done.err
    assert served.cli("jobs").text.splitlines()[1].split()[:3] == [job_id[:14], "slow", "train"]
    served.step(0)
    assert served.job(job_id, "--wait", "--result").json() == {"trained": 1}
    done = served.cli("train", "slow", "--async", "--wait", "--steps", "1", "--json")
    assert (done.status, done.json()) == (0, {"trained": 1})
    assert served.cli("train", "slow", "--async", "--json").json()["method"] == "train"


def test_jobs_are_listed_the_newest_first(served: Desk) -> None:
    ids = [served.submit("--word", str(number)) for number in range(2)]
    ids.append(served.submit("--mode", "fail"))
    ids.append(served.submit("--steps", "4"))
    ids.append(served.submit())
    wait_until_now(lambda: served.status(ids[3]) == "running")
    served.step(0)
    wait_until_now(lambda: "25%" in served.cli("jobs").text)
    lines = served.cli("jobs", "slow").text.splitlines()
    assert lines[0].split() == ["ID", "SERVICE", "METHOD", "STATUS", "AGE", "DURATION", "ATTEMPT", "PROGRESS"]
    found = [line.split() for line in lines[1:]]
    assert [each[0] for each in found] == [each[:14] for each in reversed(ids)]
    assert [each[3] for each in found] == ["queued", "running", "failed", "succeeded", "succeeded"]
    assert lines[2].endswith("25% step [1]")
    assert lines[3].endswith("ValueError: I cannot")
    assert [each["id"] for each in served.cli("jobs", "--json", "--limit", "2").json()] == [ids[4], ids[3]]
    chosen = served.cli("jobs", "--json", "--status", "failed", "--status", "queued").json()
    assert [each["id"] for each in chosen] == [ids[4], ids[2]]
    done = served.cli("jobs", "--status", "cancelled")
    assert (done.status, done.out) == (0, b"")
    assert "there are no such jobs" in done.err
    assert served.cli("jobs", "nobody").status == 3


def test_an_id_may_be_cut_as_long_as_it_fits_one_job(served: Desk) -> None:
    first, second = served.submit(), served.submit()
    common = next(number for number in range(32) if first[number] != second[number])
    assert served.job(second[: common + 1], "--json").json()["id"] == second
    assert served.job(first[: common + 1].upper(), "--json").json()["id"] == first
    done = served.job(first[:common])
    assert done.status == 1
    assert f"several jobs' ids begin with {first[:common]}" in done.err
    for wrong, text in (
        ("f" * 8, "no job whose id begins with"),
        ("f" * 32, "there is no job"),
        ("x", "is not a job's id"),
    ):
        done = served.job(wrong)
        assert done.status == 3
        assert text in done.err


def test_a_log_is_followed_until_the_job_ends(served: Desk) -> None:
    job_id = served.submit("--steps", "2")
    with served.cli.running("job", job_id, "--follow") as following:
        following.wait_line("waiting for 0")
        served.step(0)
        following.wait_line("waiting for 1")
        served.step(1)
        assert following.wait() == 0
    assert following.out == ["begun\n", "waiting for 0\n", "waiting for 1\n"]


def test_a_job_is_cancelled_run_again_and_removed(served: Desk) -> None:
    job_id = served.submit("--steps", "1")
    wait_until_now(lambda: served.status(job_id) == "running")
    done = served.job(job_id, "--delete")
    assert done.status == 1
    assert "the job is running; end it first, with --cancel" in done.err
    done = served.job(job_id, "--result")
    assert done.status == 1
    assert "--wait waits for its end" in done.err
    assert "status     cancelled\n" in served.job(job_id, "--cancel").text
    assert served.job(job_id, "--cancel").status == 1
    assert "the job was cancelled" in served.job(job_id, "--result").err
    served.step(0)
    done = served.job(job_id, "--again", "--wait", "--json")
    assert (done.status, done.json()["status"]) == (0, "succeeded")
    assert done.json()["id"] > job_id
    assert served.job(job_id, "--delete").text == f"{job_id} is removed\n"
    assert served.job(job_id).status == 3
    assert served.job(done.json()["id"], "--delete", "--json").json()["status"] == "removed"


def test_a_job_that_failed_is_an_error_to_who_waits_for_it(served: Desk) -> None:
    job_id = served.submit("--mode", "fail")
    done = served.job(job_id, "--wait")
    assert done.status == 1
    assert "error      ValueError: I cannot\n" in done.text
    assert "error: ValueError: I cannot" in done.err
    assert served.job(job_id).status == 0
    assert served.job(job_id, "--result").status == 1


def test_contradictions_are_refused(cli: Cli) -> None:
    for arguments, text in (
        (["job", "1", "--cancel", "--again"], "--cancel and --again cannot be combined"),
        (["job", "1", "--log", "-o", "x"], "cannot be combined"),
        (["predict", "x", "--wait"], "--wait goes with --async"),
        (["predict", "x", "--async", "-o", "x"], "add --wait"),
    ):
        done = cli(*arguments)
        assert (done.status, done.out) == (2, b"")
        assert text in done.err


def test_without_a_server_the_commands_say_what_to_do(cli: Cli) -> None:
    for arguments in (["jobs"], ["job", "1"], ["predict", "x", "--async"], ["jobs", "--watch"]):
        done = cli(*arguments)
        assert (done.status, done.out) == (3, b"")
        assert "modelport serve" in done.err


# Watching


def test_changes_are_watched_line_by_line(served: Desk) -> None:
    first = served.submit()
    served.job(first, "--wait")
    with served.cli.running("jobs", "slow", "--watch") as watching:
        watching.wait_line(f"^{first[:14]} slow succeeded$")
        job_id = served.submit("--steps", "2")
        watching.wait_line(f"^{job_id[:14]} slow running$")
        served.step(0)
        watching.wait_line(f"^{job_id[:14]} slow running: 50% step \\[1\\]$")
        served.step(1)
        watching.wait_line(f"^{job_id[:14]} slow succeeded$")
        failing = served.submit("--mode", "fail")
        watching.wait_line(f"^{failing[:14]} slow failed: ValueError: I cannot$")
        assert watching.end(signal.SIGINT) == 130
    assert watching.err == []
    with served.cli.running("jobs", "--watch", "--json", "--status", "failed") as watching:
        assert json.loads(watching.wait_line(failing))["status"] == "failed"
        served.submit()
        again = served.submit("--mode", "fail")
        assert json.loads(watching.wait_line(again))["status"] == "failed"
        assert len(watching.out) == 2


def test_watching_goes_on_when_the_server_comes_again(desk: Desk) -> None:
    with desk.cli.serving(desk.module) as server, desk.cli.running("jobs", "--watch") as watching:
        first = desk.submit()
        watching.wait_line(f"^{first[:14]} slow succeeded$")
        server.process.kill()
        server.wait()
        with desk.cli.serving(desk.module):
            second = desk.submit()
            watching.wait_line(f"^{second[:14]} slow succeeded$")
            assert watching.end(signal.SIGTERM) == 143


def test_a_terminal_gets_a_table_that_is_drawn_again(served: Desk) -> None:
    job_id = served.submit("--steps", "1")
    wait_until_now(lambda: served.status(job_id) == "running")
    status, text = on_terminal(served.cli, "jobs", "--watch", end_at="step [0]")
    assert status == 130
    assert job_id[:14] in text
    assert "ATTEMPT" in text


# Pieces


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0.0s"), (9.94, "9.9s"), (59.9, "59s"), (61, "1m01s"), (3599, "59m59s"), (7800, "2h10m")),
        (446400, "5d04h"),
    ],
)
def test_times_are_short(seconds: float, text: str) -> None:
    assert job_text.span(seconds) == text


def test_names_and_ids_are_completed(served: Desk) -> None:
    job_id = served.submit()
    for words, number, expected in (
        ("modelport jobs sl", "2", "slow"),
        ("modelport batch s", "2", "slow"),
        *((f"modelport {name} sl", "2", "slow") for name in ("info", "logs")),
        (f"modelport job {job_id[:5]}", "2", job_id),
        ("modelport batch slow --w", "3", "--word"),
        (f"modelport predict {served.module} --ste", "3", "--steps"),
        (f"modelport train {served.module} --ste", "3", "--steps"),
        ("modelport predict slow --mo", "3", "--mode"),
    ):
        assert offered(served.cli, words, number) == [f"plain,{expected}"]
    assert offered(served.cli, "modelport predict slow --wo", "3") == ["plain,--word"]
    assert offered(served.cli, "modelport predict slow --files da", "4") == ["file,da"]


def test_names_of_services_are_completed_where_only_those_are_meant(served: Desk) -> None:
    assert served.cli("deploy", served.module, "--name", "sloth").status == 0
    for command, expected in (("undeploy", ["sloth"]), ("token", ["sloth"]), ("info", ["sloth", "slow"])):
        assert offered(served.cli, f"modelport {command} sl", "2") == [f"plain,{name}" for name in expected]


def offered(cli: Cli, words: str, number: str) -> list[str]:
    return cli("--version", _MODELPORT_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=number).text.splitlines()


def test_completion_without_a_server_is_silent(cli: Cli) -> None:
    done = cli(_MODELPORT_COMPLETE="bash_complete", COMP_WORDS="modelport jobs x", COMP_CWORD="2")
    assert (done.text.strip(), done.err) == ("", "")
