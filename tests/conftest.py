"""Fixtures that several folders use."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.house import House, alive, open_house

# The same examples every time, so that no change is red for what it has not touched; `make test MARKS=` draws anew.
# None fails because the machine is busy.
PATIENT = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("same", PATIENT, derandomize=True)
hypothesis.settings.register_profile("drawn", PATIENT, print_blob=True)
hypothesis.settings.load_profile("same")

# webargs 5 imports distutils, which setuptools replaces by its own, slowly; as long as Python has one that is quicker.
if sys.version_info < (3, 12):
    os.environ["SETUPTOOLS_USE_DISTUTILS"] = "stdlib"
# The threads that wait for a next product of matrices turn round and round, and other tests have the processors.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Under nohup our servers, too, would take a closed terminal for nothing.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

OpenHouse = Callable[..., Awaitable[House]]

# What the tests write lies in memory, if there is room: none of it need outlast them, and a disk is slower. A run that
# fails leaves it there for a look, until the next one.
MEMORY = Path("/dev/shm")
ROOM_BYTES = 6 << 30

# make quick leaves out what took longer than this, with its fixtures, when it last ran in another run than a quick one.
# What has not run yet, it runs.
QUICK_S = 0.1
DURATIONS = "modelport/durations_s"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help=f"leave out tests that last took longer than {QUICK_S} s")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # a worker of pytest-xdist; their reports come here
        config.pluginmanager.register(Durations(config))
        if config.option.basetemp is None and "TMPDIR" not in os.environ and MEMORY.is_dir():
            config.pluginmanager.register(InMemory(config))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--quick"):
        cache = getattr(config, "cache", None)  # -p no:cacheprovider leaves it out
        durations = {} if cache is None else cache.get(DURATIONS, {})
        slow = [item for item in items if durations.get(item.nodeid, 0.0) > QUICK_S]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if durations.get(item.nodeid, 0.0) <= QUICK_S]


def pytest_collection_finish() -> None:
    """Ten thousand tests are for ever; the garbage collector need not look through them again and again."""
    gc.collect()
    gc.freeze()


class InMemory:
    """The temporary folder of a run. Its path is short, for the sockets of programs that make some in there."""

    def __init__(self, config: pytest.Config) -> None:
        for folder in MEMORY.glob("mp-[0-9]*"):
            if not alive(int(folder.name.removeprefix("mp-"))):
                shutil.rmtree(folder, ignore_errors=True)
        self._folder = MEMORY / f"mp-{os.getpid()}"
        self._passed = False
        if shutil.disk_usage(MEMORY).free > ROOM_BYTES:
            self._folder.mkdir()
            os.environ["TMPDIR"] = tempfile.tempdir = str(self._folder)
            config.option.basetemp = str(self._folder / "t")

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self._passed = exitstatus == pytest.ExitCode.OK

    def pytest_unconfigure(self) -> None:
        if self._passed:
            shutil.rmtree(self._folder, ignore_errors=True)


class Durations:
    """Keeps in pytest's cache how long each test took when it last ran.

    A quick run adds only what is new: the first test that is left in a file takes the time of the fixtures, and would
    be left out of the next run, and so on.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._cache = getattr(config, "cache", None)
        self._quick = config.getoption("--quick")
        self._durations: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._durations[report.nodeid] = self._durations.get(report.nodeid, 0.0) + report.duration

    def pytest_sessionfinish(self) -> None:
        if self._cache is not None and self._durations:
            rounded = {name: round(duration, 3) for name, duration in self._durations.items()}
            kept = self._cache.get(DURATIONS, {})
            self._cache.set(DURATIONS, {**rounded, **kept} if self._quick else {**kept, **rounded})


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[OpenHouse]:
    """`await house(source, workers=2, …)`: a running server with these plugins and settings; closed after the test."""
    async with AsyncExitStack() as stack:
        opened = 0

        async def open_another(sources: str | Mapping[str, str], **settings: Any) -> House:
            nonlocal opened
            opened += 1
            return await stack.enter_async_context(open_house(tmp_path / str(opened), sources, **settings))

        yield open_another


@pytest.fixture(scope="session", autouse=True)
def _model_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """my_model's home in every process of this run; who needs the model first fits it. Nobody may train in it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MY_MODEL_HOME", str(folder / "my_model"))
        yield folder / "my_model"


def copy_home(fitted: Path, to: Path) -> None:
    """Without the files that another process of the run has not finished."""
    shutil.copytree(fitted, to, ignore=shutil.ignore_patterns(".*"))


@pytest.fixture(scope="session")
def fitted_home(_model_home: Path) -> Path:
    """The same with the model in it: to read from, or to copy."""
    with open(_model_home.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (_model_home / "digits.npz").exists():
            subprocess.run([sys.executable, "-c", "import my_model; my_model.warm()"], check=True)
    return _model_home
