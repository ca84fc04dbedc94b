"""The file of a large answer is opened, and nothing that a model has put in its place."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelport.errors import ModelFailed
from modelport.intake.scratch import open_answer
from modelport.jobs.files import JobFolders
from tests.forked import completed
from tests.house import PATIENCE_S

INSTEAD: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a link": lambda path: path.symlink_to("/etc/passwd"),
    "a folder": Path.mkdir,
    "nothing": lambda path: None,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


def test_a_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "answer").write_bytes(b"whole")
    with open_answer(str(tmp_path / "answer")) as file:
        assert file.read() == b"whole"
        assert not os.get_inheritable(file.fileno())


@pytest.mark.parametrize("what", INSTEAD)
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, what: str) -> None:
    INSTEAD[what](tmp_path / "answer")
    with pytest.raises(ModelFailed, match="its answer"):
        open_answer(str(tmp_path / "answer"))
    folders = JobFolders(tmp_path / "jobs")
    with pytest.raises(ModelFailed, match="its answer"):
        folders.keep_answer("1", 1, str(tmp_path / "answer"))


# No file may be larger: a write that would go beyond that is short, and only the next one raises. A pipe is read to its
# end as a file on another file system is.
CLONE = """
import os, resource, sys
from modelport.objectstore.files import clone
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for size in map(int, sys.argv[2:]):
    source, writing = os.pipe()
    os.write(writing, bytes(size))
    os.close(writing)
    try:
        clone(source, f"{sys.argv[1]}/{size}")
    except OSError as error:
        print(size, os.strerror(error.errno))
"""


def test_a_copy_is_whole_or_there_is_none(tmp_path: Path) -> None:
    ended = completed([sys.executable, "-c", CLONE, str(tmp_path), "999", "1000", "1001", "9000"], timeout_s=PATIENCE_S)
    assert ended.stdout.decode().splitlines() == ["1001 File too large", "9000 File too large"], ended.stderr
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {"999": 999, "1000": 1000}
