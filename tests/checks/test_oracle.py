"""The platform's own tool is the judge of `ai4-metadata.yml`: what it refuses is invalid for us, and nothing else."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelport.checks import metadata
from modelport.checks.schema import FORMER, NEWEST, VERSIONS, WORDS
from tests.checks.modules import METADATA
from tests.checks.test_rules import META, MISTAKES
from tests.environments import environment

ROOT = Path(__file__).parents[2]
# Reads a list of texts, prints for each whether it is valid for both versions.
JUDGE = """
import json, pathlib, sys, tempfile
from ai4_metadata import exceptions, metadata, validate
schemas = [metadata.get_schema(metadata.MetadataVersions(version)) for version in json.loads(sys.argv[1])]
file = pathlib.Path(tempfile.mkdtemp(), "ai4-metadata.yml")
def valid(text):
    file.write_text(text)
    try:
        for schema in schemas:
            validate.validate_file(file, schema)
    except Exception as error:
        return False
    return True
print(json.dumps([valid(text) for text in json.load(sys.stdin)]))
"""
PLACES = st.sampled_from(
    [(name,) for name in (*yaml.safe_load(METADATA), "doi", "resources", *FORMER)]
    + [("links", name) for name in ("source_code", "docker_image", "self", "other")]
    + [("dates", "created"), ("dates", "updated"), ("resources", "inference"), ("resources", "training")]
    + [("resources", "inference", name) for name in ("cpu", "memory_MB", "gpu_compute_capability", "memory")]
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.sampled_from([0.5, 1.0, -1.0]),
    st.dates(),
    st.sampled_from(["", "2.0.0", "2x0.0", "2026-01-31", "https://example.org", "AI4 inference", "ai4 inference"]),
    st.lists(st.sampled_from([*WORDS["tasks"], *WORDS["categories"], "Text", 1, True, None]), max_size=3),
    st.dictionaries(st.sampled_from(["source_code", "cpu", "created", "x"]), st.integers(0, 2), max_size=2),
)


def changed(changes: list[tuple[tuple[str, ...], Any]]) -> str:
    document = yaml.safe_load(METADATA)
    for path, value in changes:
        place = document
        for name in path[:-1]:
            place = place.setdefault(name, {}) if isinstance(place, dict) else {}
        if isinstance(place, dict):
            place.pop(path[-1], None) if value == "gone" else place.update({path[-1]: value})
    return yaml.safe_dump(document, sort_keys=False)


def judged(texts: list[str]) -> list[bool]:
    python = environment("3.11", ["ai4-metadata==2.4.2"])
    done = subprocess.run(
        [str(python), "-c", JUDGE, json.dumps(VERSIONS)], input=json.dumps(texts), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    verdicts: list[bool] = json.loads(done.stdout)
    return verdicts


def ours(text: str) -> bool:
    document = metadata.read(text)
    return document.failure is None and not metadata.refusals(document)


@pytest.mark.slow
def test_the_tool_and_we_find_the_same_files_valid() -> None:
    """Each mistake of the rules' test, this repository's own files, and 100 files with changes at random."""
    texts = [METADATA, *((ROOT / name / META).read_text() for name in ("my_model", "examples/demo_app"))]
    texts += ["", "[]", "title", "{", "a: 1\n---\nb: 2\n", "a: 2026-13-45\n", "? [a]\n: b\n"]
    for mistake in MISTAKES:
        if mistake.file == META and mistake.new is not None and "aliases" not in mistake.says:
            texts.append(METADATA.replace(mistake.old, mistake.new, 1) if mistake.old else mistake.new)

    @settings(max_examples=100, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(PLACES, st.one_of(VALUES, st.just("gone"))), min_size=1, max_size=2))
    def gather(changes: list[tuple[tuple[str, ...], Any]]) -> None:
        texts.append(changed(changes))

    gather()
    verdicts = judged(texts)
    assert 20 < sum(verdicts) < len(verdicts) - 20, "both kinds are there"
    for text, verdict in zip(texts, verdicts, strict=True):
        assert ours(text) == verdict, f"the tool says {verdict}:\n{text}\n{metadata.refusals(metadata.read(text))}"


@pytest.mark.slow
def test_our_newest_schema_is_the_newest_of_the_tool() -> None:
    python = environment("3.11", ["ai4-metadata==2.4.2"])
    script = "from ai4_metadata import metadata; print(metadata.get_latest_version().value)"
    newest = subprocess.run([str(python), "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    assert newest == NEWEST
