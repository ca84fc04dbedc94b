"""A module served from its folder, not installed: where its packages lie, its metadata, what it lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modelport.child import plugin
from modelport.contract import packaging
from modelport.contract.naming import GROUP
from modelport.errors import LoadFailed, NoSuchPlugin
from tests.child.test_plugin import write

# As the template's config.py does, at import.
READS_METADATA = """
from importlib import metadata
META = metadata.metadata("{name}")
EMAILS = dict(each[:-1].split(" <") for each in META["Author-email"].split(", "))
def get_metadata():
    return {{
        "name": META["name"],
        "version": META["version"],
        "summary": META["summary"],
        "license": META["license"],
        "emails": EMAILS,
    }}
def predict(**k): return __name__
"""
SAID = {
    "version": "1.2.3",
    "summary": "A module",
    "license": "MIT",
    "emails": {"Ann Lee": "ann@example.org"},
}
PACKAGING = {
    "pyproject.toml": """
[project]
name = "{name}"
description = "A module"
license = {{ text = "MIT" }}
authors = [{{ name = "Ann Lee", email = "ann@example.org" }}]
dynamic = ["version", "dependencies"]
[tool.setuptools]
packages = ["{package}", "{package}.api"]
[tool.setuptools.package-dir]
"{package}.api" = "api"
[tool.setuptools.dynamic]
version = {{ file = "VERSION" }}
[project.entry-points."deepaas.v2.model"]
{name} = "{package}.api"
""",
    "setup.cfg": """
[metadata]
name = {name}
version = file: VERSION
description = A module
license = MIT
author-email = Ann Lee <ann@example.org>
[options]
packages = {package}, {package}.api
package_dir =
    {package}.api = api
[options.entry_points]
deepaas.v2.model =
    {name} = {package}.api
""",
    "pbr": """
[metadata]
name = {name}
version = 1.2.3
summary = A module
license = MIT
author-email = Ann Lee <ann@example.org>
[files]
packages = {package}
[entry_points]
deepaas.v2.model =
    {name} = {package}.api
""",
    "setup.py": """
from setuptools import setup
README = open("README.md").read()
setup(
    name="{name}", version="1.2.3", description="A module", long_description=README, license="MIT",
    author_email="Ann Lee <ann@example.org>", package_dir={{"{package}.api": "api"}},
    entry_points={{"deepaas.v2.model": ["{name} = {package}.api"]}},
)
""",
}


@pytest.fixture(autouse=True)
def _left_as_it_was(clean_imports: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))


def project(folder: Path, kind: str, code: str = READS_METADATA, *, placed: bool = True) -> tuple[str, str]:
    """(name, package) of a module in `folder`; placed: its package `<package>.api` lies in `api/`."""
    package = f"pk_{kind.replace('.', '_')}_{'placed' if placed else 'flat'}"
    name = package.replace("_", "-")
    packaging = PACKAGING[kind].format(name=name, package=package)
    write(folder / ("setup.cfg" if kind == "pbr" else kind), packaging)
    write(folder / "VERSION", "1.2.3\n")
    write(folder / package / "__init__.py", "")
    write(folder / ("api" if placed else f"{package}/api") / "__init__.py", code.format(name=name))
    return name, package


@pytest.mark.parametrize("kind", [kind for kind in PACKAGING if kind != "pbr"])
def test_a_package_is_found_where_the_packaging_says_that_it_lies(tmp_path: Path, kind: str) -> None:
    name, package = project(tmp_path, kind)
    loaded = plugin.load(str(tmp_path))
    predict = loaded.function("predict")
    assert predict is not None and predict() == f"{package}.api"
    assert loaded.describe().metadata == {"name": name, **SAID}


@pytest.mark.parametrize("kind", ["pbr", "setup.cfg"])
def test_a_module_reads_its_own_metadata_without_being_installed(tmp_path: Path, kind: str) -> None:
    # Without the mapping, the packages lie where their names say.
    write(tmp_path / "unused", "")
    name, package = project(tmp_path, kind, placed=False)
    text = (tmp_path / "setup.cfg").read_text().replace(f"{package}.api = api\n", "").replace("package_dir =\n", "")
    (tmp_path / "setup.cfg").write_text(text)
    for spec in (tmp_path, tmp_path / package / "api"):
        assert plugin.load(str(spec)).describe().metadata == {"name": name, **SAID}


WRONG = {
    "pyproject.toml": (
        *("authors = 1.5", "keywords = true", "dependencies = 3", 'dependencies = [1, "six"]', 'readme = "a\\u0000"'),
        *("[tool.setuptools.packages.find]\nwhere = 1", "[tool.setuptools.packages.find]\nwhere = [[]]"),
        "[tool.setuptools.dynamic]\ndependencies = {file = 1}",
    ),
    "setup.py": (
        *("install_requires=[None]", "install_requires=1", "package_dir=[1]", "name=1"),
        *("entry_points={'deepaas.v2.model': 3}", "entry_points={'deepaas.v2.model': [None]}"),
    ),
}


@pytest.mark.parametrize(("file", "line"), [(file, line) for file, lines in WRONG.items() for line in lines])
def test_what_the_packaging_should_not_say_is_as_not_said(tmp_path: Path, file: str, line: str) -> None:
    before = {"pyproject.toml": "[project]\nname = 'own'\n{}\n", "setup.py": "setup(version='1.2', {})\n"}
    write(tmp_path / file, before[file].format(line))
    write(tmp_path / "api.py")
    loaded = plugin.load(str(tmp_path))
    assert loaded.name == tmp_path.name
    assert all(isinstance(text, str) for text in packaging.read(tmp_path, GROUP).requires)


def test_processes_that_a_plugin_starts_find_its_metadata_too(tmp_path: Path) -> None:
    name, _ = project(tmp_path, "setup.py")
    plugin.load(str(tmp_path))
    script = f"import sys; sys.path[:] = {sys.path!r}; import importlib.metadata as m; print(m.version('{name}'))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "1.2.3\n"


def test_an_installation_goes_before_what_the_folder_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, _ = project(tmp_path / "module", "setup.py")
    record = tmp_path / "site" / f"{name.replace('-', '_')}-9.dist-info"
    # Since Python 3.12 a field that is absent is a warning, which is an error in tests.
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 9\nSummary: A\nLicense: B\nAuthor-email: A <a@b>\n"
    write(record / "METADATA", text)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert plugin.load(str(tmp_path / "module")).describe().metadata["version"] == "9"


def test_metadata_that_are_nowhere_are_told_with_the_remedy(tmp_path: Path) -> None:
    write(tmp_path / "api.py", 'from importlib import metadata\nmetadata.metadata("no-such-name")\n')
    with pytest.raises(LoadFailed) as caught:
        plugin.load(str(tmp_path))
    assert not isinstance(caught.value, NoSuchPlugin)
    assert caught.value.message.endswith(
        "reads the metadata of the package 'no-such-name', which is not installed; install the module: "
        f"{sys.executable} -m pip install -e {tmp_path}"
    )


def test_all_that_is_missing_is_told_at_once_with_the_requirements(tmp_path: Path) -> None:
    write(tmp_path / "requirements.txt", "absent-one\n")
    optional = "try:\n    import absent_four\nexcept ImportError: pass\n"
    write(tmp_path / "pk_m" / "__init__.py", "import absent_three.x\n" + optional)
    write(tmp_path / "pk_m" / "api.py", "import os, absent_one.part\nfrom absent_two import x\nfrom . import y\n")
    write(tmp_path / "tests" / "test_x.py", "import absent_five\n")
    with pytest.raises(LoadFailed) as caught:
        plugin.load(str(tmp_path))
    assert caught.value.message == (
        "the module pk_m.api cannot be imported: ModuleNotFoundError: No module named 'absent_three'; also missing: "
        f"absent_one, absent_two; install what it needs: {sys.executable} -m pip install -r {tmp_path}/requirements.txt"
    )


def test_a_folder_with_metadata_and_no_code_says_so(tmp_path: Path) -> None:
    for name in ("ai4-metadata.yml", "Dockerfile", "README.md"):
        write(tmp_path / name, "x")
    with pytest.raises(NoSuchPlugin) as caught:
        plugin.load(str(tmp_path))
    assert "it holds no Python code, only Dockerfile, README.md, ai4-metadata.yml; " in caught.value.message
