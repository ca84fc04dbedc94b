"""Which files an answer may name: those that the call wrote, and no others."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelport.child import ownfiles
from modelport.child.media import encode
from modelport.child.ownfiles import OwnFiles
from modelport.errors import ModelFailed
from tests.house import wait_until_now

PDF = b"%PDF-1.4 content"
LIMIT = 1000


class Call:
    """The folders of a call; `home` is the server's, `elsewhere` anybody's."""

    def __init__(self, folder: Path, sent: tuple[str, ...] = ()) -> None:
        self.home, self.elsewhere = folder / "home", folder / "elsewhere"
        self.scratch, self.other = self.home / "scratch" / "call", self.home / "scratch" / "other"
        self.work, self.temporary = self.home / "work" / "1", self.home / "tmp"
        for each in (self.scratch, self.other, self.work, self.temporary, self.elsewhere):
            each.mkdir(parents=True)
        self.sent = sent
        self.begin()

    def begin(self) -> None:
        """Every file that was written before this is older than the call."""
        before = ownfiles.file_clock_ns()
        wait_until_now(lambda: ownfiles.file_clock_ns() > before)
        self.own = OwnFiles(
            str(self.scratch), str(self.work), str(self.temporary), str(self.home), sent=lambda: iter(self.sent)
        )

    def answer(self, value: object, accept: str = "application/pdf") -> bytes:
        encoded = encode(value, accept, str(self.scratch), LIMIT, self.own)
        assert encoded.media_type.startswith(accept)
        return encoded.body

    def refusal(self, value: object, accept: str = "application/pdf") -> str:
        with pytest.raises(ModelFailed) as caught:
            self.answer(value, accept)
        return caught.value.message


@pytest.fixture
def on_disk() -> Iterator[Path]:
    """Not below /dev, as pytest's own may be: there, only a call's own folders are within reach."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def call(on_disk: Path) -> Call:
    return Call(on_disk)


def test_a_file_that_the_call_wrote_is_the_answer_wherever_it_lies(call: Call) -> None:
    for folder in (call.scratch, call.work, call.temporary, call.elsewhere):
        path = folder / "plot.pdf"
        path.write_bytes(PDF)
        assert call.answer(str(path)) == PDF
        assert call.answer(path) == PDF


def test_a_relative_path_counts_from_the_working_folder(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(call.work)
    Path("plot.pdf").write_bytes(PDF)
    assert call.answer("plot.pdf") == PDF


def test_a_large_file_is_copied_so_that_the_next_call_may_overwrite_it(call: Call) -> None:
    path = call.work / "film.mp4"
    path.write_bytes(b"f" * 5000)
    encoded = encode(str(path), "video/mp4", str(call.scratch), LIMIT, call.own)
    path.write_bytes(b"")
    assert encoded.path is not None and Path(encoded.path).read_bytes() == b"f" * 5000


def test_a_file_that_was_moved_into_place_by_the_call_is_its_own(call: Call) -> None:
    old = call.scratch / "made"
    old.write_bytes(PDF)
    os.utime(old, (1, 1))
    old.rename(call.work / "plot.pdf")
    assert call.answer(str(call.work / "plot.pdf")) == PDF


def test_a_file_from_before_the_call_is_never_read(call: Call) -> None:
    paths = [folder / "plot.pdf" for folder in (call.work, call.temporary, call.elsewhere)]
    for path in paths:
        path.write_bytes(PDF)
    call.begin()
    for path in paths:
        assert "this call wrote no file of that name" in call.refusal(str(path))


def test_what_the_server_and_other_calls_have_is_never_read(call: Call) -> None:
    for path in (call.home / "store.sqlite", call.other / "plot.pdf", call.home / "work" / "plot.pdf"):
        path.write_bytes(PDF)
        assert "this call wrote no file of that name" in call.refusal(str(path))
    assert "a file of another call" in call.refusal(call.other / "plot.pdf")


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "/proc/self/environ", "/proc/self/maps", "/dev/null", "/sys/kernel/notes"]
)
def test_a_text_that_happens_to_name_a_file_of_the_systems_is_never_read(call: Call, name: str) -> None:
    assert "this call wrote no file of that name" in call.refusal(name)
    assert call.answer(name, "text/plain") == name.encode()


def test_the_refusal_does_not_tell_whether_the_file_exists(call: Call) -> None:
    secret = call.home / "secret"
    absent = call.refusal(str(secret))
    secret.write_text("x")
    assert call.refusal(str(secret)) == absent


def test_a_name_that_the_client_sent_is_not_read_outside_the_calls_folders(on_disk: Path) -> None:
    log = on_disk / "elsewhere" / "log"
    call = Call(on_disk, (f'{{"page": "{log}"}}',))
    log.write_text("another program writes this all the time")
    assert "this call wrote no file of that name" in call.refusal(str(log), "image/png")


def test_links_lead_nowhere_else(call: Call) -> None:
    secret = call.elsewhere / "secret"
    secret.write_bytes(b"secret")
    for folder in (call.scratch, call.work, call.elsewhere):
        link = folder / "plot.pdf"
        link.symlink_to(secret)
        assert "this call wrote no file of that name" in call.refusal(str(link))
        link.unlink()
        os.link(secret, link)
        assert "this call wrote no file of that name" in call.refusal(str(link))
        link.unlink()
    (call.scratch / "folder").symlink_to(call.elsewhere)
    assert "this call wrote no file of that name" in call.refusal(f"{call.scratch}/folder/secret")
    assert "this call wrote no file of that name" in call.refusal(f"{call.scratch}/../other/x")


def test_a_pipe_a_folder_and_a_socket_are_no_answers_and_keep_nobody_waiting(call: Call) -> None:
    pipe, folder = call.scratch / "pipe.pdf", call.scratch / "folder.pdf"
    os.mkfifo(pipe)
    folder.mkdir()
    for path in (pipe, folder):
        assert "this call wrote no file of that name" in call.refusal(str(path))
        assert "is not a regular file" in call.refusal(path)


def test_a_path_that_is_gone_is_told_with_the_remedy(call: Call) -> None:
    message = call.refusal(str(call.scratch / "plot.pdf"))
    assert message.startswith(f"the model returned the path '{call.scratch}/plot.pdf' where application/pdf was asked")
    assert "`tempfile`" in message
    assert "'plot.pdf'" in call.refusal("plot.pdf")


def test_text_stays_text(call: Call) -> None:
    for accept in ("text/csv", "image/svg+xml", "application/xml", "application/yaml"):
        assert call.answer("/etc/passwd", accept) == b"/etc/passwd"
    assert call.answer("line one\n/etc/passwd\n", "application/x-thing") == b"line one\n/etc/passwd\n"
    assert call.answer("a" * 900, "application/x-thing") == b"a" * 900
    table = call.scratch / "table.csv"
    table.write_text("a,b")
    assert call.answer(str(table), "text/csv") == b"a,b"


def test_temporary_files_of_a_call_lie_in_its_folder_and_nothing_is_left_of_an_empty_one(tmp_path: Path) -> None:
    usual, scratch = tempfile.gettempdir(), tmp_path / "scratch" / "call"
    scratch.parent.mkdir()
    with ownfiles.TemporaryFolder(str(scratch), usual):
        assert tempfile.gettempdir() == str(scratch)
        with tempfile.NamedTemporaryFile() as file:
            assert Path(file.name).parent == scratch
    assert tempfile.gettempdir() == usual and not scratch.exists()
    with ownfiles.TemporaryFolder(str(scratch), usual):
        (scratch / "left").touch()
    assert scratch.exists()


@pytest.mark.parametrize(
    ("ask", "left"),
    [
        (lambda: tempfile.gettempdir(), False),
        (lambda: tempfile.gettempdirb(), False),
        (lambda: tempfile.mkdtemp(), True),
        (lambda: os.close(tempfile.mkstemp()[0]), True),
        (lambda: tempfile.TemporaryFile().close(), False),
        (lambda: tempfile.TemporaryDirectory().cleanup(), False),
    ],
    ids=["gettempdir", "gettempdirb", "mkdtemp", "mkstemp", "TemporaryFile", "TemporaryDirectory"],
)
def test_the_folder_of_a_call_is_made_when_tempfile_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[[], object], left: bool
) -> None:
    usual, scratch = tempfile.gettempdir(), tmp_path / "call"
    for name in ("gettempdir", "gettempdirb"):
        monkeypatch.setattr(tempfile, name, getattr(tempfile, name))
    ownfiles.lead_tempfile()
    with ownfiles.TemporaryFolder(str(scratch), usual):
        assert not scratch.exists()
        ask()
        assert tempfile.gettempdir() == str(scratch) and type(tempfile.gettempdir()) is str
        assert scratch.is_dir()
    assert tempfile.gettempdir() == usual
    assert scratch.exists() == left


def test_on_a_full_disk_the_worker_s_own_folder_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = tempfile.gettempdir()
    monkeypatch.setattr(tempfile, "gettempdir", tempfile.gettempdir)
    monkeypatch.setattr(tempfile, "gettempdirb", tempfile.gettempdirb)
    ownfiles.lead_tempfile()
    (tmp_path / "no folder").touch()
    before = tempfile.tempdir
    with ownfiles.TemporaryFolder(str(tmp_path / "no folder" / "call"), usual):
        assert tempfile.gettempdir() == usual
    assert tempfile.tempdir == before


def test_a_plugin_that_chose_its_own_temporary_folder_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = tempfile.gettempdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with ownfiles.TemporaryFolder(str(tmp_path / "call"), usual):
        assert tempfile.gettempdir() == str(tmp_path)


@pytest.mark.slow
def test_a_manager_that_outlives_its_call_can_still_be_reached(tmp_path: Path) -> None:
    """multiprocessing makes a folder for its sockets the first time, and keeps to it."""
    script = f"""
import tempfile
from modelport.child import ownfiles
usual = tempfile.gettempdir()
def call(number):
    with ownfiles.TemporaryFolder({str(tmp_path)!r} + "/" + str(number), usual):
        import multiprocessing
        return multiprocessing.Manager()
if __name__ == "__main__":
    for number in range(2):
        manager = call(number)
        print(manager.dict(a=number)["a"])
"""
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run([sys.executable, str(tmp_path / "script.py")], capture_output=True, text=True, timeout=60)
    assert done.stdout == "0\n1\n", done.stderr
