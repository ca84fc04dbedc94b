"""`modelport export` as it is typed."""

from __future__ import annotations

import json
import re
import stat
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from modelport.commands.export import TARGETS, loaded
from modelport.commands.exporting.source import SECRET, USERINFO
from modelport.commands.exporting.workload import PORT
from tests.cli.conftest import Cli, Running
from tests.exporting.test_targets import checked, every_target
from tests.house import PATIENCE_S, wait_until_now
from tests.nginx import nginx, self_signed

PLUGIN = """
from marshmallow import fields
def get_metadata():
    return {"name": "echo"}
def get_predict_args():
    return {"word": fields.Str(load_default="hello")}
def predict(word):
    return word
"""
SECRET_VALUE = "hunter2-of-the-operator"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cli, Running]]:
    """A server with the deployment `echo`."""
    cli = Cli(tmp_path_factory.mktemp("server"))
    module = cli.write("echo.py", PLUGIN)
    with cli.running("serve", "--empty", "--listen-port", "0", "--s3-port", "0", "--token", SECRET_VALUE) as running:
        wait_until_now(lambda: (cli.home / "server.json").exists())
        variables = ("--env", f"HF_TOKEN={SECRET_VALUE}", "--env", "COLOUR=red")
        done = cli("deploy", module, "--name", "echo", "--memory", "512Mi", "--max-workers", "3", *variables)
        assert done.status == 0, done.err
        yield cli, running


@pytest.mark.slow
@every_target
def test_a_deployment_is_exported_without_its_secrets(target: str, server: tuple[Cli, Running]) -> None:
    cli, _ = server
    done = cli("export", "echo", "--to", target, "--json")
    assert done.status == 0, done.err
    files = done.json()["files"]
    text = "".join(files.values())
    token = cli("token", "echo").text.strip()
    assert SECRET_VALUE not in text and token not in text
    assert "HF_TOKEN" in text and "red" in text
    shown = cli("export", "echo", "--to", target)
    assert all(content in shown.text for content in files.values())


@pytest.mark.slow
def test_a_name_is_a_deployment_first_and_a_module_second(server: tuple[Cli, Running]) -> None:
    cli, running = server
    where = ("--url", running.url, "--token", SECRET_VALUE)
    assert "COLOUR" in cli("export", "echo", "--to", "compose", *where).text
    assert "image: my_model:" in cli("export", "my_model", "--to", "compose").text
    done = cli("export", "my_model", "--to", "compose", *where)  # this server has none, and it was asked for
    assert (done.status, done.out) == (3, b"")
    assert cli("export", "echo", "--to", "compose", "--url", running.url, "--token", "wrong").status == 3


@pytest.mark.slow
def test_files_are_replaced_only_by_force_and_secrets_never(cli: Cli) -> None:
    arguments = ("export", "my_model", "--to", "compose", "-o", "out")
    out = cli.folder / "out"
    assert cli(*arguments).text.split() == ["out/compose.yaml", "out/secrets.env"]
    assert stat.S_IMODE((out / "secrets.env").stat().st_mode) == 0o600
    (out / "secrets.env").write_text("BEARER_TOKEN=filled in\n")
    (out / "compose.yaml").write_text("mine\n")
    refused = cli(*arguments)
    assert refused.status == 2 and "compose.yaml in out would be replaced: add --force" in refused.err
    assert (out / "compose.yaml").read_text() == "mine\n"
    assert "out/secrets.env (kept as it was)" in cli(*arguments, "--force").text
    assert (out / "compose.yaml").read_text() != "mine\n"
    assert (out / "secrets.env").read_text() == "BEARER_TOKEN=filled in\n"


@pytest.mark.slow
def test_what_cannot_be_exported_is_told(cli: Cli) -> None:
    unknown = cli("export", "nothing", "--to", "oscar", "-o", "out")
    assert unknown.status == 3 and "no deployment and no module 'nothing'" in unknown.err
    assert not (cli.folder / "out").exists()
    assert cli("export", "./nothing", "--to", "oscar").status == 3
    misplaced = cli("export", "my_model", "--to", "compose", "--max-replicas", "2")
    assert (
        misplaced.status == 2 and "--max-replicas is for knative, kubernetes, oscar; --to is compose" in misplaced.err
    )
    assert "compose" in cli("export", "my_model", "--to", "nomad").err


def test_the_help_names_each_target_and_its_options(cli: Cli) -> None:
    help = cli("export", "--help").text
    for name, target in ((name, loaded(name)) for name in TARGETS):
        assert re.search(rf"^  {name} +{re.escape(target.ABOUT[:20])}", help, re.M)
        assert all(option.opts[0] in help for option in target.OPTIONS)


@pytest.mark.parametrize(
    "name",
    [
        *("HF_TOKEN", "API_KEY", "DB_PASSWORD", "client_secret", "AWS_SECRET_ACCESS_KEY", "KEY"),
        *("DB_PASS", "MYSQL_PWD", "GITHUB_PAT", "SENTRY_DSN", "AZURE_STORAGE_CONNECTION_STRING"),
    ],
)
def test_these_names_are_those_of_secrets(name: str) -> None:
    assert SECRET.search(name)


@pytest.mark.parametrize(
    "name", ["COLOUR", "HF_HOME", "MODEL_PATH", "KEYBOARD", "AUTHOR", "OMP_NUM_THREADS", "COMPASS"]
)
def test_these_are_not(name: str) -> None:
    assert not SECRET.search(name)


@pytest.mark.parametrize(
    ("address", "secret"),
    [
        ("postgres://me:hunter2@db/x", True),
        ("redis://:hunter2@cache:6379/0", True),
        ("https://ghp_hunter2@github.com/x/y", True),
        ("https://example.org/@me", False),
        ("me@example.org", False),
    ],
)
def test_an_address_with_a_name_or_password_is_a_secret(address: str, secret: bool) -> None:
    assert bool(USERINFO.search(address)) is secret


@pytest.mark.slow
def test_a_module_in_a_folder_and_in_a_file_are_exported(cli: Cli) -> None:
    cli.write("plugin.py", PLUGIN)
    file = yaml.safe_load(
        cli("export", "plugin.py", "--to", "compose").text.split("==> secrets.env")[0].split("<==")[1]
    )
    assert file["services"]["plugin"]["image"] == "plugin:latest"
    unit = cli("export", "plugin.py:predict", "--to", "systemd").text
    assert f" serve plugin={cli.folder}/plugin.py:predict\n" in unit
    cli.write(
        "yolo/pyproject.toml",
        '[project]\nname = "yolo"\nversion = "2.1"\n[project.entry-points."deepaas.v2.model"]\nyolo = "yolo.api"\n',
    )
    cli.write("yolo/yolo/__init__.py", "")
    cli.write("yolo/yolo/api.py", PLUGIN)
    resources = "resources: {inference: {cpu: 2, gpu: 1, memory_MB: 6000}}\n"
    cli.write("yolo/ai4-metadata.yml", "links: {docker_image: ai4oshub/yolo-torch}\n" + resources)
    done = cli("export", "./yolo", "--to", "oscar", "--json")
    [entry] = yaml.safe_load(done.json()["files"]["yolo.yaml"])["functions"]["oscar"]
    service = entry["oscar-cluster"]
    assert service["image"] == "ai4oshub/yolo-torch:2.1"
    assert (service["cpu"], service["memory"], service["enable_gpu"]) == ("2", "5723Mi", True)


@pytest.mark.slow
def test_the_container_s_command_answers_the_probes(cli: Cli) -> None:
    """With the variables of the Compose file, but the port and the folder of the test."""
    files = cli("export", "my_model", "--to", "compose", "--json").json()["files"]
    [service] = yaml.safe_load(files["compose.yaml"])["services"].values()
    program, *arguments = service["command"]
    assert program == "modelport"
    environment = {**service["environment"], "MODELPORT_HOME": str(cli.home), "XDG_CACHE_HOME": str(cli.folder)}
    refused = cli(*arguments, "--listen-port", "0", **environment, BEARER_TOKEN="")
    assert refused.status == 2 and "BEARER_TOKEN" in refused.err  # secrets.env as it was written
    with cli.running(
        *arguments, "--listen-port", "0", "--s3-port", "0", **environment, BEARER_TOKEN=SECRET_VALUE
    ) as running:
        running.wait_ready()
        url = running.url.replace("0.0.0.0", "127.0.0.1")
        check = service["healthcheck"]["test"][3].replace(f"http://127.0.0.1:{PORT}", url)
        checked(sys.executable, "-c", check)
        deployment = cli("export", "my_model", "--to", "kubernetes", "--json").json()["files"]["deployment.yaml"]
        paths = set(re.findall(r"path: (/\w+)\n", deployment))
        assert paths == {"/ready", "/health"}
        for path in paths:
            with urllib.request.urlopen(url + path, timeout=PATIENCE_S) as answer:
                assert answer.status == 200
        assert running.end() == 0


@pytest.mark.slow
def test_nginx_passes_calls_on_as_exported(server: tuple[Cli, Running], tmp_path: Path) -> None:
    cli, running = server
    text = cli("export", "echo", "--to", "systemd", "--json").json()["files"]["nginx.conf"]
    [location] = re.findall(r"^    location / \{.*?^    \}", text, re.M | re.S)
    location = location.replace(f"http://127.0.0.1:{PORT}", running.url)
    token = cli("token", "echo").text.strip()
    with nginx(tmp_path / "nginx", location, self_signed(tmp_path)) as port:
        command = ["curl", "--silent", "--insecure", "--header", f"Authorization: Bearer {token}"]
        said = checked(*command, f"https://localhost:{port}/echo?word=through")
    assert json.loads(said) == {"result": "through"}
