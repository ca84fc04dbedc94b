"""Fixtures that several folders use."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.house import House, open_house

# The same examples every time, so that no change is red for what it has not touched; `make test MARKS=` draws anew.
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.register_profile("drawn", print_blob=True)
hypothesis.settings.load_profile("same")

OpenHouse = Callable[..., Awaitable[House]]


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


@pytest.fixture(scope="session")
def fitted_home(_model_home: Path) -> Path:
    """The same with the model in it: to read from, or to copy."""
    with open(_model_home.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (_model_home / "digits.npz").exists():
            subprocess.run([sys.executable, "-c", "import my_model; my_model.warm()"], check=True)
    return _model_home
