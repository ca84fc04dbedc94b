"""Examples next to a module, as its description shows them."""

from __future__ import annotations

import json
from pathlib import Path

from modelport.contract.card import Argument, Card
from modelport.describe.examples import call_of, examples_of

CARD = Card(
    "reader",
    predict_args=[
        Argument("image", "file", required=True, description="a picture"),
        Argument("least", "number", has_default=True, default=0.5),
        Argument("label", "string", required=True),
    ],
)


def write(folder: Path, **documents: object) -> Path:
    for name in ("bee.png", "wasp.png", "notes.md"):
        (folder / name).touch()
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return folder


def test_each_file_that_fits_is_an_example(tmp_path: Path) -> None:
    found = examples_of(CARD, write(tmp_path))
    assert [(each.title, each.values) for each in found] == [("Bee", {"label": "text"}), ("Wasp", {"label": "text"})]
    assert [each.files["image"] for each in found] == [[tmp_path / "bee.png"], [tmp_path / "wasp.png"]]


def test_described_examples_name_their_files_and_what_names_others_is_none(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_wasp={"image": "wasp.png", "label": "wasp", "least": 0.9},
        far={"image": "../secret.png", "label": "x"},
        gone={"image": "gone.png", "label": "x"},
        other={"nothing": "of this module"},
        rows=[1],
        only_text={"label": "some"},
    )
    (tmp_path / "deep.json").write_text('{"label":' + "[" * 9000)
    found = examples_of(CARD, tmp_path)
    assert [each.title for each in found] == ["A wasp", "Only text"]
    # What is required and not named comes from the folder.
    assert found[1].files == {"image": [tmp_path / "bee.png"]}
    assert call_of(CARD, tmp_path) == ({"label": "wasp", "least": 0.9}, {"image": [str(tmp_path / "wasp.png")]})


def test_without_examples_a_call_has_what_is_required(tmp_path: Path) -> None:
    assert call_of(CARD, tmp_path / "none") == ({"label": "text"}, {"image": ["path/to/image.png"]})
    assert examples_of(Card("none"), tmp_path) == []
