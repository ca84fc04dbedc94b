"""The DEEPaaS V2 routes and what they really send: Swagger 2.0 and OpenAPI 3.1 describe both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote

from msgspec import UNSET, Meta, Struct, UnsetType

from modelport.contract.card import Card
from modelport.describe.documents import Schema
from modelport.describe.statuses import CALL_REFUSALS

RETURNED = "What the model returned"
ARGUMENT_ERRORS = "ArgumentErrors"

# Shapes. deepaas' own document says otherwise of trainings (contract, D-26).


class Location(Struct):
    rel: str
    href: str
    type: str | UnsetType = UNSET


class Version(Struct):
    version: str
    id: str
    links: list[Location]


class Versions(Struct):
    versions: list[Version]
    links: list[Location]


class ModelMeta(Struct):
    """The plugin's own metadata, in whatever form it gives them"""

    id: Annotated[Any, Meta(description="Model identifier")]
    name: Annotated[Any, Meta(description="Model name")]
    links: Annotated[Any, Meta(description="Where the model is; a list of links unless the plugin says otherwise")]
    version: Any = UNSET
    description: Any = UNSET
    summary: Any = UNSET
    author: Any = UNSET
    license: Any = UNSET
    url: Any = UNSET


class ModelList(Struct):
    models: list[ModelMeta]


class Prediction(Struct):
    status: Literal["OK"]
    predictions: Annotated[Any, Meta(description=RETURNED)]


class TrainingProgress(Struct):
    """Of one that runs, where the model reports it"""

    message: str
    fraction: float | UnsetType = UNSET


class TrainingResult(Struct):
    output: Annotated[Any, Meta(description=RETURNED)]
    finish_date: str
    duration: Annotated[str, Meta(description="Such as 0:00:01.376544")]


class Training(Struct):
    uuid: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    date: Annotated[
        str, Meta(description="When it was asked for: local time without a zone, 2026-01-31 12:00:00.123456")
    ]
    status: Annotated[
        Literal["running", "done", "error", "cancelled"], Meta(description="A training that waits is running too")
    ]
    args: Annotated[dict[str, Any], Meta(description="The arguments of the training, after conversion")]
    message: Annotated[str, Meta(description="With status error: why it failed")] | UnsetType = UNSET
    progress: TrainingProgress | UnsetType = UNSET
    result: TrainingResult | UnsetType = UNSET


SHAPES: Schema = {
    **{shape.__name__: shape for shape in (Location, Version, Versions, ModelMeta, ModelList, Prediction, Training)},
    "TrainingList": list[Training],
    ARGUMENT_ERRORS: {
        "type": "object",
        "description": "What was wrong, by argument: a list of messages, or of such lists by index",
        "additionalProperties": {},
        "example": {"count": ["Not a valid integer."]},
    },
}


# Operations


@dataclass(frozen=True)
class Operation:
    """One method of one route. shape: of its answer, by its name in SHAPES.

    model, card, function: the function of the plugin whose arguments it takes. model: its name in the route.
    """

    method: str
    path: str
    id: str
    summary: str
    shape: str
    tag: str = "models"
    model: str = ""
    card: Card | None = None
    function: str = ""

    @property
    def refusals(self) -> tuple[int, ...]:
        if self.card is not None:
            return (*CALL_REFUSALS, *(() if self.function in self.card.capabilities else (501,)))
        return (404,) if self.path.endswith("{uuid}") else ()


def operations(cards: Mapping[str, Card], base_path: str, *, predict: bool, train: bool) -> Iterator[Operation]:
    """cards: by the name in the routes. predict, train: whether these endpoints are switched on."""
    yield Operation("get", base_path or "/", "versions", "The versions of this API", "Versions", "versions")
    yield Operation("get", f"{base_path}/v2/", "version", "Version 2 of this API", "Version", "versions")
    yield Operation("get", f"{base_path}/v2/models/", "models", "All models", "ModelList")
    for name, card in cards.items():
        root = f"{base_path}/v2/models/{quote(name)}"
        end = "" if len(cards) == 1 else f"_{re.sub('[^A-Za-z0-9_]', '_', name)}"
        yield Operation("get", f"{root}/", f"describe{end}", "The model's metadata", "ModelMeta")
        if predict:
            path, summary = f"{root}/predict/", "Make a prediction given the input data"
            yield Operation("post", path, f"predict{end}", summary, "Prediction", "models", name, card, "predict")
        if train:
            path, one = f"{root}/train/", f"{root}/train/{{uuid}}"
            yield Operation("post", path, f"train{end}", "Start a training", "Training", "models", name, card, "train")
            yield Operation("get", path, f"trainings{end}", "All trainings, running or ended", "TrainingList")
            yield Operation("get", one, f"training{end}", "One training: its status and result", "Training")
            yield Operation("delete", one, f"cancel{end}", "Cancel a training and forget it", "Training")


def component_names(cards: Mapping[str, Card], taken: set[str]) -> dict[str, str]:
    """The name of each card's answer schema in the document, by model; unique, and the plugin's own where it can be."""
    taken, names = set(taken), {}
    for model, card in cards.items():
        if card.answer_schema is None:
            continue
        own = card.answer_schema.name or "ModelPredictionResponse"
        name = first = re.sub(r"[^A-Za-z0-9._-]", "_", own if len(cards) == 1 else f"{model}.{own}")
        number = 1
        while name in taken:
            name, number = f"{first}{number}", number + 1
        taken.add(name)
        names[model] = name
    return names


def information(cards: Mapping[str, Card], version: str, *, swagger: bool = False) -> Schema:
    """The document's `info`: of the model where there is one, else of the server; version: the server's."""
    only = next(iter(cards.values())) if len(cards) == 1 else None
    metadata = only.metadata if only else {}
    said = {key: value.strip() for key, value in metadata.items() if isinstance(value, str) and value.strip()}
    info: Schema = {"title": said.get("name", only.name if only else "Models"), "version": version}
    summary, description = said.get("summary"), said.get("description")
    model_version = f"Version {said['version']} of the model." if "version" in said else None
    if summary and not swagger:
        info["summary"] = summary
        summary = None
    texts = dict.fromkeys(filter(None, (summary, description, model_version)))
    if texts:
        info["description"] = "\n\n".join(texts)
    if "author" in said:
        info["contact"] = {"name": said["author"]}
    if "license" in said:
        info["license"] = {"name": said["license"]}
    return info
