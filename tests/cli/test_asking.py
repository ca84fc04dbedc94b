"""predict, train, describe: here and on a server."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.cli.conftest import MODELPORT, PLUGIN, Both, Cli
from tests.forked import Forked
from tests.house import PATIENCE_S, descendants, wait_until_now

pytestmark = pytest.mark.slow

# Command lines, and what of the answer they decide.
PICTURE = ["a picture.png", "image/png", 1000]
ARGUMENTS = [
    ([], {"word": "hello", "count": 1, "loud": False}),
    (
        ["--count", "2", "--loud", "--word=--count=3", "--numbers", "[1, 2.5]", "--table", "{'a': [1]}"],
        {"count": 2, "loud": True, "word": "--count=3", "numbers": [1.0, 2.5], "table": {"a": [1]}},
    ),
    (
        ["--no-loud", "--numbers", "1", "--image", "a picture.png", "--numbers", "-2", "--", "--timeout", "7"],
        {"loud": False, "numbers": [1.0, -2.0], "image": PICTURE, "timeout": 7},
    ),
    (
        ["--more-files", "everything.py", "--more_files", "a picture.png"],
        {"more_files": [["everything.py", "text/x-python", len(PLUGIN)], PICTURE]},
    ),
]


@pytest.mark.parametrize(("arguments", "expected"), ARGUMENTS, ids=lambda each: " ".join(each) or "none")
def test_a_prediction_is_the_same_here_and_on_a_server(
    both: Both, arguments: list[str], expected: dict[str, object]
) -> None:
    local, remote = both.ask("predict", *arguments)
    assert (local.status, remote.status) == (0, 0), local.err + remote.err
    assert expected.items() <= local.json().items()
    assert local.text == remote.text


def test_what_the_model_prints_goes_to_stderr(both: Both) -> None:
    done = both.local("predict")
    assert done.err == "working on echo\n"
    assert done.json()["word"] == "hello"


FAILURES = [
    (["--count", "10"], 2, "error: count: Must be greater than or equal to 1 and less than or equal to 9."),
    (["--mode", "refuse"], 2, "error: word: I do not like it."),
    (["--imgae", "x"], 2, "error: the model has no argument --imgae; did you mean --image?"),
    (["--accept", "image/tiff"], 2, "error: accept: Must be one of: application/json, image/png, text/plain."),
    (["--mode", "fail"], 1, "error: ValueError: I cannot"),
    (["--mode", "die"], 1, "error: the worker process ended during the call: exit status 3"),
    (["--mode", "sleep", "--timeout", "0.5"], 4, "0.5 s"),
]


@pytest.mark.parametrize(("arguments", "status", "line"), FAILURES, ids=[" ".join(failure[0]) for failure in FAILURES])
def test_a_failure_has_a_line_and_an_exit_status_here_and_on_a_server(
    both: Both, arguments: list[str], status: int, line: str
) -> None:
    for done in both.ask("predict", *arguments):
        assert (done.status, done.out) == (status, b""), done.err
        assert line in done.err
        assert "Traceback" not in done.err


def test_an_option_of_ours_hides_the_models_argument_of_that_name(both: Both) -> None:
    done = both.local("predict", "--timeout", "20")
    assert done.json()["timeout"] == 0
    assert done.err.startswith("note: --timeout is modelport's own; the model's argument goes after --\n")


def test_errors_can_be_had_as_json(both: Both) -> None:
    done = both.local("predict", "--json", "--count", "0")
    error = json.loads(done.err.splitlines()[-1])
    assert error["error"] == "invalid_arguments"
    assert list(error["fields"]) == ["count"]
    done = both.local("predict", "--json", "-o", "no/such/folder/x.json")
    assert json.loads(done.err.splitlines()[-1])["error"] == "os_error"


def test_debug_shows_the_traceback(both: Both) -> None:
    done = both.local("predict", "--mode", "fail", "--debug")
    assert done.status == 1
    assert 'raise ValueError("I cannot")' in done.err


def test_what_is_not_there_has_a_status_of_its_own(both: Both) -> None:
    url = both.server.url
    for arguments, text in (
        (["predict", "no_such_module"], "there is no module 'no_such_module'"),
        (["predict", "other", "--url", url], "the server has no model other; it has everything"),
        (["predict", "--url", "http://127.0.0.1:1"], "http://127.0.0.1:1 cannot be reached: Connection refused"),
        (
            ["predict", "--url", f"{url}/elsewhere"],
            "/elsewhere answers 404 to /swagger.json: it is no",
        ),
    ):
        done = both.cli(*arguments)
        assert done.status == 3, done.err
        assert text in done.err


def test_a_module_that_cannot_be_loaded_fails(cli: Cli) -> None:
    broken = cli.write("broken.py", "import json\nraise RuntimeError('no weights here')\n")
    done = cli("predict", broken)
    assert done.status == 1
    assert "no weights here" in done.err
    assert "Traceback" not in done.err


def test_an_output_file_chooses_the_media_type(both: Both, tmp_path: Path) -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2
    for number, ask in enumerate(both.ways()):
        image = tmp_path / f"{number}.png"
        done = ask("predict", "--count", "2", "-o", str(image))
        assert (done.status, done.out, image.read_bytes()) == (0, b"", png), done.err
    document = tmp_path / "answer.json"
    both.remote("predict", "-o", str(document))
    assert json.loads(document.read_text())["word"] == "hello"
    assert both.local("predict", "--accept", "text/plain", "--word", "ä").text == "plain ä"
    assert len(list(tmp_path.iterdir())) == 3, "nothing but the answers"


def test_a_failed_prediction_leaves_the_output_file_alone(both: Both, tmp_path: Path) -> None:
    file = tmp_path / "answer.json"
    file.write_text("yesterday's")
    assert both.local("predict", "--mode", "fail", "-o", str(file)).status == 1
    assert file.read_text() == "yesterday's"


def test_the_model_may_be_named_by_its_url(both: Both) -> None:
    url = both.server.url.removeprefix("http://") + "/v2/models/everything/"
    assert both.cli("predict", "--url", url, "--word", "x").json()["word"] == "x"


def test_help_is_the_models_own(both: Both) -> None:
    for done in both.ask("predict", "--help"):
        assert done.status == 0
        assert "  --word WORD\n          what to say\n          Type: str\n          Default: hello\n" in done.text
    assert "-o, --output FILE" in both.cli("predict", "--help").text


def test_a_training_reports_progress_and_its_result(both: Both) -> None:
    for done in both.ask("train", "--steps", "4"):
        assert (done.status, done.json()) == (0, {"steps": 4, "loss": 0.1}), done.err
        if done.err.count("train everything: ") > 1:  # a server is asked now and then; here every step is seen
            steps = done.err
    assert "train everything: 75% step 3\ntrain everything: 100% done\n" in steps


def test_a_failed_training_fails(both: Both) -> None:
    for done in both.ask("train", "--fail"):
        assert (done.status, done.out) == (1, b"")
        assert "no convergence" in done.err


def test_describe_shows_the_card(both: Both) -> None:
    for done in both.ask("describe"):
        assert done.text.startswith("everything 1.2\n  Answers with what it got\n")
        assert "  --count       integer; at least 1, at most 9; default 1\n" in done.text
        assert "application/json (default), image/png, text/plain" in done.text
    card = both.local("describe", "--json").json()
    assert [each["name"] for each in card["train_args"]] == ["steps", "fail", "sleep"]


def test_ctrl_c_ends_a_prediction_and_everything_it_started(both: Both) -> None:
    with both.cli.running("predict", both.module, "--mode", "sleep") as running:
        running.wait_line("working on sleep", err=True)
        assert len(descendants(running.process.pid)) >= 2
        assert running.end(signal.SIGINT) == 130
    assert running.err[-1] == "error: interrupted\n"
    assert len(list(both.cli.home.glob("run/*"))) == 1, "only the server's"


def test_ctrl_c_cancels_a_training_on_the_server(both: Both) -> None:
    with both.cli.running("train", "--url", both.server.url, "--sleep", "--steps", "1") as running:
        running.wait_line("step 0", err=True)
        assert running.end(signal.SIGINT) == 130
    done = subprocess.run(
        ["curl", "-s", f"{both.server.url}/v2/models/everything/train/"], capture_output=True, check=True
    )
    assert not [load for load in json.loads(done.stdout) if load["status"] == "running"]


def test_sigterm_ends_a_training_and_everything_it_started(both: Both) -> None:
    with both.cli.running("train", both.module, "--sleep", "--steps", "1") as running:
        running.wait_line("step 0", err=True)
        assert len(descendants(running.process.pid)) >= 2
        assert running.end(signal.SIGTERM) == 143


# On a terminal


def on_terminal(cli: Cli, *arguments: str, end_at: str = "") -> tuple[int, str]:
    """The exit status, and what a person would see of stdout and stderr. end_at: press Ctrl-C when this is seen."""
    ours, theirs = pty.openpty()
    process = Forked(
        [MODELPORT, *arguments], cwd=cli.folder, env=cli.environ, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen: list[bytes] = []

    def read() -> None:
        try:
            while chunk := os.read(ours, 1 << 16):
                seen.append(chunk)
        except OSError:
            pass  # the other end is closed

    reader = threading.Thread(target=read)
    reader.start()
    if end_at:
        wait_until_now(lambda: end_at.encode() in b"".join(seen) or process.poll() is not None)
        process.send_signal(signal.SIGINT)
    status = process.wait(PATIENCE_S)
    reader.join(PATIENCE_S)
    os.close(ours)
    return status, b"".join(seen).decode().replace("\r\n", "\n")


def test_a_terminal_gets_indented_json_and_no_bytes(both: Both) -> None:
    status, text = on_terminal(both.cli, "predict", both.module, "--numbers", "[1]")
    assert status == 0
    assert '\n  "numbers": [\n    1.0\n  ],\n' in text
    status, text = on_terminal(both.cli, "predict", both.module, "--accept", "image/png")
    assert status == 2
    assert "name a file with -o FILE" in text


def test_a_terminal_gets_a_progress_bar(both: Both) -> None:
    status, text = on_terminal(both.cli, "train", both.module, "--steps", "2")
    assert status == 0
    assert "━" in text
    assert text.rstrip().endswith('"loss": 0.1\n}')
