"""Scratch folders: made when needed, gone at the end, and those of dead servers with them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelport.intake.scratch import RunFolder


async def test_a_scratch_folder_is_made_when_it_is_needed_and_gone_at_the_end(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    async with run.scratch() as scratch:
        assert not scratch.path.exists()
        (scratch.make() / "upload").write_text("x")
        (scratch.make() / "folder").mkdir()
        assert (scratch.path.stat().st_mode & 0o777, scratch.path.parent) == (0o700, run.scratches)
    assert not scratch.path.exists()
    run.close()


async def test_it_is_gone_after_a_failure_too_and_whoever_made_it(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with pytest.raises(ValueError):
        async with run.scratch() as scratch:
            scratch.path.mkdir()  # as a worker does
            raise ValueError
    assert not scratch.path.exists()
    async with run.scratch():
        pass  # never made: nothing to remove
    run.close()


async def test_two_calls_never_share_a_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert len({run.scratch().path for _ in range(1000)}) == 1000
    run.close()


def test_the_run_folder_is_gone_at_the_end_and_closing_twice_does_no_harm(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.folder("deployments")
    assert run.path.is_dir()
    run.close()
    own = os.open(os.devnull, os.O_RDONLY)  # may get the number that the lock had
    run.close()
    os.close(own)
    assert list((tmp_path / "run").iterdir()) == []


def test_what_a_dead_server_left_is_removed_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from modelport.intake.scratch import RunFolder\n"
        "run = RunFolder(Path(sys.argv[1])); (run.scratches / 'upload').write_text('x'); print(run.path, flush=True)\n"
        "sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout is not None and other.stdin is not None
        theirs = Path(other.stdout.readline().strip())
        first = RunFolder(tmp_path)
        assert theirs.is_dir() and first.path.is_dir()
        other.kill()
        other.wait()
        second = RunFolder(tmp_path)
        assert not theirs.exists()
        assert first.path.is_dir() and second.path.is_dir()
        first.close()
        second.close()


def test_folders_that_are_none_of_ours_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("x")
    (tmp_path / "run" / "folder").mkdir()
    run = RunFolder(tmp_path)
    assert (tmp_path / "run" / "notes.txt").exists() and (tmp_path / "run" / "folder").exists()
    run.close()


@pytest.mark.slow
def test_a_folder_that_is_being_made_is_not_removed_by_others_that_start(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    program = (
        "import sys; from pathlib import Path; from modelport.intake.scratch import RunFolder\n"
        "print(flush=True)\n"
        "while True: RunFolder._remove_stale(Path(sys.argv[1], 'run'))"
    )
    others = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) for _ in range(2)
    ]
    try:
        for other in others:
            assert other.stdout is not None and other.stdout.readline() == b"\n"
        for _ in range(150):
            run = RunFolder(tmp_path)
            assert run.scratches.is_dir()
            run.close()
        assert [other.poll() for other in others] == [None, None]
    finally:
        for other in others:
            other.kill()
            other.communicate()
