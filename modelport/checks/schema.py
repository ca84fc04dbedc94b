"""What `ai4-metadata.yml` must look like, as JSON Schema: the hub's pipeline uses 2.0.0, its dashboard the newest."""

from __future__ import annotations

from typing import Any

PIPELINE, NEWEST = VERSIONS = ("2.0.0", "2.3.0")

WORDS = {
    "libraries": ("TensorFlow", "PyTorch", "Keras", "Scikit-learn", "XGBoost", "LightGBM", "CatBoost", "Other"),
    "tasks": (
        "Computer Vision",
        "Natural Language Processing",
        "Time Series",
        "Recommender Systems",
        "Anomaly Detection",
        "Regression",
        "Classification",
        "Clustering",
        "Dimensionality Reduction",
        "Generative Models",
        "Graph Neural Networks",
        "Optimization",
        "Reinforcement Learning",
        "Transfer Learning",
        "Uncertainty Estimation",
        "Other",
    ),
    "categories": ("AI4 pre trained", "AI4 trainable", "AI4 inference", "AI4 tools"),
    "data-type": ("Image", "Text", "Time Series", "Tabular", "Graph", "Audio", "Video", "Other"),
}
# Names of version 1, and what says the same now.
FORMER = {
    "tosca": "",
    "sources": "links",
    "dataset_url": "links: dataset",
    "cite_url": "links: citation",
    "date_creation": "dates: created",
    "keywords": "tags",
}
# In use, though no schema has them.
UNWRITTEN = ("license", "provenance")
TEXT: dict[str, Any] = {"type": "string"}
NOTHING: dict[str, Any] = {"not": {}}


def schema(version: str) -> dict[str, Any]:
    from modelport.catalogue import about  # 100 ms, which `modelport --help` need not wait for

    newest = version == NEWEST
    properties: dict[str, Any] = dict.fromkeys(("title", "summary", "description", "doi"), TEXT)
    properties["metadata_version"] = {"type": "string", "pattern": r"^[0-9]{1,}.[0-9]{1,}.[0-9]{1,}$"}
    links = (name for name in about.LINKS if newest or name != "self")
    properties["links"] = _object(dict.fromkeys(links, TEXT), required=["source_code"])
    properties["dates"] = _object({"created": TEXT, "updated": TEXT}, required=["created", "updated"])
    properties["tags"] = _list(TEXT)
    properties.update({name: _list({"type": "string", "enum": list(words)}) for name, words in WORDS.items()})
    if newest:
        amounts: dict[str, Any] = {name: {"type": "integer", "minimum": 0} for name in about.AMOUNTS}
        amounts["gpu_compute_capability"] = {"type": "number", "minimum": 0}
        properties["resources"] = _object(dict.fromkeys(("inference", "training"), _object(amounts)))
    properties.update(dict.fromkeys(FORMER, NOTHING))
    return _object(properties, required=["metadata_version", *about.REQUIRED])


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required or []}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "uniqueItems": True, "items": items}


def known_names(path: tuple[str, ...]) -> tuple[str, ...]:
    """The names that the newest schema has at a place; () where it says nothing of that place."""
    place = schema(NEWEST)
    for name in path:
        place = place.get("properties", {}).get(name) or {}
    more = UNWRITTEN if not path else ("ai4_template",) if path == ("links",) else ()
    names = [name for name, value in place.get("properties", {}).items() if value is not NOTHING]
    return (*names, *more) if names else ()
