"""Options, files and environment: contract 2.10, and D-24. Most are read in this process, the rest as users do."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelport.commands.deepaas import deepaas_options
from modelport.commands.deepaas.deepaas_options import CLI, RUN, Options
from tests.dropin.conftest import Plugin

EMPTY = "def get_metadata(): return {'name': 'empty'}\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def read(home: Path, *argv: str, prog: str = "deepaas-run", **environ: str) -> Options:
    return deepaas_options.read(prog, RUN, argv, {"HOME": str(home), **environ})


def written(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_the_defaults_are_those_of_the_contract(home: Path) -> None:
    values = read(home).values
    assert {name: values[name] for name in ("listen_ip", "listen_port", "base_path", "model_name", "workers")} == {
        "listen_ip": "127.0.0.1",
        "listen_port": 5000,
        "base_path": "",
        "model_name": "",
        "workers": 1,
    }
    switches = ("warm", "predict_endpoint", "train_endpoint", "doc_endpoint", "debug_endpoint", "debug")
    assert [values[name] for name in switches] == [True, True, True, True, False, False]
    assert values["client_max_size"] == 0


@pytest.mark.parametrize("option", RUN, ids=lambda option: option.name)
def test_every_option_has_a_dashed_name_a_key_in_files_and_one_in_the_environment(
    home: Path, option: deepaas_options.Option
) -> None:
    value = {str: "/etc", int: 3, bool: not option.default}[option.type]
    text = {True: "yes", False: "no"}[bool(value)] if option.type is bool else str(value)
    dashed = option.name.replace("_", "-")
    flag = [f"--{dashed}", text] if option.type is not bool else [f"--{'no' if option.default else ''}{dashed}"]
    assert read(home, *flag)[option.name] == value
    file = written(home / "a.conf", f"[DEFAULT]\n{option.name} = {text}\n")
    assert read(home, "--config-file", file)[option.name] == value
    assert read(home, **{option.environment: text})[option.name] == value


def test_workers_may_be_written_p_and_debug_d(home: Path) -> None:
    assert read(home, "-p", "3")["workers"] == 3
    assert read(home, "-d")["debug"] is True


def test_booleans_have_an_inverse_and_the_last_one_counts(home: Path) -> None:
    assert read(home, "--nowarm")["warm"] is False
    assert read(home, "--nowarm", "--warm")["warm"] is True


def test_unique_prefixes_are_allowed(home: Path) -> None:
    assert read(home, "--listen-po", "5001")["listen_port"] == 5001


@pytest.mark.parametrize("argv", [("--listen_port", "1"), ("--nope",), ("--listen", "1"), ("word",)])
def test_unknown_and_ambiguous_options_end_with_status_2(
    home: Path, argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        read(home, *argv)
    assert ended.value.code == 2
    assert "error" in capsys.readouterr().err


def test_the_command_line_beats_the_environment_which_beats_files_of_which_the_later_wins(home: Path) -> None:
    first = written(home / "1.conf", "[DEFAULT]\nlisten_port = 1\nlisten_ip = 1.1.1.1\nbase_path = /1\nworkers = 11\n")
    second = written(home / "2.conf", "[DEFAULT]\nlisten_port = 2\nlisten_ip = 2.2.2.2\nbase_path = /2\n")
    values = read(
        home,
        *("--config-file", first, "--config-file", second, "--listen-port", "4"),
        OS_DEFAULT__LISTEN_PORT="3",
        OS_DEFAULT__LISTEN_IP="3.3.3.3",
    )
    assert [values[key] for key in ("listen_port", "listen_ip", "base_path", "workers")] == [4, "3.3.3.3", "/2", 11]


def test_without_config_file_the_usual_places_are_read_the_first_hit_of_each_name(home: Path) -> None:
    written(home / ".deepaas" / "deepaas.conf", "[DEFAULT]\nworkers = 2\nlisten_port = 2\n")
    written(home / "deepaas.conf", "[DEFAULT]\nworkers = 9\nbase_path = /9\n")
    written(home / "deepaas-run.conf", "[DEFAULT]\nlisten_port = 3\n")
    written(home / "deepaas-cli.conf", "[DEFAULT]\nlisten_port = 8\n")
    written(home / ".deepaas" / "deepaas-run.conf.d" / "a.conf", "[DEFAULT]\nclient_max_size = 1\ndebug = true\n")
    written(home / ".deepaas" / "deepaas-run.conf.d" / "b.conf", "[DEFAULT]\nclient_max_size = 2\n")
    values = read(home)
    assert [values[key] for key in ("workers", "listen_port", "base_path", "client_max_size", "debug")] == [
        2,
        3,
        "",
        2,
        True,
    ]
    assert read(home, "--config-file", written(home / "other", "[DEFAULT]\n"))["workers"] == 1


def test_a_config_dir_is_read_in_the_order_of_its_names(home: Path) -> None:
    written(home / "d" / "2.conf", "[DEFAULT]\nworkers = 2\n")
    written(home / "d" / "1.conf", "[DEFAULT]\nworkers = 1\nlisten_port = 1\n")
    written(home / "d" / "3.txt", "[DEFAULT]\nworkers = 3\n")
    values = read(home, "--config-dir", str(home / "d"))
    assert (values["workers"], values["listen_port"]) == (2, 1)


def test_unknown_keys_and_other_sections_of_a_file_are_ignored(home: Path) -> None:
    text = "# a comment\n[DEFAULT]\nuse_stderr = true\nlisten_ip = '::1'\n\n[oslo]\nlisten_port = 7\n"
    values = read(home, "--config-file", written(home / "a", text))
    assert (values["listen_ip"], values["listen_port"]) == ("::1", 5000)


@pytest.mark.parametrize("option", ["--config-file", "--config-dir"])
def test_a_missing_file_ends_with_status_1(home: Path, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read(home, option, str(home / "nope"))
    assert ended.value.code == 1
    assert "nope does not exist" in capsys.readouterr().err


def test_a_file_that_is_none_ends_with_a_message(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read(home, "--config-file", written(home / "a", "workers = 3\n"))
    assert ended.value.code == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"),
    [("workers", "x"), ("workers", "0"), ("listen-port", "x"), ("listen-port", "65536"), ("client-max-size", "-1")],
)
def test_d_24_a_value_that_does_not_convert_is_an_error_wherever_it_comes_from(
    home: Path, name: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = name.replace("-", "_")
    file = written(home / "a", f"[DEFAULT]\n{key} = {value}\n")
    tries: list[tuple[tuple[str, ...], dict[str, str]]] = [
        ((f"--{name}", value), {}),
        (("--config-file", file), {}),
        ((), {f"OS_DEFAULT__{key.upper()}": value}),
    ]
    for argv, environ in tries:
        with pytest.raises(SystemExit) as ended:
            read(home, *argv, **environ)
        assert ended.value.code in (1, 2)
        assert value in capsys.readouterr().err


def test_deepaas_v2_model_is_the_default_of_model_name(home: Path) -> None:
    assert read(home, DEEPAAS_V2_MODEL="a")["model_name"] == "a"
    assert read(home, "--model-name", "b", DEEPAAS_V2_MODEL="a")["model_name"] == "b"


def test_what_follows_the_method_is_not_looked_at(home: Path) -> None:
    argv = ["--model-name", "predict", "--nowarm", "predict", "--d", "1", "--model-name"]
    options = deepaas_options.read("deepaas-cli", CLI, argv, {"HOME": str(home)}, methods=("predict",))
    assert (options["model_name"], options["warm"]) == ("predict", False)
    assert options.rest == ["predict", "--d", "1", "--model-name"]


def test_version_prints_a_number_alone_and_help_ends_with_status_0(plugin: Plugin) -> None:
    commands = plugin(EMPTY)
    for done in (commands.run("--version"), commands.cli("--version")):
        assert done.status == 0
        assert tuple(int(part) for part in done.lines[-1].split("-")[0].split(".")) >= (2, 5, 0)
        assert len(done.lines) == 1
    assert commands.run("-h").status == 0
    assert "--listen-port" in commands.run("--help").out


def test_a_base_path_without_a_slash_ends_with_status_1(plugin: Plugin) -> None:
    done = plugin(EMPTY).run("--base-path", "models")
    assert done.status == 1
    assert "slash" in done.err
