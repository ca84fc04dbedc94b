"""The file of a large answer is opened, and nothing that a model has put in its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from modelport.errors import ModelFailed
from modelport.intake.scratch import open_answer
from modelport.jobs.files import JobFolders

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
