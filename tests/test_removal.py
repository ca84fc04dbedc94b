"""Folders that a model could write to are removed, whatever is in them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelport.intake.removal import remove_tree


def test_a_folder_with_everything_in_it_is_removed(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    (folder / "a" / "b").mkdir(parents=True)
    other.mkdir()
    (other / "kept").touch()
    for name in (b"\xff", b"\n", b"-rf", b" ", b".removed-1"):
        (folder / "a" / os.fsdecode(name)).touch()
    (folder / "link").symlink_to(other)
    (folder / "a" / "dangling").symlink_to("/nowhere")
    os.mkfifo(folder / "pipe")
    remove_tree(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    assert (other / "kept").exists()


@pytest.mark.parametrize("depth", [500, 5000])
def test_depth_is_no_obstacle(tmp_path: Path, depth: int) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    # In a process of its own, since it goes down there.
    code = "import os, sys\nfor _ in range(int(sys.argv[1])): os.mkdir('d'); os.chdir('d'); open('f', 'w').close()"
    subprocess.run([sys.executable, "-c", code, str(depth)], cwd=folder, check=True)
    remove_tree(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_place_of_the_folder_goes_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "other")
    remove_tree(tmp_path / "link")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_what_is_not_there_needs_no_removing(tmp_path: Path) -> None:
    remove_tree(tmp_path / "none")
    remove_tree(tmp_path / "none" / "below")
    remove_tree(str(tmp_path / "none"))


def test_a_folder_without_any_rights_is_removed_by_its_owner(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").touch()
    for path in (folder / "a" / "b", folder / "a", folder):
        path.chmod(0)
    remove_tree(folder)
    assert not folder.exists()
