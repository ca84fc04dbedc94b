"""A service's workers run in folders of their own, on the file system of their temporary files."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.services.conftest import OpenOwner

MODULE = """
import os, tempfile, time
from marshmallow import fields
def get_predict_args(): return {"name": fields.Str(load_default="film.mp4"), "seconds": fields.Float(load_default=0.0)}
def predict(name, seconds):
    before = os.path.exists(name)
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(b"film")
    os.rename(file.name, name)
    time.sleep(seconds)
    return [os.getcwd(), before]
"""


async def test_what_a_model_leaves_lies_in_no_other_workers_folder_and_is_there_the_next_time(
    owner: OpenOwner, tmp_path: Path
) -> None:
    opened = await owner()
    row = await opened.deploy(MODULE, name="films", max_workers=2)
    work = opened.house.home / "work" / "films"
    answers = await asyncio.gather(*(opened.call(row, seconds="1") for _ in range(2)))
    assert sorted(json.loads(answer.body)["predictions"] for answer in answers) == [
        [str(work / "1"), False],
        [str(work / "2"), False],
    ]
    opened = await owner()
    again = (await opened.call(row)).json()["predictions"]
    assert again == [str(work / "1"), True]
    await opened.ask("DELETE", "/deployments/films")
    assert not work.exists()


async def test_a_trial_leaves_no_folder_behind(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy(MODULE, name="films", temporary=True)
    assert (await opened.call(row)).status == 200
    await opened.ask("DELETE", "/deployments/films")
    assert list((opened.house.home / "work").iterdir()) == []
