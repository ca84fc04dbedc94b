"""A server with a module that says how far it is, and waits where it is told to; a page that has signed in to it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, StorageState

from tests.conftest import copy_home
from tests.dashboard.conftest import ROOT, Served, serving
from tests.dashboard.hostile import SCRIPTS
from tests.house import PATIENCE_S

# Ends only when a file is there, where one is named.
STEPS = """
import base64, json, os, time
from marshmallow import fields
import modelport
SCRIPTS = {scripts!r}
def get_predict_args():
    text = fields.Str(load_default="")
    return {{"gate": fields.Str(load_default=""), "wrong": fields.Bool(load_default=False), "text": text}}
def wait_for(path):
    while path and not os.path.exists(path):
        time.sleep(0.005)
def predict(gate, wrong, text):
    modelport.progress(0.25, "a quarter")
    print("begun", flush=True)
    wait_for(gate)
    if wrong:
        raise ValueError("".join(SCRIPTS))
    return {{"labels": ["cat", "dog"], "probabilities": [0.75, 0.25]}}
def get_train_args():
    return {{"epochs": fields.Int(load_default=3), "gate": fields.Str(load_default="")}}
def train(epochs, gate):
    for epoch in range(1, epochs + 1):
        print(json.dumps({{"epoch": epoch, "loss": 1 / epoch}}), flush=True)
        modelport.progress(epoch / (epochs + 1), f"epoch {{epoch}}", metrics={{"epoch": epoch, "accuracy": epoch / 10}})
    print("\\n".join(SCRIPTS), flush=True)
    modelport.artifact({digit!r})
    with open("weights.bin", "wb") as file:
        file.write(bytes(3000))
    for name in (None, *SCRIPTS):
        modelport.artifact("weights.bin", name)
    wait_for(gate)
    with open({digit!r}, "rb") as file:
        picture = base64.b64encode(file.read()).decode()
    plots = {{"digit": picture, "address": "data:image/png;base64," + picture}}
    told = {{"accuracy": 0.97, "confusion_matrix": [[5, 1], [0, 7]], "said": SCRIPTS[0], "plots": plots}}
    return {{**told, "use": {{"text": f"model of {{epochs}} epochs"}}}}
"""


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, fitted_home: Path) -> Iterator[Served]:
    """`steps`, and my_model as `digits`."""
    folder = tmp_path_factory.mktemp("working")
    (folder / "steps").mkdir()
    (folder / "steps" / "steps_module.py").write_text(
        STEPS.format(scripts=list(SCRIPTS), digit=str(ROOT / "data" / "digit.png"))
    )
    copy_home(fitted_home, folder / "home" / "my_model")
    with serving(folder / "home", s3_port="0") as server:
        server.deploy(str(folder / "steps"), "steps")
        server.deploy("my_model", "digits")
        for name in ("steps", "digits"):
            server.ask("GET", f"/deployments/{name}/card")
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def signed_in(browser: Browser, served: Served) -> StorageState:
    """To this server."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(served.link())
    await page.wait_for_url("**/ui/")
    state = await context.storage_state()
    await context.close()
    return state


def begin(served: Served, name: str = "steps", **given: Any) -> Any:
    """The document of a new job."""
    headers = {"Content-Type": "application/json", "Prefer": "respond-async", "Authorization": f"Bearer {served.token}"}
    request = urllib.request.Request(f"{served.url}/{name}", json.dumps(given).encode(), headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
        return json.load(response)
