"""Modules that misbehave while they are loaded."""

from __future__ import annotations

# Each gets this at its end.
GOOD = "\ndef predict(**k): return 1\n"
EVER = "import time\nwhile True: time.sleep(600)"
# What is told of each, as a pattern.
FAILING = {
    "exits": ("import sys; sys.exit(3)", "sys.exit"),
    "exits at once": ("import os; os._exit(3)", "exit status 3"),
    "aborts": ("import os; os.abort()", "SIGABRT"),
    "kills itself": ("import os; os.kill(os.getpid(), 9)", "SIGKILL"),
    "stops itself": ("import os; os.kill(os.getpid(), 19)", "load_timeout_s"),
    "raises a base": ("class B(BaseException): pass\nraise B('x')", "exit status 1|B: x"),
    "raises what cannot be shown": ("class B(Exception):\n  def __str__(self): 1 / 0\nraise B", "ZeroDivisionError"),
    "recurses": ("def f(): f()\nf()", "RecursionError"),
    "never ends": (EVER, "load_timeout_s"),
    "never ends, and minds no signal": (
        "import signal\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\n" + EVER,
        "load_timeout_s",
    ),
    "prints for ever": ("while True: print('x' * 1000)", "load_timeout_s"),
    "leaves children": (
        "import os, sys\nif os.fork() == 0:\n  os.setsid()\n  if os.fork(): os._exit(0)\n"
        "  os.execve('/bin/sleep', ['s', '987'], {})\nsys.exit(1)",
        "sys.exit",
    ),
    "closes everything": ("import os; os.closerange(0, 1000)", "ended"),
    "metadata without end": ("def get_metadata():\n  " + EVER.replace("\n", "\n  "), "load_timeout_s"),
    "huge metadata": (
        "def get_metadata(): return {'a': 'x' * 75_000_000}",
        "most of them in metadata.*card_limit_bytes",
    ),
    "many arguments": (
        "from marshmallow import fields\ndef get_predict_args(): return {f'a{n}': fields.Int() for n in range(5_000)}",
        "most of them in predict_args.*card_limit_bytes",
    ),
    "arguments that exit": ("import os\ndef get_predict_args(): os._exit(4)", "exit status 4"),
    "arguments that are none": ("def get_predict_args(): return 7", "a dict of fields is needed"),
    "warm without end": ("def warm():\n  " + EVER.replace("\n", "\n  "), "load_timeout_s"),
    "warm that exits": ("import os\ndef warm(): os._exit(5)", "exit status 5"),
    "warm that raises": ("def warm(): raise KeyboardInterrupt", "warm.. failed: KeyboardInterrupt"),
    "warm that kills its template": (
        "import os, time\ndef warm(): os.kill(os.getppid(), 9); time.sleep(600)",
        "SIGKILL",
    ),
    "warm that stops itself": ("import os\ndef warm(): os.kill(os.getpid(), 19)", "load_timeout_s"),
    "a fork hook that blocks": (
        "import os, time\nos.register_at_fork(before=lambda: time.sleep(600))",
        "child_timeout_s|load_timeout_s",
    ),
    "a fork hook that exits": ("import os\nos.register_at_fork(before=lambda: os._exit(6))", "exit status 6"),
}
# These load, and do what they are for.
LOADED = {
    "forks": "import os\nos.fork()",
    "forks in its metadata": "import os\ndef get_metadata(): os.fork(); return {}",
    "forks in warm": "import os\ndef warm(): os.fork()",
    "metadata that raise": "def get_metadata(): raise SystemExit(3)",
    "odd metadata": "def get_metadata(): return {1: {2, 3}, None: object(), 'n': float('nan'), '\\x1b': '\\r\\n'}",
    "metadata in themselves": "m = {}\nm['m'] = m\ndef get_metadata(): return m",
    "threads": (
        "import threading, time\n"
        "for _ in range(50): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
    ),
    "closes its output": "import os, sys\nos.close(1); os.close(2); sys.stdout = sys.stderr = None",
    "minds no signal": "import signal\nfor n in (1, 2, 15, 17): signal.signal(n, signal.SIG_IGN)",
    "blocks every signal": "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))",
    "a hook of exit": "import atexit, time\natexit.register(time.sleep, 600)",
    "a fork hook that raises": "import os\nos.register_at_fork(before=lambda: 1 / 0, after_in_child=lambda: 1 / 0)",
}
