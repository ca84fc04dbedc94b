"""What a model says on the worker's own connection, itself or by a copy of itself: nobody gets another's answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from modelport.contract.prediction import Call, Outcome
from modelport.errors import LoadFailed, ModelFailed, WorkerLost
from tests.executors.conftest import Bench, Seen, open_bench
from tests.house import stat, wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SPEAKING = """
import ctypes, gc, json, os, socket, struct, sys, threading, time
from marshmallow import fields
libc = ctypes.CDLL(None)
def get_predict_args():
    return {"script": fields.Str(load_default=""), "value": fields.Raw(load_default=None)}
def sockets(kind):
    return [each for each in gc.get_objects() if isinstance(each, socket.socket) and each.fileno() >= 0
            and each.type == kind]
def connection():
    return sockets(socket.SOCK_STREAM)[0]
def calls():
    return sockets(socket.SOCK_SEQPACKET)[0]
def call_id():
    frame = sys._getframe()
    while "call" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["call"].id
def frame(head, body=b"", length=None):
    head = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("!II", len(head) if length is None else length, len(body)) + head + body
def outcome(**more):
    return {"is": "outcome", "id": call_id(), "pid": os.getpid(), "timings": {}, **more}
def later(data):
    sending, end = connection(), time.monotonic() + 0.05
    threading.Thread(target=lambda: (time.sleep(0.05), sending.sendall(data)), daemon=True).start()
def predict(script, value):
    found = {}
    exec(script, globals(), found)
    return found.get("value", value)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def speaking(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    folder = tmp_path_factory.mktemp("speaking")
    async with open_bench(folder, "fork", SPEAKING, inline_limit_bytes=1 << 16) as opened:
        yield opened


async def run(bench: Bench, script: str = "", value: object = None) -> Outcome:
    number = next(bench.numbers)
    call = Call(
        f"call-{number}",
        arguments={"script": script, "value": value},
        scratch=str(bench.folder / f"scratch-{number}"),
        timeout_s=20,
    )
    return await bench.executor.run(call)


async def check_others(bench: Bench, number: int = 8) -> None:
    """Every other call is answered with its own answer, or told that its worker is lost; soon all are answered."""
    lost = 0
    for value in range(number):
        outcome = await run(bench, value=value)
        if outcome.error is None:
            assert outcome.body == str(value).encode()
        else:
            assert type(outcome.error) is WorkerLost
            lost += 1
    assert lost <= 1


# Copies

COPIES = {
    "returns": "value = 'parent' if os.fork() else 'child'",
    "raises": "if os.fork() == 0: raise ValueError('child')\nvalue = 'parent'",
    "exits": "if os.fork() == 0: sys.exit(3)\nvalue = 'parent'",
    "raises a base": "if os.fork() == 0: raise KeyboardInterrupt\nvalue = 'parent'",
    "returns much": "value = 'parent' if os.fork() else 'x' * (1 << 20)",
    "without Python's knowing": "value = 'parent' if libc.fork() else 'child'",
    "reports": "import modelport\nvalue = 'parent' if libc.fork() else modelport.progress(0.5, 'child') or 'child'",
    "many": "value = [os.fork() for _ in range(4)] and 'parent' if os.getpid() == PID else 'child'",
}


@pytest.mark.parametrize("copy", COPIES)
async def test_a_forked_copy_of_the_worker_never_speaks(speaking: Bench, copy: str) -> None:
    worker = (await run(speaking)).worker
    for _ in range(3):
        outcome = await run(speaking, COPIES[copy].replace("PID", str(worker)))
        assert (outcome.error, outcome.body, outcome.worker) == (None, b'"parent"', worker)
        for value in range(4):
            assert (await run(speaking, value=value)).body == str(value).encode()
    assert (await run(speaking)).worker == worker


async def test_a_copy_of_the_worker_has_no_connection(speaking: Bench) -> None:
    script = "value = 'parent' if os.fork() else connection().sendall(frame(outcome(), b'1'))"
    assert (await run(speaking, script)).body == b'"parent"'
    await check_others(speaking)


async def test_the_copy_that_warm_or_the_import_has_forked_ends(tmp_path: Path, start_method: str) -> None:
    for when in ("os.fork()\n", "def warm(): os.fork()\n", "def get_metadata(): os.fork(); return {}\n"):
        source = "import os\n" + when + "def predict(**k): return 1\n"
        async with open_bench(tmp_path, start_method, source) as opened:
            assert [(await opened.run()).body for _ in range(4)] == [b"1"] * 4
            assert opened.executor.counts().restarts == 0


# Forged frames

SAID = {
    "noise": "connection().sendall(os.urandom(3000))",
    "zeros": "connection().sendall(bytes(64))",
    "no JSON": "connection().sendall(frame(b'{'))",
    "nothing known": "connection().sendall(frame({'is': 'something'}))",
    "no object": "connection().sendall(frame([1, 2]))",
    "deep": "connection().sendall(frame(b'[' * 40000))",
    "too long": "connection().sendall(frame(b'{}', length=1 << 24))",
    "endless": "connection().sendall(frame(b'{}', length=(1 << 32) - 1) + bytes(1 << 16))",
    "another call's": "connection().sendall(frame(outcome(id='call-1'), b'1'))",
    "another process'": "connection().sendall(frame(outcome(pid=1), b'1'))",
    "two answers": "connection().sendall(2 * frame(outcome(), b'\"forged\"'))",
    "an answer, and then its own": "connection().sendall(frame(outcome(), b'\"forged\"')); time.sleep(0.1)",
    "later": "later(frame(outcome(), b'1'))",
    "later, of another": "later(frame(outcome(id='call-999'), b'1'))",
    "half a frame": "later(frame(outcome(), b'1')[:20])",
    "it starts": "connection().sendall(frame({'is': 'ready'}))",
    "it fails to start": "connection().sendall(frame({'is': 'failed', 'error': {'kind': 'x', 'message': 'y'}}))",
    "a header in a type": "connection().sendall(frame(outcome(media_type='text/html\\r\\nX-Forged: 1'), b'1'))",
    "a line in a type": "connection().sendall(frame(outcome(media_type='text/html\\n'), b'1'))",
    "a long type": "connection().sendall(frame(outcome(media_type='text/' + 'x' * 5000), b'1'))",
    "a header in a name": "connection().sendall(frame(outcome(filename='a\\r\\nX-Forged: 1'), b'1'))",
    "a header in a timing": "connection().sendall(frame(outcome(timings={'a\\r\\nX-Forged: 1': 1}), b'1'))",
    "a time of no kind": "connection().sendall(frame(outcome(timings={'predict': -1}), b'1'))",
    "a foreign file": "connection().sendall(frame(outcome(file='../../../etc/passwd'), b''))",
    "an absolute file": "connection().sendall(frame(outcome(file='/etc/passwd'), b''))",
    "a file that is none": "connection().sendall(frame(outcome(file='none'), b''))",
    "more blobs than bytes": "connection().sendall(frame(outcome(blobs=[1 << 40, 1]), b'1'))",
    "negative blobs": "connection().sendall(frame(outcome(blobs=[-1, 2]), b'1'))",
    "a status of its own": "connection().sendall(frame(outcome(error={'kind': 'x', 'message': '', 'status': 200})))",
    "a status that is none": "connection().sendall(frame(outcome(error={'kind': 'x', 'message': '', 'status': 'a'})))",
    "fields that are none": "connection().sendall(frame(outcome(error={'kind': 'x', 'message': 'y', 'fields': [1]})))",
    "much progress": (
        "data = frame({'is': 'progress', 'id': call_id(), 'fraction': 0.5, 'message': ''})\n"
        "for _ in range(2000): connection().sendall(data)"
    ),
    "progress of no kind": (
        "connection().sendall(frame({'is': 'progress', 'id': call_id(), 'fraction': 7, 'message': ''}))"
    ),
    "a long message": (
        "connection().sendall(frame({'is': 'progress', 'id': call_id(), 'fraction': 0, 'message': 'x' * 5000}))"
    ),
}


@pytest.mark.parametrize("what", SAID)
async def test_what_is_not_the_awaited_answer_ends_the_worker_and_reaches_nobody_else(
    speaking: Bench, what: str
) -> None:
    worker = (await run(speaking)).worker
    outcome = await run(speaking, f"{SAID[what]}\nvalue = 'own'")
    if outcome.error is None:
        assert outcome.body in (b'"own"', b'"forged"')
    else:
        assert type(outcome.error) is WorkerLost
        assert "protocol" in outcome.error.message
    await wait_until(lambda: not stat(worker) or what == "half a frame")
    await check_others(speaking)


SHUT = {
    "calls for reading": "calls().shutdown(socket.SHUT_RD)",
    "calls": "calls().shutdown(socket.SHUT_RDWR)",
    "calls for good": "calls().close()",
    "answers": "connection().shutdown(socket.SHUT_RDWR)",
    "answers for reading": "connection().shutdown(socket.SHUT_RD)",
    "answers for good": "connection().close()",
    "both": "calls().shutdown(socket.SHUT_RDWR); connection().shutdown(socket.SHUT_RDWR)",
    "the next calls": "calls().setblocking(False)\ntry:\n  while calls().recv(1 << 16): pass\nexcept OSError: pass",
}


@pytest.mark.parametrize("what", SHUT)
async def test_a_model_that_shuts_the_line_harms_no_other_service_nor_the_next_calls(
    speaking: Bench, tmp_path: Path, what: str
) -> None:
    """Calls stand behind it that it has not read, and some have a time limit."""
    async with open_bench(tmp_path, "fork", SPEAKING) as other:
        hostile = asyncio.create_task(run(speaking, f"time.sleep(0.05)\n{SHUT[what]}\ntime.sleep(0.2)"))
        behind = [asyncio.create_task(run(speaking, value=value)) for value in range(6)]
        for value in range(20):
            assert (await run(other, value=value)).body == str(value).encode()
        assert (await hostile).error is None or type((await hostile).error) is WorkerLost
        for value, task in enumerate(behind):
            outcome = await task
            if outcome.error is None:
                assert outcome.body == str(value).encode()
            else:
                assert type(outcome.error) is WorkerLost
    await check_others(speaking)


async def test_a_file_that_is_no_file_is_not_sent(speaking: Bench, tmp_path: Path) -> None:
    for make in ("os.symlink('/etc/passwd', path)", "os.mkfifo(path)", "os.mkdir(path)"):
        scratch = "os.makedirs(folder, exist_ok=True); path = folder + '/answer'"
        folder = f"folder = {str(speaking.folder / 'scratch-')!r} + str(int(call_id().rpartition('-')[2]))"
        script = f"{folder}; {scratch}; {make}; connection().sendall(frame(outcome(file='answer'), b''))"
        outcome = await run(speaking, script)
        assert type(outcome.error) is WorkerLost, make
    await check_others(speaking)


# Limits of what an honest model says


async def test_a_long_message_and_its_traceback_are_cut_and_the_worker_lives(tmp_path: Path) -> None:
    async with open_bench(tmp_path, "fork", message_limit_bytes=4096) as opened:
        worker = (await opened.run()).worker
        for text in ("x" * 100_000, "\0" * 100_000, "ä" * 100_000, "\U0001f642" * 100_000, '"\\' * 100_000):
            outcome = await opened.run("raise", value=text)
            assert type(outcome.error) is ModelFailed
            assert outcome.error.message.startswith("ValueError: " + text[0]) or text[0] == "\0"
            assert outcome.error.message.endswith("…")
            assert len(json.dumps(outcome.error.to_plain(), ensure_ascii=False).encode()) <= 4096
            assert outcome.error.detail.startswith("…")
        assert (await opened.run()).worker == worker


async def test_fields_of_a_refusal_are_limited_and_the_first_are_kept(tmp_path: Path) -> None:
    source = """
from marshmallow import ValidationError
def predict(**k): raise ValidationError({f"argument {number}": ["Not valid."] for number in range(10_000)})
"""
    async with open_bench(tmp_path, "fork", source, message_limit_bytes=4096) as opened:
        outcome = await opened.run()
    assert outcome.error is not None and outcome.error.kind == "invalid_arguments"
    assert 5 < len(outcome.error.fields) < 100 and "argument 0" in outcome.error.fields


async def test_arguments_as_they_were_understood_are_an_answer_of_any_length(speaking: Bench) -> None:
    call = Call(
        "validate",
        arguments={"value": "x" * (1 << 20)},
        scratch=str(speaking.folder / "validated"),
        only_validate=True,
    )
    outcome = await speaking.executor.run(call)
    assert outcome.error is None and outcome.path is not None
    assert len(json.loads(Path(outcome.path).read_text())["value"]) == 1 << 20


async def test_the_text_of_a_large_value_is_left_out_and_the_answer_whole(speaking: Bench) -> None:
    call = Call("text", arguments={"value": "x" * (1 << 20)}, scratch=str(speaking.folder / "text"), text=True)
    outcome = await speaking.executor.run(call)
    assert outcome.error is None and outcome.text is None and outcome.path is not None


# Exceptions that fail when they are looked at.
MESSAGES = "class ValidationError(Exception):\n    messages = {}\nBad = ValidationError"
UNSPEAKABLE = {
    "text": "class Bad(Exception):\n    def __str__(self): raise RuntimeError('no')",
    "text that exits": "class Bad(Exception):\n    def __str__(self): raise SystemExit(3)",
    "no text": "class Bad(Exception):\n    def __str__(self): return None",
    "attributes": "class Bad(Exception):\n    status = property(lambda self: 1 / 0)",
    "messages": MESSAGES.format("property(lambda self: 1 / 0)"),
    "odd messages": MESSAGES.format("{(1, 2): {3}, 'a': object()}"),
    "recursion": "class Bad(Exception):\n    def __repr__(self): return repr(self)\n    __str__ = __repr__",
    "an error of ours": (
        "import modelport.errors\nclass Bad(modelport.errors.ModelportError):\n"
        "    def __init__(self): self.message = self.fields = self.detail = object(); self.kind = 3\n"
        "    status = 'x'; retry_after_s = float('nan')"
    ),
}


@pytest.mark.parametrize("kind", UNSPEAKABLE)
async def test_an_exception_that_cannot_be_shown_is_a_failure_and_the_worker_lives(speaking: Bench, kind: str) -> None:
    worker = (await run(speaking)).worker
    outcome = await run(speaking, UNSPEAKABLE[kind] + "\nraise Bad()")
    assert outcome.error is not None and not isinstance(outcome.error, WorkerLost)
    assert (await run(speaking)).worker == worker


# The template's own connection

TOLD_AT_IMPORT = {
    "noise": "os.urandom(100)",
    "length": "struct.pack('!II', 1 << 31, 0)",
    "a card of no kind": "frame({'is': 'card', 'card': {'name': 3}, 'start_method': 'fork', 'reason': ''})",
    "a worker": "frame({'is': 'started', 'id': 7, 'pid': 1})",
    "an end": "frame({'is': 'exited', 'pid': 1, 'status': 1 << 40})",
}


@pytest.mark.parametrize("told", TOLD_AT_IMPORT)
async def test_what_a_plugin_says_while_it_is_imported_is_a_failure_to_load(tmp_path: Path, told: str) -> None:
    source = SPEAKING + f"connection().sendall({TOLD_AT_IMPORT[told]})\ntime.sleep(600)\n"
    with pytest.raises(LoadFailed, match="cannot be understood"):
        async with open_bench(tmp_path, "fork", source):
            pass


async def test_progress_is_still_told(speaking: Bench) -> None:
    seen = Seen()
    call = Call("progress", arguments={"script": "import modelport\nmodelport.progress(0.5, 'half')"})
    await speaking.executor.run(call, seen)
    assert seen.told == [(0.5, "half")]
    assert len(speaking.workers()) == 1
