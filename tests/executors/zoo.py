"""A plugin of many modes, for the executor's tests. Python 3.8, needs marshmallow only."""

# mypy: ignore-errors

import logging
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time

from marshmallow import fields

state = {"warm": 0, "calls": 0}


def warm():
    state["warm"] += 1


def get_metadata():
    return {"summary": "modes"}


def get_predict_args():
    return {
        "mode": fields.Str(load_default="echo"),
        "value": fields.Raw(load_default=None, allow_none=True),
        "number": fields.Int(load_default=0),
        "path": fields.Str(load_default=""),
        "file": fields.Raw(metadata={"type": "file", "location": "form"}),
        "files": fields.List(fields.Raw(), metadata={"type": "file", "location": "form"}),
    }


def get_train_args():
    return {
        "mode": fields.Str(load_default="echo"),
        "value": fields.Raw(),
        "number": fields.Int(load_default=0),
        "path": fields.Str(load_default=""),
    }


def predict(mode, **arguments):
    state["calls"] += 1
    return globals()["mode_" + mode](**arguments)


def train(mode, **arguments):
    return globals()["mode_" + mode](**arguments)


def mode_echo(value=None, **_):
    return value


def mode_state(**_):
    return dict(state)


def mode_pid(**_):
    return [os.getpid(), os.getppid()]


def mode_main_thread(**_):
    return threading.current_thread() is threading.main_thread()


def mode_environment(value, **_):
    return os.environ.get(value)


def mode_working_directory(**_):
    return os.getcwd()


# What it prints


def mode_print(value, **_):
    print(value)
    print(value, file=sys.stderr)
    logging.getLogger("zoo").info("logged %s", value)
    logging.getLogger("zoo").debug("not logged %s", value)
    os.write(1, f"written {value}\n".encode())
    subprocess.run(["sh", "-c", "echo from a child " + value], check=True)


def mode_unfinished_line(value, **_):
    sys.stdout.write(value)


def mode_print_and_wait(value, path, **_):
    """Half of a line, and the rest when the file `path` is there."""
    sys.stdout.write(value)
    sys.stdout.flush()
    while not os.path.exists(path):
        time.sleep(0.01)
    sys.stdout.write(", and then the end")


def mode_print_much(number, **_):
    for line in range(number):
        print(f"{line:07}")


def mode_close_streams(**_):
    sys.stdout.close()
    sys.stderr.close()
    os.close(1)
    return "quiet"


def mode_replace_streams(**_):
    sys.stdout = sys.stderr = None


def mode_print_later(value, **_):
    """A thread that goes on after the call. value: a file; it prints when that is there."""

    def wait():
        while not os.path.exists(value):
            time.sleep(0.01)
        print("too late")

    threading.Thread(target=wait, daemon=True).start()


def mode_progress(**_):
    import modelport

    for fraction in (0.25, 0.5, 1.0):
        modelport.progress(fraction, f"step {fraction:g}")


# How it answers


def mode_large(number, **_):
    return "x" * number


def mode_large_bytes(number, **_):
    return b"\0" * number


def mode_surrogates(**_):
    return {"name": os.fsdecode(b"caf\xe9")}


def mode_set(**_):
    return {3, 1, 2}


def mode_nan(**_):
    return {"loss": float("nan")}


def mode_loop(**_):
    loop = []
    loop.append(loop)
    return loop


def mode_open_file(**_):
    return open(__file__, "rb")


def mode_file(file, **_):
    with open(file.filename, "rb") as opened:
        content = opened.read().decode()
    return [file.name, file.content_type, file.original_filename, content, file.filename]


def mode_files(files, **_):
    return [file.original_filename for file in files]


def mode_upload_class(file, **_):
    from deepaas.model.v2.wrapper import UploadedFile

    return [isinstance(file, UploadedFile), UploadedFile("n").filename]


# How it fails


class Picky(Exception):
    """Cannot be unpickled: deepaas never answers then."""

    def __init__(self, code, *, hint):
        super().__init__(f"code {code}")
        self.hint = hint


def mode_raise(value="", **_):
    raise ValueError(value)


def mode_raise_picky(**_):
    raise Picky(7, hint="none")


def mode_raise_surrogates(**_):
    raise FileNotFoundError(2, "no such file", os.fsdecode(b"/caf\xe9"))


def mode_raise_base(**_):
    class Strange(BaseException):
        pass

    raise Strange("from below")


def mode_recurse(**_):
    def down():
        return down()

    return down()


def mode_sys_exit(value=None, **_):
    sys.exit(value)


def mode_keyboard_interrupt(**_):
    raise KeyboardInterrupt


def mode_os_exit(number, **_):
    print("last words")
    os._exit(number)


def mode_suicide(number, **_):
    print("last words")
    os.kill(os.getpid(), number)
    time.sleep(60)


def mode_close_connection(**_):
    """Closes every descriptor, the gateway's among them, and goes on."""
    os.closerange(3, 256)
    time.sleep(600)


# How long it takes


def mode_sleep(value=60, path="", **_):
    if path:
        with open(path, "a") as file:
            file.write(f"{os.getpid()}\n")
    time.sleep(value if value is not None else 600)
    return "slept"


def mode_stubborn(**_):
    """Minds no signal that can be minded."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass


def mode_family(path, **_):
    """Children of each kind, their numbers in the file `path`, then a long sleep."""
    child = subprocess.Popen(["sh", "-c", "sleep 987 & echo $!; wait"], stdout=subprocess.PIPE, text=True)
    grandchild = int(child.stdout.readline())
    forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(987,))
    forked.start()
    own_session = subprocess.Popen(["sleep", "987"], start_new_session=True)
    write_pids(path, child.pid, grandchild, forked.pid, own_session.pid)
    time.sleep(600)


def mode_leave_child(path, **_):
    """A child in a session of its own that outlives the call."""
    write_pids(path, subprocess.Popen(["sleep", "987"], start_new_session=True).pid)


def write_pids(path, *pids):
    with open(path + ".part", "w") as file:
        file.write(" ".join(map(str, pids)))
    os.rename(path + ".part", path)


def mode_pool(number, **_):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(abs, range(-number, 0))


def mode_random(**_):
    found = [random.random()]
    if "numpy" in sys.modules:
        found.append(float(sys.modules["numpy"].random.random()))
    return found


def mode_much_progress(number, **_):
    import modelport

    started = time.monotonic()
    for step in range(number):
        modelport.progress((step + 1) / number, f"step {step + 1}")
    return time.monotonic() - started


def mode_progress_and_wait(number, path, **_):
    """More than is told at once, and then silence until the file `path` is there."""
    mode_much_progress(number)
    while not os.path.exists(path):
        time.sleep(0.01)


def mode_progress_in_threads(number, **_):
    import modelport

    def report(thread):
        for step in range(100):
            modelport.progress(step / 100, f"thread {thread}")
            time.sleep(0.001)

    threads = [threading.Thread(target=report, args=(each,)) for each in range(number)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    modelport.progress(1.0, "joined")
    return threading.active_count()


def mode_progress_in_processes(number, **_):
    import modelport

    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(_report_often, range(number))
    modelport.progress(1.0, "joined")


def _report_often(step):
    import modelport

    for _ in range(100):
        modelport.progress(0.5, "from another process")


def mode_progress_later(path, **_):
    """A thread that goes on to report after the call, until the file `path` is there."""
    import modelport

    def report():
        while not os.path.exists(path):
            modelport.progress(0.5, "too late")
            time.sleep(0.001)

    threading.Thread(target=report, daemon=True).start()


def mode_unknown_progress(**_):
    import modelport

    modelport.progress(None, "loading")
    modelport.progress(None)


def mode_odd_progress(**_):
    import modelport

    for odd in (float("nan"), float("inf"), -1):
        modelport.progress(odd, "caf\udce9 " + "x" * 5000)
