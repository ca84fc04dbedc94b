"""Plugins found, imported and described."""

from __future__ import annotations

import abc
import os
import subprocess
import sys
import textwrap
import types
from pathlib import Path
from typing import Any

import pytest
from marshmallow import Schema, fields, validate

from modelport.child import plugin
from modelport.child.plugin import Plugin
from modelport.contract import naming
from modelport.errors import LoadFailed, ModelFailed

PREDICT = "def predict(**kwargs):\n    return __name__\n"


@pytest.fixture(autouse=True)
def _left_as_it_was(clean_imports: None) -> None:
    """Imports of one test are none of the next one's."""


def write(path: Path, text: str = PREDICT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def install(folder: Path, name: str, points: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution, as pip leaves it."""
    info = folder / f"{name}-1.2.dist-info"
    write(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    write(info / "entry_points.txt", points)
    if str(folder) not in sys.path:
        monkeypatch.syspath_prepend(str(folder))


def module(**attributes: Any) -> types.ModuleType:
    made = types.ModuleType("made")
    vars(made).update(attributes)
    return made


def made(**attributes: Any) -> Plugin:
    return Plugin("made", module(**{"predict": lambda **kwargs: kwargs, **attributes}))


def failure(spec: str) -> LoadFailed:
    with pytest.raises(LoadFailed) as caught:
        plugin.load(spec)
    return caught.value


def answer(spec: str | Path) -> Any:
    predict = plugin.load(str(spec)).function("predict")
    assert predict is not None
    return predict()


# Entry points.


def test_installed_plugins_are_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = "[deepaas.v2.model]\nTest_Dogs-breed = dogs_x.api\n[console_scripts]\nx = y:z\n"
    install(tmp_path / "a", "dogs_x", points, monkeypatch)
    install(tmp_path / "b", "dogs-x", points, monkeypatch)
    found = [each for each in naming.installed() if each.name == "Test_Dogs-breed"]
    assert [(each.value, each.version) for each in found] == [("dogs_x.api", "1.2")]


def test_a_broken_distribution_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "fine", "[deepaas.v2.model]\nfine_one = fine\n", monkeypatch)
    install(tmp_path, "broken", "[deepaas.v2.model]\nthis is no entry point\n", monkeypatch)
    (tmp_path / "broken-1.2.dist-info" / "entry_points.txt").write_bytes(b"[deepaas.v2.model]\n\xff = x\n")
    assert "fine_one" in [each.name for each in naming.installed()]


def test_an_entry_point_names_a_module_or_an_object_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = "[deepaas.v2.model]\nby-module = dogs_y.api\nby_object = dogs_y.api:Holder.model [extra]\n"
    install(tmp_path, "dogs_y", points, monkeypatch)
    write(tmp_path / "dogs_y" / "__init__.py", "")
    code = (
        PREDICT
        + "class Holder:\n    class model:\n        @staticmethod\n        def predict():\n            return 5\n"
    )
    write(tmp_path / "dogs_y" / "api.py", code)
    assert (answer("by-module"), answer("by_object")) == ("dogs_y.api", 5)
    assert plugin.load("by_module").name == "by-module"
    assert plugin.load("by_object").origin == "dogs_y.api:Holder.model"


def test_an_unknown_name_tells_the_known_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "dogs_z", "[deepaas.v2.model]\ndogs_known = dogs_z\n", monkeypatch)
    message = failure("nothing_here").message
    assert message.startswith("there is no module 'nothing_here': the installed ones are ")
    assert "dogs_known" in message
    assert "no module 'dogs_z'" in failure("dogs_known").message


# Dotted names, folders and files.


def test_a_dotted_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "pk_a" / "__init__.py", "")
    write(tmp_path / "pk_a" / "api.py")
    write(tmp_path / "pk_a" / "other.py", PREDICT + "model = None\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert (answer("pk_a.api"), plugin.load("pk_a.api").name) == ("pk_a.api", "pk_a")
    assert plugin.load("pk_a.other").name == "other"
    assert failure("pk_a.none").message.startswith("there is no module pk_a.none: no module 'pk_a.none'")
    assert failure("pk_a.other:nothing").message == "pk_a.other has no 'nothing'"
    assert failure("pk_a.other:model").message.startswith("pk_a.other:model is not a plugin: it has none of predict, ")


@pytest.mark.parametrize("name", ["one", "my-model", "v1.2", "json"])
def test_a_file_whatever_its_name(tmp_path: Path, name: str) -> None:
    write(tmp_path / "beside_it.py", "VALUE = 5\n")
    path = write(tmp_path / f"{name}.py", PREDICT + "import beside_it, sys\nme = sys.modules[__name__]\n")
    loaded = plugin.load(str(path))
    assert (loaded.name, loaded.origin) == (name, str(path))
    assert loaded.target.me is loaded.target
    assert sys.modules["json"] is __import__("json")


def test_a_file_with_an_attribute_and_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "sub" / "objects.py", "class Model:\n    def predict(self):\n        return 5\n")
    monkeypatch.chdir(tmp_path)
    assert answer("sub/objects.py:Model") == answer("./sub/objects.py:Model") == 5
    monkeypatch.chdir(tmp_path / "sub")
    assert answer("objects.py:Model") == 5


def test_a_file_in_a_package_is_imported_as_part_of_it(tmp_path: Path) -> None:
    write(tmp_path / "pk_b" / "__init__.py", "")
    write(tmp_path / "pk_b" / "sub" / "__init__.py", "")
    path = write(tmp_path / "pk_b" / "sub" / "api.py", "from . import config\n" + PREDICT)
    write(tmp_path / "pk_b" / "sub" / "config.py", "")
    assert (answer(path), plugin.load(str(path)).name) == ("pk_b.sub.api", "sub")


def test_a_package_folder(tmp_path: Path) -> None:
    write(tmp_path / "pk_c" / "__init__.py", "from pk_c.api import predict\n")
    write(tmp_path / "pk_c" / "api.py")
    write(tmp_path / "pk_d" / "__init__.py", "")
    write(tmp_path / "pk_d" / "api" / "__init__.py")
    assert (answer(tmp_path / "pk_c"), plugin.load(f"{tmp_path}/pk_c/").name) == ("pk_c.api", "pk_c")
    assert (answer(tmp_path / "pk_d"), plugin.load(f"{tmp_path}/pk_d").name) == ("pk_d.api", "pk_d")


PROJECTS = {
    "setup.cfg": "[metadata]\nname = %(odd\n[options.entry_points]\ndeepaas.v2.model =\n    named-{} = {}.api\n",
    "pbr": "[entry_points]\ndeepaas.v2.model =\n    named-{} = {}.api\n",
    "pyproject.toml": '[project]\n[project.entry-points."deepaas.v2.model"]\n# one\nnamed-{} = "{}.api"\n[tool]\n',
}


@pytest.mark.parametrize("kind", sorted(PROJECTS))
@pytest.mark.parametrize("root", [".", "src"])
def test_a_project_folder_by_what_its_packaging_says(tmp_path: Path, kind: str, root: str) -> None:
    name = f"pk_{kind[:2]}_{root.strip('.')}"
    write(tmp_path / root / name / "__init__.py", "")
    write(tmp_path / root / name / "api.py")
    write(tmp_path / root / "another" / "__init__.py", "")
    write(tmp_path / ("setup.cfg" if kind == "pbr" else kind), PROJECTS[kind].format(name, name))
    assert (answer(tmp_path), plugin.load(str(tmp_path)).name) == (f"{name}.api", f"named-{name}")


def test_a_project_folder_by_what_lies_there(tmp_path: Path) -> None:
    write(tmp_path / "a" / "api.py")
    assert plugin.load(f"{tmp_path}/a").name == "a"
    del sys.modules["api"]
    write(tmp_path / "b" / "pk_e" / "__init__.py", "")
    write(tmp_path / "b" / "pk_e" / "api.py")
    write(tmp_path / "b" / "pk_f" / "__init__.py", "")
    write(tmp_path / "b" / "tests" / "__init__.py", "")
    assert answer(tmp_path / "b") == "pk_e.api"
    write(tmp_path / "c" / "pk_g" / "__init__.py", "")
    write(tmp_path / "c" / "pk_g" / "predict.py")
    assert answer(tmp_path / "c") == "pk_g.predict"
    write(tmp_path / "d" / "digits_x.py")
    write(tmp_path / "d" / "setup.py", "predict")
    assert answer(tmp_path / "d") == "digits_x"
    (tmp_path / "empty").mkdir()
    message = failure(str(tmp_path / "empty")).message
    assert message.startswith(f"there is no module in '{tmp_path}/empty': looked for an entry point")


def test_what_is_no_plugin_by_path_is_told(tmp_path: Path) -> None:
    assert failure(f"{tmp_path}/none.py").message.startswith(
        f"there is no module at '{tmp_path}/none.py': no such file"
    )
    assert "neither a Python file nor a folder" in failure(str(write(tmp_path / "x.txt"))).message
    assert "is not a plugin: it has none of predict" in failure(str(write(tmp_path / "x_1.py", "a = 1\n"))).message


# Imports that fail.


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import sys; sys.exit(3)", "ends the process when it is imported: sys.exit(3)"),
        ("raise ValueError('what\\nhappened')", "cannot be imported: ValueError: what happened"),
        ("def broken(:", "cannot be imported: SyntaxError"),
        ("import nothing_at_all", "cannot be imported: ModuleNotFoundError: No module named 'nothing_at_all'"),
        (
            "raise ModuleNotFoundError('no', name='pkg_resources.extern')",
            'install "setuptools<81" in the module\'s environment',
        ),
        ("class Odd(BaseException): pass\nraise Odd('x')", "cannot be imported: Odd: x"),
    ],
)
def test_whatever_an_import_raises_is_told_in_one_line(tmp_path: Path, code: str, told: str) -> None:
    error = failure(str(write(tmp_path / f"broken_{len(code)}.py", code)))
    assert told in error.message
    assert "\n" not in error.message
    assert "Traceback" in error.detail
    assert f"broken_{len(code)}" not in sys.modules


# Functions and objects.


def test_functions_are_looked_up_when_the_import_is_complete() -> None:
    found = made(get_predict_args=lambda: {"a": fields.Int()})
    assert list(found.predict_fields) == ["a"]
    assert (found.function("train"), found.train_fields) == (None, {})
    assert made(predict=5, train=lambda: 1).describe().capabilities == ["train"]


@pytest.mark.parametrize("error", [AttributeError("typo"), NotImplementedError()])
def test_a_function_that_is_not_there_after_all(error: Exception) -> None:
    def fail() -> None:
        raise error

    found = made(
        get_predict_args=fail, get_metadata=fail, warm=fail if isinstance(error, NotImplementedError) else None
    )
    found.warm()
    made_card = found.describe()
    assert (made_card.predict_args, made_card.metadata, made_card.metadata_error) == ([], {}, None)
    expected = [
        "get_predict_args() is ignored, because it raised AttributeError: typo",
        "get_metadata() is ignored, because it raised AttributeError: typo",
    ]
    assert found.describe().warnings == (expected if str(error) else [])


def test_other_errors_are_told() -> None:
    def fail() -> None:
        raise KeyError("x")

    assert made(get_metadata=fail).describe().metadata_error == "KeyError: 'x'"
    with pytest.raises(LoadFailed, match=r"get_train_args\(\) of made failed: KeyError: 'x'"):
        made(get_train_args=fail)
    with pytest.raises(LoadFailed, match="it returned int; a dict of fields is needed"):
        made(get_predict_args=lambda: 5)
    with pytest.raises(KeyError):
        made(warm=fail).warm()


def test_metadata_is_asked_for_each_time_and_made_plain() -> None:
    calls: list[int] = []

    def get_metadata() -> dict[Any, Any]:
        calls.append(1)
        return {"calls": len(calls), "path": Path("/x"), 1: {2}, "none": None}

    found = made(get_metadata=get_metadata)
    assert found.describe().metadata == {"calls": 1, "path": "/x", "1": [2], "none": None}
    assert found.describe().metadata["calls"] == 2
    assert made(get_metadata=lambda: [1]).describe().metadata_error == (
        "TypeError: get_metadata returned list; a dict is needed"
    )


def test_arguments_are_asked_for_once() -> None:
    calls: list[int] = []

    def get_predict_args() -> dict[str, Any]:
        calls.append(1)
        return {}

    found = made(get_predict_args=get_predict_args)
    found.describe()
    assert (found.predict_fields, len(calls)) == ({}, 1)


def test_a_schema_gives_its_fields() -> None:
    class Args(Schema):
        a = fields.Int()
        b = fields.Str()

    for given in (Args, Args(), Args().fields):
        assert list(made(get_predict_args=lambda given=given: given).predict_fields) == ["a", "b"]


def test_a_class_is_used_as_it_is_or_instantiated() -> None:
    class Methods:
        def predict(self) -> Any:
            return self

    class Class:
        @classmethod
        def predict(cls) -> Any:
            return cls

    class Base(abc.ABC):
        @abc.abstractmethod
        def train(self) -> None: ...

        def predict(self) -> Any:
            return self

    class Needs:
        def __init__(self, path: str) -> None: ...

        def predict(self) -> None: ...

    assert isinstance(Plugin("m", Methods).target, Methods)
    assert Plugin("c", Class).target is Class
    for cls in (Base, Needs):
        with pytest.raises(LoadFailed, match="no instance of the class x can be made: TypeError"):
            Plugin("x", cls, "x")


# Accept.


@pytest.mark.parametrize(
    ("field", "types", "default"),
    [
        (fields.Str(validate=validate.OneOf(["a/b", "c/d"])), ["a/b", "c/d"], "a/b"),
        (fields.Str(load_default="c/d", validate=[validate.OneOf(("a/b", "c/d", "*/*"))]), ["a/b", "c/d"], "c/d"),
        (fields.Str(load_default="x/y", validate=validate.OneOf(["a/b"])), ["a/b"], "a/b"),
        (fields.Str(load_default="*/*", metadata={"enum": ["*/*", "a/b"]}), ["a/b"], "a/b"),
        (fields.Str(load_default="text/plain"), ["text/plain"], "text/plain"),
        (fields.Str(), [], None),
        (fields.Str(validate=validate.OneOf(["*/*"])), [], None),
    ],
)
def test_answer_types(field: Any, types: list[str], default: str | None) -> None:
    card = made(get_predict_args=lambda: {"accept": field}).describe()
    assert (card.answer_types, card.default_answer_type) == (types, default)


# The answer's schema.


def test_schemas_of_every_kind_check_answers() -> None:
    class ThingSchema(Schema):
        a = fields.Int(required=True)

    for given, name in (
        ({"a": fields.Int(required=True)}, "ModelPredictionResponse"),
        (ThingSchema, "Thing"),
        (ThingSchema(), "Thing"),
    ):
        found = made(schema=given)
        described = found.describe().answer_schema
        assert described is not None
        assert (described.name, [field.name for field in described.fields]) == (name, ["a"])
        found.check_answer({"a": 1})
        with pytest.raises(ModelFailed, match=r"answer\.a: Not a valid integer; answer\.b: Unknown field"):
            found.check_answer({"a": "x", "b": 1})


@pytest.mark.parametrize("given", [{"type": "object"}, 5, "text", fields.Int()])
def test_what_is_no_schema_checks_nothing_and_is_told(given: Any) -> None:
    found = made(schema=given)
    found.check_answer({"anything": 1})
    assert found.describe().answer_schema is None
    assert found.describe().warnings[0].startswith("the schema is not used: TypeError")


def test_no_schema_checks_nothing() -> None:
    nothing: list[Any] = [None, {}]
    for given in nothing:
        made(schema=given).check_answer(object())
        assert made(schema=given).describe().warnings == []


def test_versions_are_those_of_the_child() -> None:
    versions = made().describe().versions
    assert versions["python"].startswith("3.")
    assert versions["marshmallow"].startswith("3.")


# deepaas, or what stands in for it.

CHECK = """
import sys, pickle
{before}
import modelport.child.compat as compat
compat.supply_deepaas()
upload = compat.uploaded_file("data", "/x", "image/png", "x.png")
print("loaded" if "deepaas" in sys.modules else "not loaded", tuple(pickle.loads(pickle.dumps(upload))))
from deepaas.model.v2.wrapper import UploadedFile
from deepaas.model.v2.base import BaseModel
assert isinstance(upload, UploadedFile) and upload.filename == "/x"
assert isinstance(pickle.loads(pickle.dumps(upload)), UploadedFile)
assert isinstance(compat.uploaded_file("data", "/x", None, None), UploadedFile)
assert UploadedFile() == (None,) * 4
print(BaseModel.__module__, sys.modules["deepaas"].__file__)
"""


def run_check(tmp_path: Path, before: str = "", *flags: str) -> str:
    if not (tmp_path / "modelport").exists():
        (tmp_path / "modelport").symlink_to(Path(plugin.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, *flags, "-W", "ignore", "-c", CHECK.format(before=before)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_real_deepaas_is_taken_and_not_imported_before_it_is_needed(tmp_path: Path) -> None:
    told = run_check(tmp_path)
    assert told.startswith("not loaded ('data', '/x', 'image/png', 'x.png')\ndeepaas.model.v2.base ")
    assert "compat" not in told


def test_where_there_is_no_deepaas_ours_stands_in(tmp_path: Path) -> None:
    (tmp_path / "deepaas" / "model").mkdir(parents=True)  # a folder is no package
    told = run_check(tmp_path, "", "-S")
    assert "modelport/child/compat/deepaas/__init__.py" in told


def test_a_deepaas_that_was_imported_first_gives_its_own_class(tmp_path: Path) -> None:
    assert run_check(tmp_path, "import deepaas.model.v2.wrapper").startswith("loaded ")
