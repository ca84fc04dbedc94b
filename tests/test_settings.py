"""Reading settings, and that the pages made from their table are as the table says."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from modelport.settings import BadSetting, Settings, core_table, read, table

ROOT = Path(__file__).parent.parent


def written(folder: Path, text: str) -> Path:
    path = folder / "modelport.toml"
    path.write_text(text)
    return path


def refusal(**sources: Any) -> str:
    with pytest.raises(BadSetting) as caught:
        read(**{"environ": {}, **sources})
    return caught.value.message


def test_nothing_given_gives_the_defaults() -> None:
    assert read(environ={}) == Settings()


def test_the_file_gives_way_to_the_environment_and_that_to_a_flag(tmp_path: Path) -> None:
    file = written(tmp_path, "[model]\nworkers = 2\nwarm = false\n[server]\nlisten_port = 1\n")
    settings = read(file, {"MODELPORT_WORKERS": "3", "MODELPORT_WARM": "Yes"}, {"workers": 4, "warm": None})
    assert (settings.listen_port, settings.warm, settings.workers) == (1, True, 4)


def test_a_token_may_come_by_its_older_name_and_the_newer_one_counts_more() -> None:
    assert read(environ={"BEARER_TOKEN": "old"}).token == "old"
    assert read(environ={"BEARER_TOKEN": "old", "MODELPORT_TOKEN": "new"}).token == "new"


def test_settings_do_not_change_after_reading() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        read(environ={}).workers = 2  # type: ignore[misc]


def test_a_base_path_loses_its_last_slash() -> None:
    assert read(environ={"MODELPORT_BASE_PATH": "/models/"}).base_path == "/models"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("workers", "x", "MODELPORT_WORKERS: 'x' is not a whole number"),
        ("workers", "2.5", "MODELPORT_WORKERS: '2.5' is not a whole number"),
        ("workers", "0", "MODELPORT_WORKERS: '0' is too small; at least 1"),
        ("listen_port", "65536", "MODELPORT_LISTEN_PORT: '65536' is too large; at most 65535"),
        ("s3_port", "70000", "MODELPORT_S3_PORT: '70000' is too large; at most 65535"),
        ("warm", "perhaps", "MODELPORT_WARM: 'perhaps' is not true or false"),
        ("grace_s", "nan", "MODELPORT_GRACE_S: 'nan' is not a number"),
        ("grace_s", "inf", "MODELPORT_GRACE_S: 'inf' is not a number"),
        ("grace_s", "-1", "MODELPORT_GRACE_S: '-1' is too small; at least 0 seconds"),
        ("start_method", "magic", "MODELPORT_START_METHOD: 'magic' is not one of auto, fork, spawn"),
        ("base_path", "models", "MODELPORT_BASE_PATH: 'models' must start with a slash"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_itself_and_what_is_allowed(name: str, value: str, why: str) -> None:
    assert refusal(environ={f"MODELPORT_{name.upper()}": value}) == why


@pytest.mark.parametrize("token", ["two words", "line\n", "\rx", " x", "t\xf6ken", "\u65e5\u672c", "\x7f", "caf\udce9"])
def test_a_token_that_no_client_can_send_is_refused(token: str) -> None:
    for sources in ({"environ": {"BEARER_TOKEN": token}}, {"flags": {"token": token}}):
        message = refusal(**sources)
        assert "has a blank, a line break or a letter that clients cannot send" in message
        assert token not in message
    assert read(environ={"BEARER_TOKEN": "a-B_9.~+/=:!"}).token == "a-B_9.~+/=:!"


def test_a_file_may_have_a_byte_order_mark_and_utf_16_is_refused_by_its_name(tmp_path: Path) -> None:
    file, text = tmp_path / "modelport.toml", "[server]\nlisten_port = 1\n"
    file.write_text(text, encoding="utf-8-sig")
    assert read(file, environ={}).listen_port == 1
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"):
        file.write_text(text, encoding=encoding)
        assert refusal(file=file).endswith(f"cannot be read: it is in {encoding[:6].upper()}; save it as UTF-8")
    file.write_bytes(b"[server]\n# caf\xe9\n")
    assert "cannot be read: 'utf-8' codec" in refusal(file=file)
    assert "is larger than 1048576 bytes" in refusal(file=Path("/dev/zero"))


@pytest.mark.parametrize("value", ["true", "5000.7", "inf", '"x"', "[1]", "{}"])
def test_a_file_cannot_give_a_port_that_is_no_whole_number(tmp_path: Path, value: str) -> None:
    message = refusal(file=written(tmp_path, f"[server]\nlisten_port = {value}\n"))
    assert "modelport.toml: listen_port: " in message
    assert message.endswith("is not a whole number")


def test_a_refused_flag_is_named_as_it_was_typed() -> None:
    assert refusal(flags={"listen_port": "x"}) == "--listen-port: 'x' is not a whole number"


def test_a_secret_is_not_repeated(tmp_path: Path) -> None:
    message = refusal(file=written(tmp_path, "[server]\ntoken = 424242\n"))
    assert message.endswith("token: the value given is not text")
    assert "424242" not in message


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[serwer]\n", "there is no section serwer; sections are server, frontends, "),
        ("[frontends]\nworkers = 1\n", "[frontends] has no setting workers; it has predict_endpoint, "),
        ("[server]\nport = 1\n", "[server] has no setting port; it has listen_ip, listen_port, "),
        ("workers = 1\n", "workers stands outside a section; sections are server, "),
        ("[server\n", "cannot be read: "),
    ],
)
def test_what_is_unknown_in_a_file_is_refused_with_what_is_known(tmp_path: Path, text: str, why: str) -> None:
    assert why in refusal(file=written(tmp_path, text))


def test_a_section_by_its_old_name_is_read_and_its_new_name_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert not read(written(tmp_path, "[doors]\ntrain_endpoint = false\n"), environ={}).train_endpoint
    assert "the section [doors] is now called [frontends]" in caplog.text
    assert not read(written(tmp_path, "[frontends]\ntrain_endpoint = false\n"), environ={}).train_endpoint


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(file=tmp_path / "none.toml") == f"the settings file {tmp_path}/none.toml does not exist"


def test_every_setting_says_what_it_is() -> None:
    for row in table():
        assert row.help, row.name
        assert row.section, row.name
        assert type(row.default) is row.type, row.name
        assert row.unit or not row.name.endswith(("_s", "_bytes")), row.name


def test_the_page_and_the_file_are_as_the_table_says() -> None:
    command = [sys.executable, str(ROOT / "tools/settings_docs.py"), "--check"]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_file_with_every_line_taken_in_gives_the_defaults(tmp_path: Path) -> None:
    names = {row.name for row in core_table()}
    lines = (ROOT / "etc/modelport.toml").read_text().splitlines()
    text = "\n".join(line[2:] if line[2:].partition(" = ")[0] in names else line for line in lines)
    given = {name for section in tomllib.loads(text).values() for name in section}
    assert given == names
    assert read(written(tmp_path, text), environ={}) == Settings()


def test_the_home_of_nobody_is_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(home="~nobody-has-this-name/a", bucket_folder="~nobody-has-this-name/b")
    assert settings.home_path == tmp_path / "~nobody-has-this-name" / "a"
    assert settings.buckets_path == Path("~nobody-has-this-name/b")
