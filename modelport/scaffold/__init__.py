"""New modules, and what a folder with code lacks, from the templates in `templates/`.

common/    every module's files; `package` stands for the name of its package
kinds/     what is the model's: its code, an example, sometimes more for its tests
hub/       what the hub's pipeline wants besides
licences/  by their SPDX names

`NAME.jinja` is rendered to `NAME`, `dot.NAME` becomes `.NAME`, other files are copied.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelport.contract import naming

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).with_name("templates")
LICENCES = tuple(sorted(path.stem for path in (TEMPLATES / "licences").iterdir()))
SUFFIX = ".jinja"
# How the names of files begin that say the same.
SAME = {
    "LICENSE": ("licen", "copying"),
    "README.md": ("readme",),
    "pyproject.toml": ("pyproject.toml", "setup.cfg", "setup.py"),
}


@dataclass(frozen=True)
class Kind:
    """What a model of this kind needs. expected: lines of a test of the example's answer."""

    text: str
    requirements: tuple[str, ...]
    library: str
    task: str
    data_type: str
    memory_MB: int
    expected: tuple[str, ...]


KINDS = {
    "function": Kind(
        "a plain function",
        (),
        "Other",
        "Natural Language Processing",
        "Text",
        256,
        ('assert answer["words"] == 6', 'assert answer["most_common"][0] == {"word": "to", "count": 2}'),
    ),
    "sklearn": Kind(
        "a scikit-learn pipeline",
        ("scikit-learn>=1.3",),
        "Scikit-learn",
        "Classification",
        "Tabular",
        512,
        ('assert answer["label"] == "setosa"', 'assert answer["probabilities"]["setosa"] > 0.9'),
    ),
    "huggingface": Kind(
        "a Hugging Face pipeline",
        ("transformers>=4.40", "torch>=2"),
        "PyTorch",
        "Natural Language Processing",
        "Text",
        2048,
        ("assert len(answer) == 1", 'assert 0 <= answer[0]["score"] <= 1'),
    ),
    "pytorch": Kind(
        "a PyTorch network",
        ("torch>=2",),
        "PyTorch",
        "Classification",
        "Tabular",
        2048,
        ('assert abs(sum(answer["probabilities"]) - 1) < 0.001', 'assert answer["label"] in range(api.CLASSES)'),
    ),
    "onnx": Kind(
        "an ONNX model",
        ("onnxruntime>=1.17", "numpy>=1.24"),
        "Other",
        "Classification",
        "Tabular",
        512,
        ('assert answer["label"] == 0', 'assert abs(sum(answer["probabilities"]) - 1) < 0.001'),
    ),
}


@dataclass(frozen=True)
class Answers:
    """repository, package: names of the project and of its package. base_image: without its tag."""

    repository: str
    package: str
    kind: str
    title: str
    summary: str
    author: str
    email: str
    licence: str
    version: str
    source_code: str
    tasks: tuple[str, ...]
    libraries: tuple[str, ...]
    categories: tuple[str, ...]
    data_types: tuple[str, ...]
    base_image: str
    base_tag: str
    hub: bool


@dataclass(frozen=True)
class Layout:
    """Where the plugin lies. entry: module[:attribute]. file: the only module, where there is no package."""

    entry: str
    top: str
    where: str = "."
    file: str = ""
    is_new: bool = True


def names(name: str) -> tuple[str, str]:
    """(repository, package) of a name that a person gave. Raises ValueError."""
    repository = re.sub(r"[\s_-]+", "-", name.strip()).lower()
    package = repository.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]+", package):
        raise ValueError(f"{name!r} is not a valid name; give letters, digits and hyphens, with a letter first")
    if iskeyword(package):
        raise ValueError(f"{name!r} is a keyword of Python, so nothing could import the module; choose another name")
    return repository, package


def layout_of(folder: Path) -> Layout | None:
    """Of the plugin that lies there; None where there is none."""
    from modelport.contract import packaging

    project = packaging.read(folder, naming.GROUP)
    plugin = naming.plugin_in(project)
    if plugin is None:
        return None
    top = plugin.value.partition(":")[0].partition(".")[0]
    for root in project.roots:
        if (root / f"{top}.py").is_file() or (root / top).is_dir():
            where = "." if root == folder.resolve() else str(root.relative_to(folder.resolve()))
            file = top if (root / f"{top}.py").is_file() else ""
            return Layout(plugin.value, top, where, file, is_new=False)
    return Layout(plugin.value, top, is_new=False)


def render(answers: Answers, layout: Layout | None = None) -> dict[str, bytes]:
    """All files of a module, by their paths. layout: of a plugin that is there; its code is not made then."""
    import datetime

    kind = KINDS[answers.kind]
    is_new = layout is None
    layout = layout or Layout(f"{answers.package}.api", answers.package)
    today = datetime.date.today()
    values = {
        **asdict(answers),
        **asdict(layout),
        "requirements": ["marshmallow>=3.14", *kind.requirements, *(["deepaas>=2.5"] if answers.hub else [])],
        "tags": sorted({answers.kind, *(word.lower() for word in answers.data_types)}),
        "memory_MB": kind.memory_MB,
        "expected": "\n".join(f"    {line}" for line in kind.expected),
        "today": today.isoformat(),
        "year": today.year,
    }
    environment = _environment()
    files = {"LICENSE": _content(environment, TEMPLATES / "licences" / (answers.licence + SUFFIX), values)}
    for group in ("common", f"kinds/{answers.kind}", *(["hub"] if answers.hub else [])):
        for path in filter(Path.is_file, sorted((TEMPLATES / group).rglob("*"))):
            name = _target(path.relative_to(TEMPLATES / group), answers.package)
            if is_new or not name.startswith((f"{answers.package}/", "tests/", "examples/")):
                files[name] = _content(environment, path, values)
    return files


def _environment() -> jinja2.Environment:
    import json

    import jinja2  # which --help need not wait for

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 (no HTML; `quoted` makes values safe for TOML, YAML and Python)
    )
    environment.filters["quoted"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment


def _target(template: Path, package: str) -> str:
    parts = [package if part == "package" else re.sub(r"^dot\.", ".", part) for part in template.parts]
    return "/".join(parts).removesuffix(SUFFIX)


def _content(environment: jinja2.Environment, path: Path, values: Mapping[str, Any]) -> bytes:
    if path.suffix != SUFFIX:
        return path.read_bytes()
    return environment.get_template(str(path.relative_to(TEMPLATES))).render(values).encode()


def missing(folder: Path, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Those that the folder does not have, under this name or another one that means the same.

    A file or a link where a folder should be is the author's: nothing is put through it.
    """
    there = [path.name.lower() for path in folder.iterdir()]

    def has(name: str) -> bool:
        starts = SAME.get(name, (name.lower(),))
        path = folder / name
        above = [parent for parent in path.parents if parent.is_relative_to(folder) and parent != folder]
        if os.path.lexists(path) or any(os.path.lexists(up) and (up.is_symlink() or not up.is_dir()) for up in above):
            return True
        return any(other.startswith(starts) for other in there if name in SAME)

    return {name: content for name, content in files.items() if not has(name)}


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Raises FileExistsError rather than change a file."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
