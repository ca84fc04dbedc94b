"""Each rule finds what it is for, in the right line, and nothing else is reported with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from modelport.checks import trial
from modelport.checks.checking import check
from modelport.checks.reports import Report
from modelport.checks.rules import RULES, package, running
from modelport.deployments.deployments import DeploymentRow
from modelport.settings import Settings
from tests.checks.modules import FILES, good_module


@dataclass(frozen=True)
class Break:
    """One mistake. new: instead of `old`, or of the whole file; None: the file goes. line: where it is to be found."""

    rule: str
    file: str
    new: str | None
    old: str = ""
    line: int = 0
    says: str = ""


META, CODE, DOCKER, CALL = "ai4-metadata.yml", "louder.py", "Dockerfile", "examples/input.json"

MISTAKES = [
    Break("metadata-missing", META, None),
    Break("metadata-syntax", META, "title: [\n", line=2),
    Break("metadata-syntax", META, "title: &a x\nsummary: *a\n", line=1, says="aliases"),
    Break("metadata-schema", META, "created: 2026-01-15", "created: '2026-01-15'", 9, "write it in quotes"),
    Break("metadata-schema", META, "tags:\n", "tags:\n  - words\n", 17, "must be a list: write []"),
    Break("metadata-schema", META, "", "tags:\n  - words\n", 1, "missing: tags"),
    Break("metadata-schema", META, "AI4 Inference", "AI4 inference", 16, "did you mean 'AI4 inference'?"),
    Break("metadata-schema", META, "pytorch", "Other", 12, "did you mean 'PyTorch'?"),
    Break("metadata-schema", META, "cpu: 0.5", "cpu: 1", 24, "must be a whole number (schema 2.3.0)"),
    Break("metadata-schema", META, "cpu: -1", "cpu: 1", 24, "give 0 or more"),
    Break("metadata-schema", META, "metadata_version: 2.0", "metadata_version: 2.3.0", 1, "quotes, '2.0'"),
    Break("metadata-schema", META, "metadata_version: two", "metadata_version: 2.3.0", 1, "three numbers"),
    Break("metadata-schema", META, "keywords: [a]\ntags:", "tags:", 17, "write it as tags"),
    Break("metadata-schema", META, "  - words\n  - words", "  - words", 17, "more than once"),
    Break("metadata-schema", META, "links:\n", "links:\n  source_code: https://github.com/ai4os-hub/louder\n", 5),
    Break("metadata-repeated", META, "title: A\ntitle: B", "title: Louder", 3, "first in line 2"),
    Break("metadata-unknown", META, "memory: 16GB", "memory_MB: 512", 25, "did you mean memory_MB?"),
    Break("metadata-unknown", META, "data_type:", "data-type:", 19, "did you mean data-type?"),
    Break("metadata-empty", META, "title: ''", "title: Louder", 2),
    Break("metadata-summary", META, f"summary: {'long ' * 50}", "summary: Says it again, louder.", 3),
    Break("metadata-links", META, "  documentation: not a url\ndates:", "dates:", 8),
    Break("metadata-dates", META, "'2026-13-01'", "'2026-01-15'", 9),
    Break("metadata-dates", META, "'2999-01-01'", "'2026-02-15'", 10, "future"),
    Break("metadata-dates", META, "'2025-01-01'", "'2026-02-15'", 10, "before"),
    Break("metadata-image", META, "", "  docker_image: ai4oshub/louder\n", 5),
    Break("metadata-source", META, "https://example.org/louder", "https://github.com/ai4os-hub/louder", 6),
    Break("metadata-categories", META, "AI4 inference\n  - AI4 trainable", "AI4 inference", 15),
    Break("entry-point", "pyproject.toml", "deepaas.v1.model", "deepaas.v2.model", 2),
    Break("loads", CODE, "import nothing_of_this_name\n"),
    Break("loads", CODE, "def warm():\n    raise OSError('no weights')\n\n\ndef predict(", "def predict("),
    Break("card-metadata", CODE, '"license": None', '"license": "Apache-2.0"', says="nothing of license"),
    Break("card-metadata", CODE, 'return {"name": 1 / 0, ', 'return {"name": "louder", ', says="ZeroDivisionError"),
    Break("card-warning", CODE, "schema = 3\n\n\ndef predict(", "def predict(", says="the schema is not used"),
    Break("card-predict", CODE, "def train(", "def predict(", says="no predict()"),
    Break("argument-default", CODE, "load_default=10", "load_default=2", says="the default of times"),
    Break("argument-default", CODE, 'load_default="little"', 'load_default="much"', says="the default of how"),
    Break("argument-type", CODE, "fields.Raw(load_default=2", "fields.Int(load_default=2", says="times of predict()"),
    Break("argument-enum", CODE, "", ', validate=validate.OneOf(["much", "more"])', says="how of predict()"),
    Break("argument-keyword", CODE, "missing=2", "load_default=2", 14, "write load_default="),
    Break("argument-keyword", CODE, 'type="file", metadata=HOW', "metadata=HOW", 13, "into metadata="),
    Break("argument-description", CODE, "", '"description": "what to say", ', says="word of predict()"),
    Break("example-missing", CODE, "", ', "example": "hello"', says="no example of word"),
    Break("example-call", CALL, '{"text": "hello"}', says="predict() has no argument text; it has word, how, times"),
    Break("example-call", CALL, '["hello"]', says="not an object"),
    Break("example-call", CALL, '{"word": "hello"', says="not JSON"),
    Break("prediction", CODE, "raise OSError('lost')", 'return {"said": [word.upper()] * times}', says="lost"),
    Break("prediction", CODE, 'float("nan")]', "word.upper()]"),
    Break("prediction", CODE, "object()]", "word.upper()]"),
    Break("prediction", CODE, '"example": 5', '"example": "hello"', says="Not a valid string"),
    Break("serverless-json", CODE, 'return b"%PDF-"', 'return {"said": [word.upper()] * times}', says="answers"),
    Break("serverless-deepaas", "pyproject.toml", "deepaas<2.5", "deepaas>=2.5", 4),
    Break("start", CODE, ""),
    Break("memory", META, "memory_MB: 5", "memory_MB: 512", 25, "is 5"),
    Break("licence-missing", "LICENSE", None),
    Break("licence-differs", META, "license: MIT", "license: Apache-2.0", says="APACHE"),
    Break("readme", "README.md", None),
    Break(
        "requirement-missing",
        CODE,
        "import boto3\n\n\ndef predict(",
        "def predict(",
        18,
        "boto3 is imported, but boto3",
    ),
    Break("requirements", "pyproject.toml", '"webargs>=6", "deepaas>=2.5"', '"deepaas>=2.5"', 4),
    Break("docker-missing", DOCKER, None),
    Break("docker-tag", DOCKER, "FROM python", "FROM python:3.12-slim", 1),
    Break("docker-tag", DOCKER, "ARG tag=latest\nFROM python:${tag}", "FROM python:3.12-slim", 2),
    Break("docker-clone", DOCKER, "RUN git clone https://github.com/x/louder && \\\n  true", "COPY . /module", 2),
    Break("docker-download", DOCKER, "ADD https://example.org/weights /\nCOPY", "COPY", 2),
    Break("docker-listen", DOCKER, "127.0.0.1", "0.0.0.0", 6),
    Break("docker-port", DOCKER, "", "EXPOSE 5000\n"),
    Break("docker-open", DOCKER, "", "ENV MODELPORT_OPEN=yes\n", 5),
    Break("docker-secret", DOCKER, "ENV HF_TOKEN=abc\nENV MODEL", "ENV MODEL", 4),
    Break("secret", "notes.txt", f"hello\nhf_{'a' * 34}\n", line=2, says="a Hugging Face token"),
    Break("secret", "key.pem", f"-----BEGIN {'RSA'} PRIVATE KEY-----\n", line=1),
    Break("secret-file", ".env", "A=b\n"),
]


async def checked(folder: Path, home: Path, *, run: bool = True) -> Report:
    return await check(str(folder), Settings(home=str(home)), run=run, output=lambda name, pid, chunk: None)


async def test_a_good_module_has_nothing_to_report(tmp_path: Path) -> None:
    folder = good_module(tmp_path / "louder")
    report = await checked(folder, tmp_path / "home")
    assert [finding.message for finding in report.findings] == []
    assert report.cold_start_s > 0
    assert report.predictions == 1
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES), "nothing is added to the folder"


async def test_each_type_of_answer_is_tried_once_also_where_a_written_call_names_one(tmp_path: Path) -> None:
    folder = good_module(tmp_path / "louder")
    offered = (
        '"accept": fields.Str(load_default=TYPES[0], validate=validate.OneOf(TYPES), metadata={"description": "how"}),'
    )
    code = (
        FILES[CODE]
        .replace("HOW =", 'TYPES = ["application/json", "text/plain"]\nHOW =')
        .replace('"how": fields', f'{offered}\n        "how": fields')
    )
    told = 'def predict(word, how, times, accept):\n    if accept == TYPES[0]:\n        raise OSError("no JSON")'
    (folder / CODE).write_text(code.replace("def predict(word, how, times):", told))
    (folder / "examples").mkdir()
    (folder / "examples" / "input.json").write_text('{"word": "hello", "accept": "text/plain"}')
    report = await checked(folder, tmp_path / "home")
    assert report.predictions == 2
    assert [finding.message for finding in report.findings if finding.rule == "prediction"] == [
        "the prediction with accept: text/plain failed: the model returned dict {'said': ['HELLO', 'HELLO']} where "
        "text/plain was asked for",
        "the prediction with accept: application/json failed: OSError: no JSON",
    ]


async def test_an_example_names_its_files_as_in_the_dashboard(tmp_path: Path) -> None:
    """docs/dashboard.md: `{"image": "bee.png", "confidence": 0.9}`. Other samples get the same values."""
    folder = good_module(tmp_path / "louder")
    (folder / "louder.py").write_text(
        """\
from marshmallow import fields, validate

FILE = {"type": "file", "location": "form", "description": "a text"}


def get_metadata():
    return {"name": "louder", "author": "Ada", "license": "Apache-2.0"}


def get_predict_args():
    return {
        "text": fields.Raw(required=True, metadata=FILE),
        "how": fields.Str(load_default="much", validate=validate.Equal("more"), metadata={"description": "how loud"}),
    }


def predict(text, how):
    return {"said": text.original_filename}
"""
    )
    (folder / "examples").mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / "examples" / name).write_text("hello")
    (folder / "examples" / "call.json").write_text('{"text": "b.txt", "how": "more"}')
    row, settings = DeploymentRow("louder", str(folder)), Settings(home=str(tmp_path / "home"))
    outcomes = (await trial.run(row, settings, folder, lambda name, pid, chunk: None)).outcomes
    assert [outcome.error for _, outcome in outcomes] == [None, None]
    assert [outcome.body for _, outcome in outcomes] == [b'{"said": "b.txt"}', b'{"said": "a.txt"}']


def test_there_is_a_mistake_for_each_rule() -> None:
    assert {each.id for each in RULES} == {mistake.rule for mistake in MISTAKES}
    assert len({each.id for each in RULES}) == len(RULES)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: f"{mistake.rule}-{mistake.line}")
async def test_a_mistake_is_found_and_nothing_else(
    mistake: Break, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = good_module(tmp_path / "louder")
    file = folder / mistake.file
    if mistake.rule == "start":  # nobody wants to wait for it
        monkeypatch.setattr(running, "HUB_START_S", 0.0)
    elif mistake.new is None:
        file.unlink()
    elif mistake.old:
        assert mistake.old in file.read_text()
        file.write_text(file.read_text().replace(mistake.old, mistake.new, 1))
    else:
        file.parent.mkdir(exist_ok=True)
        file.write_text(mistake.new)
    [rule] = [each for each in RULES if each.id == mistake.rule]
    report = await checked(folder, tmp_path / "home", run=rule.runs)
    assert {finding.rule for finding in report.findings} == {mistake.rule}, report.findings
    [finding, *_] = report.findings
    assert finding.line == (mistake.line or None)
    assert mistake.says in finding.message
    assert finding.file is None or Path(finding.file).exists()


async def test_imports_that_never_run_or_may_be_absent_need_no_requirement(tmp_path: Path) -> None:
    folder = good_module(tmp_path / "louder")
    code = folder / CODE
    absent = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import boto3\n"
    absent += "try:\n    import boto3\nexcept ImportError:\n    pass\n"
    code.write_text(absent + code.read_text())
    report = await checked(folder, tmp_path / "home", run=False)
    assert [finding for finding in report.findings if finding.rule == "requirement-missing"] == []


def test_extras_that_are_required_bring_what_they_need() -> None:
    assert "brotli" not in package._with_what_they_need(["aiohttp"])
    assert "brotli" in package._with_what_they_need(["aiohttp", "aiohttp[speedups] >= 3"])
