"""A model that does to its server what it can. Each function is a kind; its name is the argument `kind`.

`good` is what the service is for. Kinds that only go wrong in a model's code, and that the worker survives, may be
called again and again.
"""

# mypy: ignore-errors

import atexit
import builtins
import ctypes
import faulthandler
import gc
import itertools
import json
import logging
import multiprocessing
import os
import pathlib
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from marshmallow import ValidationError, fields

libc = ctypes.CDLL(None)
kept = []


def get_predict_args():
    return {"kind": fields.Str(required=True), "value": fields.Raw(load_default=None, allow_none=True)}


def predict(kind, value):
    return globals()[kind](value)


def good(value):
    return value


def forever(*_):
    while True:
        time.sleep(600)


def scratch():
    return tempfile.gettempdir()


# Copies of itself


def fork_returns(value):
    os.fork()
    return value


def fork_raises(value):
    if os.fork() == 0:
        raise ValueError("in the child")
    return value


def fork_exits(value):
    if os.fork() == 0:
        sys.exit(0)
    return value


def fork_without_python(value):
    libc.fork()
    return value


def fork_in_a_thread(value):
    threads = [threading.Thread(target=lambda: os.fork() or forever()) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return value


def fork_many(value):
    for _ in range(40):
        if os.fork() == 0:
            forever()
    return value


def fork_deep(value):
    if os.fork() == 0:
        for _ in range(20):
            if os.fork():
                break
        forever()
    return value


def daemon(value):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.setsid()
        forever()
    return value


def daemon_without_environment(value):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.execve("/bin/sleep", ["sleep", "987"], {})
    return value


def child_speaks_on_the_line(value):
    copies = [os.dup(each.fileno()) for each in sockets()]
    if libc.fork() == 0:
        for _ in range(50):
            for copy in copies:
                try:
                    os.write(copy, b"\0\0\0\2\0\0\0\0{}")
                except OSError:
                    pass
        forever()
    time.sleep(0.1)
    return value


def child_reads_the_line(value):
    copies = [os.dup(each.fileno()) for each in sockets()]
    if libc.fork() == 0:
        while True:
            for copy in copies:
                try:
                    os.read(copy, 1 << 16)
                except OSError:
                    pass
    os._exit(3)


def child_prints_forever(value):
    if os.fork() == 0:
        while True:
            os.write(1, b"x" * 4096 + b"\n")
    return value


def processes_of_the_library(value):
    kept.append(multiprocessing.get_context("fork").Pool(4))
    kept.append(subprocess.Popen(["sleep", "987"], start_new_session=True))
    return kept[-2].map(abs, [-1]) and value


# Threads


def many_threads(value):
    gate = threading.Event()
    for _ in range(300):
        threading.Thread(target=gate.wait, daemon=True).start()
    return value


def thread_interrupts_later(value):
    import _thread

    threading.Thread(target=lambda: (time.sleep(0.05), _thread.interrupt_main()), daemon=True).start()
    return value


def thread_exits_later(value):
    threading.Thread(target=lambda: (time.sleep(0.05), os._exit(7)), daemon=True).start()
    return value


def thread_prints_forever(value):
    threading.Thread(target=lambda: [print("still here", flush=True) for _ in itertools.count()], daemon=True).start()
    return value


# Descriptors


def sockets():
    return [each for each in gc.get_objects() if isinstance(each, socket.socket) and each.fileno() >= 0]


def close_all(value):
    os.closerange(0, 4096)
    return value


def close_line(value):
    for each in sockets():
        each.close()
    return value


def shut_line_down(value):
    for each in sockets():
        each.shutdown(socket.SHUT_RDWR)
    forever()


def line_to_nowhere(value):
    nowhere = os.open(os.devnull, os.O_RDWR)
    for each in sockets():
        os.dup2(nowhere, each.fileno())
    return value


def line_to_itself(value):
    pair = socket.socketpair()
    for each, other in list(zip(sockets(), pair)):  # noqa: B905 (this is Python 3.8)
        os.dup2(other.fileno(), each.fileno())
    return value


def line_crossed(value):
    first, second = (each.fileno() for each in sockets()[:2])
    spare = os.dup(first)
    os.dup2(second, first)
    os.dup2(spare, second)
    return value


def write_to_all(value):
    for number in range(3, 64):
        try:
            os.write(number, os.urandom(100))
        except OSError:
            pass
    return value


def forge_an_answer(value):
    head = b'{"is":"outcome","id":"1","pid":1,"timings":{},"media_type":"text/html\\r\\nSet-Cookie: a=b"}'
    for each in sockets():
        try:
            each.sendall(struct.pack("!II", len(head), 0) + head)
        except OSError:
            pass
    forever()


def claim_a_gigabyte(value):
    for each in sockets():
        try:
            each.sendall(struct.pack("!II", 1 << 30, 1 << 30) + bytes(100))
        except OSError:
            pass
    forever()


def flood_the_line(value):
    head = b'{"is":"ready"}'
    frame = (struct.pack("!II", len(head), 0) + head) * 1000
    while True:
        for each in sockets():
            try:
                each.sendall(frame)
            except OSError:
                return value


def exhaust_descriptors(value):
    try:
        while True:
            kept.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return value


def close_output(value):
    os.close(1)
    os.close(2)
    sys.stdout.close()
    return value


def broken_streams(value):
    class Broken:
        def write(self, text):
            raise RuntimeError("no")

        def flush(self):
            raise OSError("no")

    sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = Broken()
    return value


# Ends


def exit_by_sys(value):
    sys.exit(value)


def exit_at_once(value):
    os._exit(0)


def abort(value):
    os.abort()


def segmentation_fault(value):
    ctypes.string_at(0)


def kill_itself(value):
    os.kill(os.getpid(), signal.SIGKILL)
    forever()


def stop_itself(value):
    os.kill(os.getpid(), signal.SIGSTOP)
    return value


def kill_group(value):
    os.killpg(0, signal.SIGKILL)
    forever()


def kill_template(value):
    os.kill(os.getppid(), signal.SIGKILL)
    forever()


def end_template(value):
    os.kill(os.getppid(), signal.SIGTERM)
    forever()


def stop_template(value):
    os.kill(os.getppid(), signal.SIGSTOP)
    os._exit(3)


def kill_template_behind_a_daemon(value):
    daemon_without_environment(value)
    time.sleep(0.1)
    os.kill(os.getppid(), signal.SIGKILL)
    forever()


def kill_brothers(value):
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            if entry.read_text().rpartition(")")[2].split()[1] == str(os.getppid()):
                os.kill(int(entry.parent.name), signal.SIGKILL)
        except OSError:
            pass
    forever()


def faulthandler_exits(value):
    faulthandler.dump_traceback_later(0.05, exit=True)
    forever()


def blocking_exit_hook(value):
    atexit.register(forever)
    threading._register_atexit(forever) if hasattr(threading, "_register_atexit") else None
    sys.exit(3)


# Output


def print_forever(value):
    while True:
        print("y" * 1000)


def print_one_long_line(value):
    for _ in range(200):
        sys.stdout.write("z" * 65536)
    return value


def print_control_characters(value):
    print("".join(map(chr, range(256))) + "\x1b]0;PWNED\x07")
    return value


# Answers


def huge_answer(value):
    return "x" * (30 << 20)


def huge_bytes(value):
    return bytes(30 << 20)


def endless_generator(value):
    while True:
        time.sleep(0.001)
        yield b"\0"


def generator_that_fails(value):
    yield b"begin"
    raise RuntimeError("in the middle")


def generator_that_exits(value):
    yield b"begin"
    os._exit(4)


def deep_answer(value):
    answer = []
    for _ in range(100_000):
        answer = [answer]
    return answer


def answer_in_itself(value):
    answer = {}
    answer["self"] = answer
    return answer


def odd_answer(value):
    return {(1, 2): {3}, None: object(), b"\xff": float("nan")}


def answer_that_fails_when_looked_at(value):
    class Answer(dict):
        def items(self):
            raise RuntimeError("no")

        __iter__ = keys = values = items

        def __repr__(self):
            raise SystemExit(5)

    return Answer(a=1)


def file_with_a_name_of_its_own(value):
    path = os.path.join(scratch(), 'a"; filename="b\r\nSet-Cookie: a=b')
    pathlib.Path(path).write_bytes(b"\x89PNG\r\n\x1a\n")
    return open(path, "rb")


def file_that_is_a_pipe(value):
    path = os.path.join(scratch(), "pipe")
    os.mkfifo(path)
    return pathlib.Path(path)


def answer_becomes_a_pipe(value):
    """While the server sends it, or just before."""
    folder = scratch()

    def replace():
        while True:
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                if name.startswith("answer-") and os.path.getsize(path) > 2 << 20:
                    os.mkfifo(path + ".pipe")
                    os.rename(path + ".pipe", path)
                    return

    threading.Thread(target=replace, daemon=True).start()
    return bytes(3 << 20)


def finalizer_blocks(value):
    class Answer(dict):
        __del__ = forever

    return Answer(a=1)


def finalizer_exits(value):
    class Answer(dict):
        def __del__(self):
            os._exit(6)

    return Answer(a=1)


def finalizer_raises(value):
    class Answer(dict):
        def __del__(self):
            raise RuntimeError("no")

    return Answer(a=1)


# Exceptions


class Unpicklable(Exception):
    def __init__(self, *, needed):
        self.lock = threading.Lock()


def raise_unpicklable(value):
    raise Unpicklable(needed=1)


def raise_what_cannot_be_shown(value):
    class Bad(Exception):
        def __str__(self):
            raise RuntimeError("no")

        __repr__ = __str__
        status = reason = property(__str__)

    raise Bad


def raise_base(value):
    class Base(BaseException):
        pass

    raise Base("from below")


def raise_interrupt(value):
    raise KeyboardInterrupt


def raise_stop(value):
    raise StopIteration


def raise_much(value):
    raise ValueError("x\r\n\0" * (1 << 20))


def raise_refusals(value):
    raise ValidationError({f"field {number}": ["No."] * 10 for number in range(100_000)})


def raise_in_a_circle(value):
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def raise_an_odd_class(value):
    raise type("A\r\nSet-Cookie: a=b", (Exception,), {"status": 200, "reason": "\r\nX: y", "text": "t" * 100_000})()


def raise_status(value):
    raise type("HTTPOdd", (Exception,), {"status": 99999, "reason": b"\xff\r\n"})()


def raise_our_own(value):
    from modelport.errors import Unauthorized

    error = Unauthorized("x" * 1000)
    error.kind, error.status, error.fields, error.retry_after_s = "cancelled\r\n", "no", {"a": {1: object()}}, "soon"
    raise error


# Depth, memory and time


def recursion(value):
    return recursion(value)


def recursion_below_python(value):
    sys.setrecursionlimit(1 << 30)
    answer = []
    for _ in range(1 << 20):
        answer = [answer]
    return repr(answer)


def memory(value):
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    while True:
        kept.append(bytearray(64 << 20))


def sleep(value):
    forever()


def hold_the_lock(value):
    """In C, where no signal handler of Python's and no other thread runs."""
    import re

    re.match(r"(a+)+$", "a" * 60 + "b")


def stubborn(value):
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass


def alarm_in_our_code(value):
    def ring(*_):
        raise RuntimeError("rung")

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.001)
    return value


def trace_everything(value):
    def trace(*_):
        raise RuntimeError("traced")

    sys.settrace(trace)
    sys.setprofile(trace)
    return value


# What others use


def replace_json(value):
    json.loads = json.dumps = json.JSONEncoder.encode = json.JSONEncoder.iterencode = lambda *_, **__: 1 / 0
    return value


def replace_os(value):
    os.getpid = lambda: 1
    os.write = os.read = os.fork = os.makedirs = os.stat = os.path.join = os.path.realpath = lambda *_, **__: 1 / 0
    return value


def replace_exit(value):
    os._exit = sys.exit = lambda *_: None
    raise SystemExit


def replace_struct_and_socket(value):
    struct.Struct = struct.pack = struct.unpack = lambda *_: 1 / 0
    socket.socket = socket.socketpair = lambda *_, **__: 1 / 0
    return value


def replace_builtins(value):
    for name in ("len", "isinstance", "str", "dict", "print", "open", "getattr"):
        setattr(builtins, name, lambda *_, **__: 1 / 0)
    return value


def replace_time(value):
    time.perf_counter = time.monotonic = lambda: "noon"
    return value


def replace_ours(value):
    for name, module in list(sys.modules.items()):
        if name.startswith("modelport"):
            for attribute in list(vars(module)):
                if not attribute.startswith("__"):
                    delattr(module, attribute)
    return value


def forget_modules(value):
    sys.modules.clear()
    return value


def forget_garbage(value):
    gc.disable()
    for each in gc.get_objects():
        if type(each) is dict and "plugin" in each and "config" in each:
            each.clear()
    return value


def break_logging(value):
    logging.Logger.handle = logging.Handler.emit = lambda *_: 1 / 0
    logging.getLogger("x").error("y")
    return value


# Files


def fill_scratch(value):
    for number in range(2000):
        pathlib.Path(scratch(), str(number)).write_bytes(b"x")
    pathlib.Path(scratch(), "large").write_bytes(bytes(64 << 20))
    return value


def remove_scratch(value):
    shutil.rmtree(scratch())
    return "x" * (2 << 20)


def deep_scratch(value):
    os.chdir(scratch())
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")
    os.chdir("/")
    return value


def scratch_elsewhere(value):
    shutil.rmtree(scratch())
    os.symlink(value, scratch())
    return "kept"


def unreadable_scratch(value):
    os.makedirs(os.path.join(scratch(), "a", "b"))
    os.chmod(os.path.join(scratch(), "a"), 0)
    os.chmod(scratch(), 0)
    return value


def odd_names_in_scratch(value):
    for name in (b"\xff\xfe", b"\n", b"-rf", b"x" * 255, "é".encode()):
        with open(os.path.join(scratch().encode(), name), "wb"):
            pass
    return value


def working_folder_gone(value):
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)
    return "x" * (2 << 20)


def temporary_folder_gone(value):
    tempfile.tempdir = "/nowhere"
    os.environ["TMPDIR"] = "/nowhere"
    return "x" * (2 << 20)


def mask(value):
    os.umask(0o777)
    return "x" * (2 << 20)


def no_descriptors(value):
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    return "x" * (2 << 20)


def no_file_size(value):
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    return "x" * (2 << 20)


def no_processes(value):
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    return os.fork()
