"""`modelport batch`: many files as jobs of a real server, and what happens when something is killed on the way."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelport.commands.batching.batch_results import NAME
from tests.cli.conftest import Cli, Done, Running
from tests.cli.test_asking import on_terminal
from tests.house import wait_until_now

pytestmark = pytest.mark.slow

# Each call is noted in the file `seen`; a file that begins with "wait" takes until there is a file `go`.
PLUGIN = """
import io, os, time
from marshmallow import fields, validate

HERE = os.path.dirname(__file__)

def get_predict_args():
    return {
        "image": fields.Raw(required=True, metadata={"type": "file", "location": "form"}),
        "mask": fields.Raw(metadata={"type": "file", "location": "form"}),
        "word": fields.Str(load_default="none"),
        "loud": fields.Bool(load_default=False),
        "count": fields.Int(load_default=1, validate=validate.Range(1, 9)),
        "accept": fields.Str(
            load_default="application/json",
            validate=validate.OneOf(["application/json", "image/png"]),
            metadata={"location": "headers"},
        ),
    }

def predict(image, accept, mask=None, **given):
    with open(image.filename, "rb") as file:
        data = file.read()
    with open(os.path.join(HERE, "seen"), "a") as file:
        file.write(image.original_filename + "\\n")
    print("looking at", image.original_filename, flush=True)
    while data.startswith(b"wait") and not os.path.exists(os.path.join(HERE, "go")):
        time.sleep(0.01)
    if data.startswith(b"bad"):
        raise ValueError("this is no picture")
    if accept == "image/png":
        return io.BytesIO(b"\\x89PNG\\r\\n\\x1a\\n" + data)
    return {"size": len(data), "mask": mask.original_filename if mask else None, **given}
"""


class Desk:
    """A folder with inputs, and a server that has the plugin as `looker`."""

    def __init__(self, cli: Cli) -> None:
        self.cli = cli
        self.module = cli.write("looker.py", PLUGIN)
        self.seen_file = cli.folder / "seen"

    def write(self, **contents: str) -> None:
        for name, text in contents.items():
            self.cli.write(f"in/{name}", text)

    def batch(self, *arguments: str, **environ: str) -> Done:
        return self.cli("batch", "looker", *arguments, **environ)

    def seen(self) -> Counter[str]:
        return Counter(self.seen_file.read_text().splitlines() if self.seen_file.exists() else [])

    def jobs(self) -> list[dict[str, Any]]:
        """What the server has accepted."""
        document: list[dict[str, Any]] = self.cli("jobs", "--json").json()
        return document

    def go(self) -> None:
        (self.cli.folder / "go").touch()

    def read(self, name: str, folder: str = "looker-results") -> str:
        return (self.cli.folder / folder / name).read_text()

    def results(self, folder: str = "looker-results") -> list[str]:
        found = self.cli.folder / folder
        files = [str(path.relative_to(found)) for path in found.rglob("*") if path.is_file()]
        return sorted(file for file in files if file != NAME)

    def serving(self, *arguments: str) -> contextlib.AbstractContextManager[Running]:
        return self.cli.serving(self.module, *arguments)


@pytest.fixture
def desk(cli: Cli) -> Desk:
    return Desk(cli)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Desk, Running]]:
    desk = Desk(Cli(tmp_path_factory.mktemp("batch")))
    with desk.serving() as server:
        yield desk, server


@pytest.fixture
def served(shared: tuple[Desk, Running]) -> Iterator[Desk]:
    desk, server = shared
    yield desk
    desk.cli.clear(server, "looker.py")


def test_every_file_has_a_result_and_a_log_and_is_run_once(served: Desk) -> None:
    served.write(**{"a bear.png": "1", "bear.jpg": "22", "bear.png": "333", "deep/er/ü.png": "4444", "no ending": "5"})
    done = served.batch("in", "--word", "hi", "--loud", "--count=2")
    assert (done.status, done.text) == (0, "5 of 5 done: looker-results\n"), done.err
    stems = ["a bear", "bear", "bear.png", "deep/er/ü", "no ending"]
    assert served.results() == sorted(f"{stem}.{ending}" for stem in stems for ending in ("json", "log"))
    expected = {"size": 4, "mask": None, "word": "hi", "loud": True, "count": 2}
    assert json.loads(served.read("deep/er/ü.json")) == expected
    assert [json.loads(served.read(f"{each}.json"))["size"] for each in ("bear", "bear.png")] == [2, 3]
    assert served.read("a bear.log") == "looking at a bear.png\n"
    assert served.read("no ending.json").endswith("}\n")

    again = served.batch("in", "--word", "hi", "--loud", "--count=2")
    assert again.text == "5 of 5 done (5 of them in an earlier run): looker-results\n"
    assert set(served.seen().values()) == {1}


def test_what_failed_says_why_and_is_tried_again(served: Desk) -> None:
    served.write(**{"good.png": "1", "bad [one].png": "bad", "gone.png": "1"})
    (served.cli.folder / "in/gone.png").chmod(0)
    done = served.batch("in/*.png", "--concurrency", "1")
    failed = 1 if os.access(served.cli.folder / "in/gone.png", os.R_OK) else 2  # root reads everything
    assert (done.status, done.text) == (1, f"{3 - failed} of 3 done, {failed} failed: looker-results\n")
    assert "bad [one].png: ValueError: this is no picture\n" in done.err
    log = served.read("bad [one].log")
    assert log.startswith(
        "failed (model_failed): ValueError: this is no picture\n\nThe log:\nlooking at bad [one].png\n"
    )
    assert "bad [one].json" not in served.results()

    served.batch("in")
    assert served.seen()["bad [one].png"] == 2
    assert served.seen()["good.png"] == 1
    (served.cli.folder / "in/gone.png").chmod(0o600)
    served.write(**{"bad [one].png": "now good"})
    done = served.batch("in")
    assert (done.status, done.text.split(" (")[0]) == (0, "3 of 3 done")
    assert served.read("bad [one].log") == "looking at bad [one].png\n"


def test_a_result_that_fails_now_is_not_yesterdays(served: Desk) -> None:
    served.write(**{"a.png": "1"})
    assert served.batch("in").status == 0
    served.write(**{"a.png": "bad"})
    assert served.batch("in").status == 1
    assert served.results() == ["a.log"]


def test_other_arguments_or_again_run_everything_anew(served: Desk) -> None:
    served.write(**{"a.png": "1"})
    for arguments in ([], ["--word", "x"], ["--word", "x", "--again"]):
        assert served.batch("in", *arguments).status == 0
    assert served.seen()["a.png"] == 3
    assert json.loads(served.read("a.json"))["word"] == "x"


def test_an_answer_that_is_no_json_has_its_own_ending(served: Desk) -> None:
    served.write(**{"a.png": "1", "a.jpg": "2"})
    assert served.batch("in", "--accept", "image/png", "-o", "pictures").status == 0
    # a.jpg comes first and keeps the stem; its answer happens to be called as the other input is.
    assert served.results("pictures") == ["a.log", "a.png", "a.png.log", "a.png.png"]
    for name, text in (("a.png", b"2"), ("a.png.png", b"1")):
        assert (served.cli.folder / "pictures" / name).read_bytes() == b"\x89PNG\r\n\x1a\n" + text


def test_a_json_file_is_the_arguments_of_a_call(served: Desk) -> None:
    picture = {"key": "image", "file_format": "png", "data": base64.b64encode(b"12345").decode()}
    served.write(
        **{
            "a.json": json.dumps({"word": "own", "oscar-files": [picture]}),
            "b.json": "\ufeff \n{ " + json.dumps({"oscar-files": [picture]})[1:],
            "c.json": "[1, 2]",
        }
    )
    done = served.batch("in", "--word", "all", "--count", "3")
    assert done.status == 0, done.err
    found = {name: json.loads(served.read(f"{name}.json")) for name in ("a", "b", "c")}
    assert [(each["word"], each["size"], each["count"]) for each in found.values()] == [
        *(("own", 5, 3), ("all", 5, 3), ("all", 6, 3))
    ]
    done = served.batch("in/a.json", "--argument", "image", "-o", "raw", "--mask", "looker.py")
    assert done.status == 0, done.err
    assert json.loads(served.read("a.json", "raw"))["mask"] == "looker.py"
    assert json.loads(served.read("a.json", "raw"))["size"] == len((served.cli.folder / "in/a.json").read_bytes())
    done = served.batch("in/a.json", "--mask", "looker.py", "-o", "joined")
    assert done.status == 1
    assert "a file on the command line cannot be joined with a .json file's arguments" in done.err


def test_a_batch_that_is_killed_goes_on_with_the_same_command(served: Desk) -> None:
    served.write(**{f"{number:02}.png": "wait" for number in range(20)})
    arguments = ("batch", "looker", "in", "--concurrency", "4")
    with served.cli.running(*arguments) as batch:
        wait_until_now(lambda: len(served.seen()) == 1)
        wait_until_now(lambda: len(served.jobs()) == 4)
        batch.process.kill()
        batch.wait()
    served.go()
    done = served.cli(*arguments)
    assert (done.status, done.text) == (0, "20 of 20 done: looker-results\n"), done.err
    assert set(served.seen().values()) == {1}
    assert len(served.results()) == 40


def test_ctrl_c_stops_sending_and_says_how_to_go_on(served: Desk) -> None:
    served.write(**{f"{number}.png": "wait" for number in range(6)})
    with served.cli.running("batch", "looker", "in", "--concurrency", "2") as batch:
        wait_until_now(lambda: len(served.seen()) == 1)
        wait_until_now(lambda: len(served.jobs()) == 2)
        assert batch.end(signal.SIGINT) == 130
    assert "stopped: 0 of 6 done, 2 accepted (they go on at the server), 4 not sent." in "".join(batch.err)
    assert "The same command goes on from here." in "".join(batch.err)
    served.go()
    assert served.batch("in").text == "6 of 6 done: looker-results\n"
    assert set(served.seen().values()) == {1}


def test_a_batch_outlives_the_server(desk: Desk) -> None:
    desk.write(**{f"{number:02}.png": "wait" if number == 3 else "x" for number in range(12)})
    with desk.serving() as server, desk.cli.running("batch", "looker", "in", "--concurrency", "3") as batch:
        wait_until_now(lambda: desk.seen()["03.png"])
        server.process.kill()
        server.wait()
        batch.wait_line("waiting: ", err=True)
        desk.go()
        with desk.serving():
            assert batch.wait() == 0, batch.err
    assert "12 of 12 done: looker-results\n" in batch.out
    assert len(desk.results()) == 24
    # What ran when the server was killed was run again; nothing else was.
    assert {name for name, count in desk.seen().items() if count > 1} <= {"03.png"}


def test_a_batch_gives_up_when_the_server_stays_away(desk: Desk) -> None:
    desk.write(**{"a.png": "wait"})
    with desk.serving() as server, desk.cli.running("batch", "looker", "in", "--give-up", "0.5s") as batch:
        wait_until_now(lambda: desk.seen()["a.png"])
        server.process.kill()
        server.wait()
        assert batch.wait() == 3
    assert "error: no server is running" in batch.err[-1]
    assert "The same command goes on from here." in "".join(batch.err)


def test_a_server_that_is_full_is_asked_again(desk: Desk) -> None:
    desk.write(**{f"{number}.png": "x" for number in range(6)})
    with desk.serving("--job-limit", "1"):
        done = desk.batch("in", "--concurrency", "4")
    assert (done.status, done.text) == (0, "6 of 6 done: looker-results\n"), done.err
    assert set(desk.seen().values()) == {1}


def test_a_service_elsewhere_is_asked_with_its_token(desk: Desk, tmp_path: Path) -> None:
    with desk.cli.running("serve", "--empty", "--listen-port", "0", "--base-path", "/m") as server:
        url = server.url
        wait_until_now(lambda: (desk.cli.home / "server.json").exists())
        assert desk.cli("deploy", desk.module, "--name", "eyes", "--wait").status == 0
        token = desk.cli("token", "eyes").text.strip()
        other = Cli(tmp_path / "other")
        other.folder.mkdir()
        other.write("a.png", "1")
        for given, status in (({"BEARER_TOKEN": token}, 0), ({"BEARER_TOKEN": "wrong"}, 3), ({}, 3)):
            done = other("batch", "eyes", "a.png", "--url", url, "-o", f"out-{status}", **given)
            assert done.status == status, done.err
        assert json.loads((other.folder / "out-0" / "a.json").read_text())["size"] == 1
        assert desk.cli("batch", "nobody", "looker.py").status == 3


def test_names_come_by_stdin_and_the_sum_as_json(served: Desk) -> None:
    served.write(**{"a.png": "1", "b.png": "bad"})
    (served.cli.folder / "list").write_text("in/a.png\nin/b.png\n")
    done = served.batch("--from", "list", "--json")
    assert done.status == 1
    assert done.json() == {
        "files": 2,
        "succeeded": 1,
        "before": 0,
        "failed": 1,
        "accepted": 0,
        "left": 0,
        "output": "looker-results",
    }


def test_one_bad_input_never_ends_the_others(served: Desk) -> None:
    served.write(**{"good.png": "1", "taken.png": "2", "below/x.png": "3", "both.json": "{}", "last.png": "4"})
    odd = os.fsdecode(b"caf\xe9.png")
    (served.cli.folder / "in" / odd).write_bytes(b"55555")
    (served.cli.folder / "in/wide.json").write_text('{"word": "x"}', encoding="utf-16")
    (served.cli.folder / "looker-results/taken.json").mkdir(parents=True)
    (served.cli.folder / "looker-results/below").write_text("a file where a folder should be")
    done = served.batch("in", "--concurrency", "1", "--json")
    assert done.status == 1
    assert {name: done.json()[name] for name in ("files", "succeeded", "failed")} == {
        "files": 7,
        "succeeded": 3,
        "failed": 4,
    }, done.err
    assert "taken.png: its result cannot be written: Is a directory" in done.err
    assert "below/x.png: its result cannot be written: Not a directory" in done.err
    assert "wide.json: it is in UTF-16; save it as UTF-8" in done.err
    assert served.read("last.json").startswith('{"size": 1')
    assert json.loads((served.cli.folder / "looker-results" / odd).with_suffix(".json").read_text())["size"] == 5


def test_lists_may_have_a_byte_order_mark_and_utf_16_is_refused_by_its_name(served: Desk) -> None:
    served.write(**{"a.png": "1"})
    (served.cli.folder / "list").write_text("in/a.png\n", encoding="utf-8-sig")
    assert served.batch("--from", "list").text == "1 of 1 done: looker-results\n"
    (served.cli.folder / "list").write_text("in/a.png\n", encoding="utf-16")
    done = served.batch("--from", "list")
    assert (done.status, "--from: list: it is in UTF-16; save it as UTF-8" in done.err) == (2, True)


def test_what_cannot_be_is_refused_before_anything_is_sent(served: Desk) -> None:
    served.write(**{"a.png": "1"})
    for arguments, text in (
        (["nothing.png"], "there is no file nothing.png"),
        ([], "there is no file to send"),
        (["in", "--wrod", "x"], "the model has no argument --wrod; did you mean --word?"),
        (["in", "--argument", "word"], "--argument is 'word'; the model's file arguments: image, mask"),
        (["in", "--image", "in/a.png"], "--image is what every FILE becomes"),
        (["in", "--concurrency", "0"], "--concurrency"),
    ):
        done = served.batch(*arguments)
        assert (done.status, done.out) == (2, b"")
        assert text in done.err
    assert not served.seen()
    assert "NAME [FILE]... [--ARGUMENT VALUE]..." in served.batch("--help").text


def test_without_a_server_a_batch_says_so(cli: Cli) -> None:
    done = cli("batch", "looker", "x.png")
    assert done.status == 3
    assert "no server is running" in done.err
    assert "modelport serve" in done.err


def test_a_terminal_gets_a_bar(served: Desk) -> None:
    served.write(**{f"{number}.png": "bad" if number == 2 else "1" for number in range(4)})
    status, text = on_terminal(served.cli, "batch", "looker", "in")
    assert status == 1
    assert "batch looker" in text
    assert "2.png: ValueError: this is no picture\n" in text
    assert text.endswith("3 of 4 done, 1 failed: looker-results\n")


def test_results_are_removed_and_come_again_without_another_run(served: Desk) -> None:
    served.write(**{"a.png": "1"})
    served.batch("in")
    (served.cli.folder / "looker-results/a.json").unlink()
    assert served.batch("in").status == 0
    assert served.results() == ["a.json", "a.log"]
    assert served.seen()["a.png"] == 1
    shutil.rmtree(served.cli.folder / "looker-results")
    assert served.batch("in").status == 0
    assert served.seen()["a.png"] == 2
