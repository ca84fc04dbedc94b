"""What a call gives back: its answer or its failure, its log, its progress. One worker serves them all."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from modelport.contract.prediction import InputFile
from modelport.errors import InvalidArguments, ModelFailed, WorkerLost
from tests.executors.conftest import Bench, Seen
from tests.house import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")


# Answers


async def test_the_same_warm_worker_takes_every_call_in_its_main_thread(zoo: Bench) -> None:
    states = [json.loads((await zoo.run("state")).body) for _ in range(3)]
    assert {state["warm"] for state in states} == {1}
    assert [state["calls"] - states[0]["calls"] for state in states] == [0, 1, 2]
    assert (await zoo.run("main_thread")).body == b"true"


async def test_the_worker_runs_in_the_servers_folder_and_environment(zoo: Bench) -> None:
    assert json.loads((await zoo.run("working_directory")).body) == os.getcwd()
    assert json.loads((await zoo.run("environment", value="PATH")).body) == os.environ["PATH"]


async def test_an_answer_just_below_the_limit_goes_through_memory(zoo: Bench) -> None:
    outcome = await zoo.run("large", number=(1 << 20) - 2)
    assert (len(outcome.body), outcome.path) == (1 << 20, None)


async def test_large_arguments_arrive_whole(zoo: Bench) -> None:
    outcome = await zoo.run(value="ä" * (4 << 20))
    assert outcome.path is not None
    assert json.loads(Path(outcome.path).read_text()) == "ä" * (4 << 20)


async def test_text_that_no_utf8_can_say_is_answered(zoo: Bench) -> None:
    outcome = await zoo.run("surrogates")
    assert outcome.error is None
    assert json.loads(outcome.body)["name"].startswith("caf")


async def test_arguments_that_no_utf8_can_say_reach_the_model_or_are_refused_and_the_worker_lives(zoo: Bench) -> None:
    before = (await zoo.run()).worker
    outcome = await zoo.run(value="caf\udce9")
    assert outcome.error is None or isinstance(outcome.error, InvalidArguments)
    assert (await zoo.run()).worker == before


async def test_an_uploaded_file_is_what_deepaas_gives(zoo: Bench, tmp_path: Path) -> None:
    stored = tmp_path / "stored"
    stored.write_text("content")
    upload = InputFile("file", str(stored), "data", "image/png", "../../évil name.png")
    outcome = await zoo.run("file", files=[upload])
    assert json.loads(outcome.body) == ["data", "image/png", "../../évil name.png", "content", str(stored)]
    assert json.loads((await zoo.run("upload_class", files=[upload])).body) == [True, None]


async def test_several_files_of_one_argument_are_a_list(zoo: Bench, tmp_path: Path) -> None:
    files = [InputFile("files", str(tmp_path / name), "files", filename=name) for name in "ab"]
    assert json.loads((await zoo.run("files", files=files)).body) == ["a", "b"]


# Failures


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("raise_picky", "Picky: code 7"),
        ("raise_base", "Strange: from below"),
        ("recurse", "RecursionError: maximum recursion depth exceeded"),
        ("sys_exit", "the model called sys.exit(None)"),
        ("keyboard_interrupt", "KeyboardInterrupt"),
        ("raise_surrogates", "no such file"),
    ],
)
async def test_whatever_predict_raises_is_a_failure_told_and_the_worker_lives(zoo: Bench, mode: str, told: str) -> None:
    before = (await zoo.run()).worker
    outcome = await zoo.run(mode)
    assert type(outcome.error) is ModelFailed
    assert told in outcome.error.message
    assert "\n" not in outcome.error.message
    outcome.error.message.encode()
    assert (await zoo.run()).worker == before


async def test_a_failure_has_its_traceback_as_detail_and_in_its_log(zoo: Bench) -> None:
    outcome = await zoo.run("raise", value="what happened")
    assert outcome.error is not None
    assert outcome.error.message == "ValueError: what happened"
    assert "mode_raise" in outcome.error.detail
    assert b"mode_raise" in outcome.log


async def test_an_answer_that_is_no_json_is_a_failure_that_names_the_place(zoo: Bench) -> None:
    outcome = await zoo.run("loop")
    assert type(outcome.error) is ModelFailed and "the answer is not valid JSON" in outcome.error.message


async def test_a_number_that_json_does_not_have_is_null_and_the_log_says_where(zoo: Bench) -> None:
    outcome = await zoo.run("nan")
    assert outcome.body == b'{"loss": null}'
    assert outcome.log == b"modelport: 1 value of the answer sent as null: answer['loss'] (nan)\n"


@pytest.mark.parametrize("mode", ["os_exit", "suicide", "close_connection"])
async def test_a_worker_that_ends_is_told_and_replaced_by_a_warm_one(zoo: Bench, mode: str) -> None:
    outcome = await asyncio.wait_for(zoo.run(mode, number=signal.SIGKILL if mode == "suicide" else 3), 10)
    assert type(outcome.error) is WorkerLost
    if mode == "os_exit":
        assert "exit status 3" in outcome.error.message
        assert b"last words" in outcome.log
    if mode == "suicide":
        assert "SIGKILL" in outcome.error.message and "memory" in outcome.error.message
        assert b"last words" in outcome.log
    assert json.loads((await zoo.run("state")).body) == {"warm": 1, "calls": 1}


async def test_a_segmentation_fault_is_named(zoo: Bench) -> None:
    outcome = await zoo.run("suicide", number=signal.SIGSEGV)
    assert type(outcome.error) is WorkerLost and "SIGSEGV" in outcome.error.message


# Logs


async def test_a_log_holds_all_that_a_call_printed_however_it_did(zoo: Bench) -> None:
    log = (await zoo.run("print", value="apple")).log.decode()
    assert log.count("apple\n") == 5
    assert "INFO zoo logged apple" in log
    assert "written apple" in log
    assert "from a child apple" in log
    assert "not logged" not in log


async def test_a_log_never_holds_another_calls_lines(zoo: Bench) -> None:
    for number in range(20):
        assert (await zoo.run("unfinished_line", value=f"<{number}>")).log == f"<{number}>".encode()


async def test_what_a_thread_prints_after_its_call_is_nobodys(zoo: Bench, tmp_path: Path) -> None:
    assert b"too late" not in (await zoo.run("print_later", value=str(tmp_path / "now"))).log
    (tmp_path / "now").touch()
    await wait_until(lambda: "too late" in zoo.printed())
    assert (await zoo.run()).log == b""


async def test_only_the_last_64_kib_of_a_log_are_kept(zoo: Bench) -> None:
    log = (await zoo.run("print_much", number=100_000)).log
    assert len(log) == 64 << 10
    assert log.endswith(b"0099998\n0099999\n")
    assert (await zoo.run("unfinished_line", value="x")).log == b"x"


async def test_closed_or_replaced_streams_do_no_harm(zoo: Bench) -> None:
    outcome = await zoo.run("close_streams")
    assert outcome.body == b'"quiet"', outcome
    assert (await zoo.run(value=2)).body == b"2"
    assert (await zoo.run("replace_streams")).error is None
    assert type((await zoo.run("raise", value="still told")).error) is ModelFailed
    assert (await zoo.run(value=2)).body == b"2"
    await zoo.run("os_exit")  # a worker with streams for the tests that follow


async def test_what_is_printed_is_handed_on_with_the_process_that_did(zoo: Bench) -> None:
    outcome = await zoo.run("unfinished_line", value="for the listener")
    assert (outcome.worker, b"for the listener") in zoo.output


# More


async def test_progress_is_told_while_the_call_runs(zoo: Bench) -> None:
    seen = Seen()
    outcome = await zoo.run("progress", watcher=seen)
    assert outcome.error is None
    assert seen.told == [(0.25, "step 0.25"), (0.5, "step 0.5"), (1.0, "step 1")]


async def test_progress_that_nobody_wants_or_that_is_no_number_does_no_harm(zoo: Bench) -> None:
    assert (await zoo.run("progress")).error is None
    before = (await zoo.run()).worker
    seen = Seen()
    assert (await zoo.run("odd_progress", watcher=seen)).error is None
    assert [fraction for fraction, _ in seen.told] == [0.0, 1.0, 0.0]
    assert (await zoo.run()).worker == before


async def test_progress_of_which_the_fraction_is_not_known_is_told(zoo: Bench) -> None:
    seen = Seen()
    await zoo.run("unknown_progress", watcher=seen)
    assert seen.told == [(None, "loading"), (None, "")]


async def test_many_reports_cost_little_and_the_last_is_told_before_the_outcome(zoo: Bench) -> None:
    seen = Seen()
    outcome = await zoo.run("much_progress", number=200_000, watcher=seen)
    took_s = float(outcome.body)
    assert seen.told[-1] == (1.0, "step 200000")
    assert 10 < len(seen.told) < 100 + 50 * took_s
    assert [fraction for fraction, _ in seen.told] == sorted(fraction or 0.0 for fraction, _ in seen.told)


async def test_the_last_report_is_told_in_time_though_the_call_says_no_more(zoo: Bench, tmp_path: Path) -> None:
    seen = Seen()
    call = zoo.start("progress_and_wait", number=10_000, path=str(tmp_path / "gate"), watcher=seen)
    await wait_until(lambda: seen.told and seen.told[-1] == (1.0, "step 10000"))
    assert not call.done()
    (tmp_path / "gate").touch()
    await call
    assert len(seen.told) < 200


async def test_progress_is_told_from_any_thread_and_none_of_ours_stays(zoo: Bench) -> None:
    before = json.loads((await zoo.run("progress_in_threads", number=0)).body)
    seen = Seen()
    outcome = await zoo.run("progress_in_threads", number=20, watcher=seen)
    assert any(message.startswith("thread ") for _, message in seen.told)
    assert seen.told[-1] == (1.0, "joined")
    assert json.loads(outcome.body) <= before + 1


async def test_forked_processes_of_a_call_report_to_nobody(zoo: Bench) -> None:
    seen = Seen()
    outcome = await zoo.run("progress_in_processes", number=10, watcher=seen)
    assert outcome.error is None
    assert seen.told == [(1.0, "joined")]


async def test_what_a_thread_reports_between_calls_is_nobodys(zoo: Bench, tmp_path: Path) -> None:
    seen = Seen()
    outcome = await zoo.run("progress_later", path=str(tmp_path / "gate"), watcher=seen)
    heard = len(seen.told)
    for _ in range(20):
        assert (await zoo.run()).worker == outcome.worker
    assert len(seen.told) == heard
    (tmp_path / "gate").touch()


async def test_what_is_printed_is_heard_while_the_call_runs(zoo: Bench, tmp_path: Path) -> None:
    seen, gate = Seen(), tmp_path / "gate"
    call = zoo.start("print_and_wait", value="half way", path=str(gate), watcher=seen)
    await wait_until(lambda: seen.text == "half way")
    assert not call.done()
    gate.touch()
    outcome = await call
    assert seen.text == "half way, and then the end"
    assert outcome.log.decode() == seen.text


async def test_what_arrives_with_the_outcome_is_heard_before_it(zoo: Bench) -> None:
    for number in range(50):
        seen = Seen()
        await zoo.run("unfinished_line", value=f"<{number}>", watcher=seen)
        assert seen.text == f"<{number}>"


async def test_a_watcher_hears_more_than_the_log_keeps(zoo: Bench) -> None:
    seen = Seen()
    outcome = await zoo.run("print_much", number=100_000, watcher=seen)
    assert seen.text == "".join(f"{line:07}\n" for line in range(100_000))
    assert seen.text.encode().endswith(outcome.log)


async def test_a_watcher_hears_nothing_of_other_calls(zoo: Bench, tmp_path: Path) -> None:
    seen, later = Seen(), Seen()
    printed = zoo.printed().count("too late")
    await zoo.run("print_later", value=str(tmp_path / "now"), watcher=seen)
    (tmp_path / "now").touch()
    await wait_until(lambda: zoo.printed().count("too late") > printed)
    await zoo.run("unfinished_line", value="x", watcher=later)
    await zoo.run("unfinished_line", value="y")
    assert (seen.text, later.text) == ("", "x")


async def test_the_last_words_of_a_lost_worker_are_heard(zoo: Bench) -> None:
    seen = Seen()
    assert type((await zoo.run("os_exit", number=3, watcher=seen)).error) is WorkerLost
    assert seen.text == "last words\n"


async def test_a_cancelled_call_is_heard_to_its_end_and_no_longer(zoo: Bench, tmp_path: Path) -> None:
    seen = Seen()
    call = zoo.start("print_and_wait", value="begun", path=str(tmp_path / "never"), watcher=seen)
    await wait_until(lambda: seen.text == "begun")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await zoo.run("unfinished_line", value="x")
    assert seen.text == "begun"


async def test_predict_may_use_processes_of_its_own(zoo: Bench) -> None:
    assert json.loads((await zoo.run("pool", number=4)).body) == [4, 3, 2, 1]


async def test_only_to_validate_runs_nothing(zoo: Bench) -> None:
    outcome = await zoo.run("os_exit", number="7", only_validate=True)
    assert json.loads(outcome.body) == {"mode": "os_exit", "value": None, "number": 7, "path": ""}
    outcome = await zoo.run("os_exit", number="seven", only_validate=True)
    assert isinstance(outcome.error, InvalidArguments)
