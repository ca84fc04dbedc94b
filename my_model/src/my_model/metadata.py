"""What the marketplace shows about this model, from the metadata of the installed distribution that holds it."""

from importlib import metadata
from typing import Any

DISTRIBUTION = "my_model"
NAME = "my_model"
DESCRIPTION = (
    "Finds and reads handwritten digits in an image. A classifier fitted on scikit-learn's digits reads what "
    "connected ink suggests. Answers as JSON, as the image with boxes, or as a one-page PDF."
)
_FALLBACK = {
    "version": "0+unknown",
    "summary": "Finds and reads handwritten digits in an image",
    "author": "The modelport developers",
    "license": "Apache-2.0",
}


def get_metadata() -> dict[str, Any]:
    """Never fails: a package that was copied, not installed, has the values written here."""
    return {"name": NAME, "description": DESCRIPTION, **_FALLBACK, **_installed(DISTRIBUTION)}


def _installed(distribution: str) -> dict[str, str]:
    try:
        fields = metadata.metadata(distribution)
    except metadata.PackageNotFoundError:
        return {}
    return described(fields)


def described(fields: metadata.PackageMetadata) -> dict[str, str]:
    """Core metadata in either spelling: old (License, Home-page), or since 2.4 (License-Expression, Project-URL)."""

    def first(*names: str) -> str:
        return next((fields[name].strip() for name in names if name in fields and fields[name].strip()), "")

    addresses: dict[str, str] = {}
    for entry in fields.get_all("Project-URL") or []:
        label, _, address = entry.partition(",")
        addresses[label.strip()] = address.strip()
    values = {
        "version": first("Version"),
        "summary": first("Summary"),
        "author": first("Author", "Maintainer"),
        "author-email": first("Author-email", "Maintainer-email"),
        "license": first("License-Expression", "License"),
        "home-page": first("Home-page") or addresses.get("Homepage") or next(iter(addresses.values()), ""),
    }
    return {name: value for name, value in values.items() if value}
