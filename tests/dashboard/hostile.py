"""Modules whose every text would like to be a script."""

from __future__ import annotations

from pathlib import Path

import yaml

# Each sets `window.hit` or opens a dialog if any part of it runs.
SCRIPTS = (
    "<script>window.hit=1</script>",
    "</script><script>window.hit=1</script>",
    "<img src=x onerror=window.hit=1>",
    "<svg onload=window.hit=1>",
    "<svg><script>window.hit=1</script></svg>",
    '"><script>window.hit=1</script>',
    "'><script>window.hit=1</script>",
    '" onmouseover="window.hit=1" x="',
    "' onfocus='window.hit=1' autofocus='",
    "javascript:window.hit=1",
    "[click](javascript:window.hit=1)",
    "[click](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "![x](x' onerror='window.hit=1)",
    "<a href='javascript:window.hit=1'>x</a>",
    "<iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
    "<iframe src='javascript:parent.hit=1'></iframe>",
    "<body onload=window.hit=1>",
    "<details open ontoggle=window.hit=1>",
    "<input autofocus onfocus=window.hit=1>",
    "<video><source onerror=window.hit=1></video>",
    "<math><mtext><script>window.hit=1</script></mtext></math>",
    "<style>@import 'http://127.0.0.1:1/x.css'</style>",
    "<link rel=stylesheet href=http://127.0.0.1:1/x.css>",
    "<meta http-equiv=refresh content='0;url=javascript:window.hit=1'>",
    "<base href=http://127.0.0.1:1/>",
    "<form action=javascript:window.hit=1><button>x</button></form>",
    "<div hx-get=/ui/ hx-trigger=load hx-on:load=window.hit=1>",
    "{{ 7 * 7 }}{% raw %}<script>window.hit=1</script>",
    "<scr\u0000ipt>window.hit=1</scr\u0000ipt>".replace("\u0000", ""),
    "<noscript><p title='</noscript><img src=x onerror=window.hit=1>'>",
)

PLUGIN = """
from marshmallow import fields, validate
SCRIPTS = {scripts!r}
def get_metadata(): return dict(zip(("name", "description", "license", "author"), SCRIPTS))
def get_predict_args():
    return {{
        "text": fields.Str(load_default=SCRIPTS[4], metadata={{"description": SCRIPTS[5]}}),
        SCRIPTS[6]: fields.Str(load_default=SCRIPTS[7], metadata={{"description": SCRIPTS[8]}}),
        "choice": fields.Str(load_default=SCRIPTS[2], validate=validate.OneOf(list(SCRIPTS))),
        "table": fields.Dict(load_default={{SCRIPTS[0]: SCRIPTS[2]}}, metadata={{"description": SCRIPTS[12]}}),
        "boxed": fields.Bool(load_default=False),
        "wrong": fields.Bool(load_default=False),
    }}
def predict(boxed, wrong, **given):
    print("\\n".join(SCRIPTS), flush=True)
    if wrong:
        raise ValueError("".join(SCRIPTS))
    if boxed:
        return [{{"name": each, "score": 0.5, "box": [0, 0, 1, 1]}} for each in SCRIPTS]
    return {{"labels": list(SCRIPTS), "probabilities": [0.5] * len(SCRIPTS), **{{each: each for each in SCRIPTS}}}}
"""


def write_hostile(folder: Path) -> None:
    """A project for each script, which is in every text of its metadata; and one, `hostile`, that loads."""
    for number, script in enumerate(SCRIPTS):
        project = folder / f"hostile_{number:02}"
        project.mkdir(parents=True)
        (project / "api.py").write_text("def predict(): return 1\n")
        lists = {name: [script] for name in ("tags", "tasks", "categories", "libraries", "data-type")}
        about = dict.fromkeys(("title", "summary", "description", "license", "doi"), script)
        links = {"source_code": script, script: "https://modelport.example/" + script.replace(" ", "")}
        document: dict[str, object] = {
            "metadata_version": "2.1.0",
            **about,
            **lists,
            "links": links,
            "dates": {"created": script},
        }
        (project / "ai4-metadata.yml").write_text(
            yaml.safe_dump({**document, "resources": {"inference": {"cpu": script}}})
        )
    project = folder / SCRIPTS[2]
    project.mkdir()
    (project / "hostile.py").write_text(PLUGIN.format(scripts=SCRIPTS))
