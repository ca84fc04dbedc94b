"""What is known of modules, and how they are searched."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
import time
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

import my_model
from modelport.catalogue import KEPT, Catalogue, Module
from modelport.catalogue.about import About, of_card, of_file, of_package
from modelport.catalogue.search import Query, choices, select
from modelport.catalogue.sources import Sources
from modelport.contract.card import Card
from modelport.deployments.deployments import DeploymentRow, Deployments
from modelport.errors import LoadFailed, NotFound
from modelport.settings import Settings
from modelport.store import Store
from modelport.store.values import get_values
from tests.house import PATIENCE_S, POLL_S, open_house
from tests.plugins import installed_plugin

GOOD = """
metadata_version: 2.1.0
title: A title
summary: A
  summary
description: Some *Markdown*
dates: {created: 2024-01-31, updated: '2024-02-01'}
links: {source_code: https://example.org/x, weights: "", own_thing: http://example.org}
tags: [a, b]
tasks: [Other]
categories: []
libraries: [PyTorch, PyTorch]
data-type: [Image]
resources: {inference: {cpu: 2, memory_MB: 4000, unknown: 3}}
license: MIT
"""


def test_a_metadata_file_is_read() -> None:
    about, problems = of_file(GOOD)
    assert problems == ()
    assert (about.title, about.summary, about.license) == ("A title", "A summary", "MIT")
    assert (about.created, about.updated) == ("2024-01-31", "2024-02-01")
    assert about.links == (("Source code", "https://example.org/x"), ("Own thing", "http://example.org"))
    assert (about.libraries, about.data_types) == (("PyTorch",), ("Image",))
    assert about.resources == {"inference": {"cpu": 2, "memory_MB": 4000}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("title: [", "it is not valid YAML"),
        ("- a\n- b", "it is not a mapping of names to values"),
        ("title: A", "summary is missing"),
        (GOOD.replace("2.1.0", "1.0.0"), "metadata_version is 1.0.0; only 2 is supported"),
        (GOOD.replace("tags: [a, b]", "tags: a"), "tags must be a list of texts"),
        (GOOD.replace("tags: [a, b]", "tags: [{a: b}]"), "tags must be a list of texts"),
        (GOOD.replace("title: A title", "title: {a: b}"), "title must be text"),
        (GOOD.replace("2024-01-31", "soon"), "dates: created is not a date such as 2026-01-31"),
        (
            GOOD.replace("https://example.org/x", "javascript:alert(1)"),
            "links: source_code is not an http or https address",
        ),
        (GOOD.replace("cpu: 2", "cpu: many"), "resources: inference: cpu must be a number"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "aliases (*name) are not supported"),
        ("a: !!python/object/apply:os.system [id]", "it is not valid YAML"),
        ("[" * 100_000, "it is nested more than 20 deep"),
    ],
)
def test_what_is_wrong_with_a_metadata_file_is_said(text: str, problem: str) -> None:
    assert any(problem in each for each in of_file(text)[1])


def test_links_as_modules_write_them() -> None:
    """An image by its name, a DOI, and the version of the template: what real modules have there."""
    links = {
        "docker_image: ai4oshub/ai4os-demo-app": "https://hub.docker.com/r/ai4oshub/ai4os-demo-app",
        "docker_image: 'ai4oshub/a:gpu'": "https://hub.docker.com/r/ai4oshub/a",
        "docker_image: 'registry.example.org/ai4os/a:1'": "https://registry.example.org/ai4os/a",
        "zenodo_doi: 10.5281/zenodo.1599": "https://doi.org/10.5281/zenodo.1599",
    }
    for written, address in links.items():
        text = GOOD.replace("https://example.org/x", f"https://example.org/x, {written}, ai4_template: template/2.1")
        about, problems = of_file(text)
        assert address in [url for _, url in about.links] and problems == ()
    _, problems = of_file(GOOD.replace("https://example.org/x", "x, docker_image: 'javascript:alert(1)'"))
    assert problems == (
        "links: source_code is not an http or https address",
        "links: docker_image is not an http or https address",
    )


def test_what_is_right_counts_all_the_same() -> None:
    about, problems = of_file(GOOD.replace("tags: [a, b]", "tags: 3"))
    assert (about.title, about.tags, len(problems)) == ("A title", (), 1)


def test_a_plugin_and_its_packaging_fill_what_is_not_said() -> None:
    card = of_card(Card("x", metadata={"summary": "Its summary", "home-page": "javascript:x", "license": None}))
    packaged = of_package({"summary": "The package", "license": "MIT", "urls": ["Docs, https://example.org"]}, "1.0")
    about = card.filled_by(packaged)
    assert (about.summary, about.license, about.version) == ("Its summary", "MIT", "1.0")
    assert about.links == (("Docs", "https://example.org"),)


def searched(name: str, **about: Any) -> Module:
    return Module(name, name, name, about=About(**about))


def test_values_of_a_filter_add_and_filters_narrow() -> None:
    modules = [
        searched("a", libraries=("PyTorch",), tasks=("Vision",), updated="2024-01-01"),
        searched("b", libraries=("Keras",), tasks=("Vision",), updated="2025-01-01"),
        searched("c", libraries=("Keras",), tasks=("Sound",), summary="hears Birds"),
    ]

    def names(address: str) -> list[str]:
        pairs = [part.split("=") for part in address.split("&") if part]
        return [each.name for each in select(modules, Query.read((name, value) for name, value in pairs))]

    assert names("") == ["a", "b", "c"]
    assert names("library=Keras&library=PyTorch") == ["a", "b", "c"]
    assert names("library=Keras&task=Vision") == ["b"]
    assert names("q=birds hears") == ["c"]
    assert names("sort=date") == ["b", "a", "c"]
    found = choices(modules, Query.read([("library", "Keras"), ("tag", "gone")]))
    # Of the libraries, how many there would be with each; of the tasks, how many of those chosen.
    assert {each.value: each.count for each in found["library"]} == {"Keras": 0, "PyTorch": 0}
    assert [(each.value, each.count, each.chosen) for each in found["tag"]] == [("gone", 0, True)]
    found = choices(modules, Query.read([("library", "Keras")]))
    assert {each.value: each.count for each in found["library"]} == {"Keras": 2, "PyTorch": 1}
    assert {each.value: each.count for each in found["task"]} == {"Vision": 1, "Sound": 1}


# The catalogue itself


async def open_catalogue(folder: Path, **settings: str) -> tuple[Catalogue, Store]:
    store = await Store.open(folder / "store.sqlite")
    table = Settings(home=str(folder), **settings)  # type: ignore[arg-type]
    sources = Sources(table, store, folder / "modules")
    return Catalogue(table, store, Deployments(table, folder), folder / "catalogue", sources), store


async def test_installed_modules_are_found_without_importing_them(tmp_path: Path) -> None:
    catalogue, store = await open_catalogue(tmp_path)
    modules = {module.name: module for module in await catalogue.modules()}
    assert modules["my_model"].title == "Handwritten digits"
    assert modules["my_model"].source == "ai4-metadata.yml"
    assert not modules["my_model"].described
    with pytest.raises(NotFound):
        await catalogue.get("nobody")
    await catalogue.stop()
    await store.close()


async def test_a_module_is_described_once_and_remembered(tmp_path: Path) -> None:
    (tmp_path / "modules" / "one").mkdir(parents=True)
    counter = tmp_path / "imports"
    source = f"open({str(counter)!r}, 'a').write('x')\n"
    source += "def get_metadata(): return {'summary': 'said'}\ndef predict(): pass\n"
    (tmp_path / "modules" / "one" / "api.py").write_text(source)
    for _ in range(2):
        catalogue, store = await open_catalogue(tmp_path, module_folders=str(tmp_path / "modules"))
        [module] = [each for each in await catalogue.modules() if each.place == str(tmp_path / "modules" / "one")]
        card = await catalogue.card(module.id)
        assert card.metadata["summary"] == "said"
        assert (await catalogue.get(module.id)).about.summary == "said"
        await catalogue.stop()
        await store.close()
    assert counter.read_text() == "x"


async def test_what_was_learnt_of_a_module_before_it_changed_is_forgotten(tmp_path: Path) -> None:
    """Its card may be as large as its author likes, and an author saves often."""
    file = tmp_path / "modules" / "single.py"
    file.parent.mkdir()
    catalogue, store = await open_catalogue(tmp_path, module_folders=str(file.parent))
    for number in range(3):
        file.write_text(f"def get_metadata(): return {{'summary': '{number}'}}\ndef predict(): pass\n")
        os.utime(file, (number, number))
        await catalogue.refresh()
        assert (await catalogue.card("single")).metadata["summary"] == str(number)
        assert len(await store.read(get_values, KEPT)) == 1
    await catalogue.refresh()
    assert (await catalogue.get("single")).described
    await catalogue.stop()
    await store.close()


async def test_a_folders_packaging_fills_what_its_metadata_file_does_not_say(tmp_path: Path) -> None:
    folder = tmp_path / "modules" / "one"
    folder.mkdir(parents=True)
    (folder / "setup.cfg").write_text("[metadata]\nname = one\nsummary = A demo\nversion = 2.1\nlicense = MIT\n")
    (folder / "api.py").write_text("def predict(): pass\n")
    catalogue, store = await open_catalogue(tmp_path, module_folders=str(tmp_path / "modules"))
    [module] = [each for each in await catalogue.modules() if each.place == str(folder)]
    about = module.about
    assert (about.summary, about.version, about.license) == ("A demo", "2.1", "MIT")
    await catalogue.stop()
    await store.close()


async def test_a_single_file_is_a_module_where_it_defines_predict(tmp_path: Path) -> None:
    folder = tmp_path / "modules"
    (folder / "project").mkdir(parents=True)
    (folder / "project" / "api.py").write_text("def predict(): pass\n")
    (folder / "single.py").write_text("async def predict(): pass\n")
    (folder / "script.py").write_text("# predict nothing\ndef other():\n    def predict(): pass\n")
    (folder / "setup_tools.py").write_bytes(b"\xff\xfe")
    catalogue, store = await open_catalogue(tmp_path, module_folders=str(folder))
    rows = {each.name: each.module for each in await catalogue.modules() if each.module.startswith(str(folder))}
    assert rows == {"project": str(folder / "project"), "single": str(folder / "single.py")}
    assert (await catalogue.card("single")).capabilities == ["predict"]
    (folder / "script.py").write_text("def predict(): pass\n")
    await catalogue.refresh()
    assert "script" in {each.name for each in await catalogue.modules()}
    await catalogue.stop()
    await store.close()


async def test_modules_of_the_command_line_are_listed_and_marked(tmp_path: Path) -> None:
    (tmp_path / "single.py").write_text("def predict(): pass\n")
    store = await Store.open(tmp_path / "store.sqlite")
    table = Settings(home=str(tmp_path))
    deployments = Deployments(table, tmp_path)
    for name, module in (("digits", "my_model"), ("one", str(tmp_path / "single.py"))):
        deployments.add(DeploymentRow(name=name, module=module))
    catalogue = Catalogue(
        table, store, deployments, tmp_path / "catalogue", Sources(table, store, tmp_path / "modules")
    )
    named = {each.name: each.module for each in await catalogue.modules() if each.named}
    assert named == {"my_model": "my_model", "one": str(tmp_path / "single.py")}
    await catalogue.stop()
    await store.close()


async def test_a_module_that_is_installed_and_lies_in_a_folder_is_listed_once(tmp_path: Path) -> None:
    root = Path(my_model.__file__).parents[2]
    copy = tmp_path / "copy"
    (copy / "my_model").mkdir(parents=True)
    (copy / "setup.cfg").write_text((root / "setup.cfg").read_text())
    (copy / "my_model" / "__init__.py").write_text("def predict(): pass\n")
    catalogue, store = await open_catalogue(tmp_path, module_folders=f"{root},{copy}")
    assert [module.place for module in await catalogue.modules() if "my_model" in module.name] == ["installed"]
    await catalogue.stop()
    await store.close()


async def test_a_change_is_seen_and_what_cannot_be_asked_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "modules"
    folder.mkdir()
    catalogue, store = await open_catalogue(
        tmp_path, module_folders=f"{folder},{tmp_path / 'nowhere'}", module_pythons="/bin/false, /no/such/python"
    )
    before = len(await catalogue.modules())
    assert [problem.partition(":")[0] for problem in catalogue.problems] == [
        "/bin/false",
        "/no/such/python",
        str(tmp_path / "nowhere"),
    ]
    (folder / "new").mkdir()
    (folder / "new" / "api.py").write_text("import nothing_of_this_name")
    os.utime(folder, (time.time() + 5, time.time() + 5))
    await wait_count(catalogue, before + 1)
    [module] = [each for each in await catalogue.modules() if each.place.endswith("/new")]
    with pytest.raises(LoadFailed, match="nothing_of_this_name"):
        await catalogue.card(module.id)
    assert "nothing_of_this_name" in (await catalogue.get(module.id)).failure
    await catalogue.stop()
    await store.close()


@pytest.mark.slow
async def test_a_module_of_another_environment_is_found_and_runs_there(tmp_path: Path) -> None:
    """The environment is a real one, with a distribution that the server's own does not have."""
    made = [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")]
    await asyncio.to_thread(subprocess.run, made, check=True)
    python = tmp_path / "env" / "bin" / "python"
    [site] = (tmp_path / "env").glob("lib/python*/site-packages")
    source = "import sys\ndef get_metadata(): return {}\ndef predict(): return [sys.prefix, 'msgspec' in sys.modules]\n"
    record = (
        installed_plugin(site, "only-there", source, entry="only_there_api") / "only-there-1.0.dist-info" / "RECORD"
    )
    record.write_text("../../../share/only-there/ai4-metadata.yml,,\n")
    (tmp_path / "env" / "share" / "only-there").mkdir(parents=True)
    (tmp_path / "env" / "share" / "only-there" / "ai4-metadata.yml").write_text(GOOD)
    owner = {"Authorization": "Basic " + base64.b64encode(b"oscar:wonder").decode()}
    async with open_house(tmp_path, {}, module_pythons=str(python), password="wonder") as house:
        document = (await house.get("/modules", params={"q": "only-there"}, headers=owner)).json()
        assert not document["problems"]
        [module] = document["modules"]
        assert (module["name"], module["python"], module["place"]) == ("only-there", str(python), str(python))
        assert (module["title"], module["source"]) == ("A title", "ai4-metadata.yml")
        chosen = {"module": module["module"], "python": module["python"], "name": "there"}
        assert (await house.post("/deployments", json=chosen, headers=owner)).status == 201
        token = (await house.get("/deployments/there", headers=owner)).json()["token"]
        answer = await house.get("/there", headers={"Authorization": f"Bearer {token}"})
        assert answer.json() == {"result": [str(tmp_path / "env"), False]}


async def wait_count(catalogue: Catalogue, count: int) -> None:
    """Until the catalogue, which looks at the disk once a second, has so many modules."""
    async with asyncio.timeout(PATIENCE_S):
        while len(await catalogue.modules()) != count:
            await asyncio.sleep(POLL_S)


def test_installing_modelport_brings_no_module() -> None:
    """A module's environment has the module alone, so nobody has to say which one is meant."""
    assert not distribution("modelport").entry_points.select(group="deepaas.v2.model")
    assert [entry.name for entry in distribution("my_model").entry_points.select(group="deepaas.v2.model")] == [
        "my_model"
    ]
