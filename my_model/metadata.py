"""What the marketplace shows about this model, from the metadata of the installed distribution that holds it."""

from importlib import metadata
from typing import Any

# The wheel that ships this package, see setup.cfg.
DISTRIBUTION = "modelport"
NAME = "my_model"
DESCRIPTION = (
    "Finds and reads handwritten digits in an image. A classifier fitted on scikit-learn's digits reads what "
    "connected ink suggests. Answers as JSON, as the image with boxes, or as a one-page PDF."
)
_FALLBACK = {
    "version": "0+unknown",
    "summary": "Finds and reads handwritten digits in an image",
    "author": "The modelport developers",
    "author-email": "maintainers@modelport.example",
    "license": "Apache-2.0",
    "home-page": "https://modelport.example",
}


def get_metadata() -> dict[str, Any]:
    """Never fails: a package that was copied, not installed, has the values written here."""
    found = _installed(DISTRIBUTION)
    about = {key: found.get(key) or default for key, default in _FALLBACK.items()}
    return {
        "name": NAME,
        "version": about["version"],
        "summary": _FALLBACK["summary"],
        "description": DESCRIPTION,
        "author": about["author"],
        "author-email": about["author-email"],
        "license": about["license"],
        "home-page": about["home-page"],
    }


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
    return {
        "version": first("Version"),
        "summary": first("Summary"),
        "author": first("Author", "Maintainer"),
        "author-email": first("Author-email", "Maintainer-email"),
        "license": first("License-Expression", "License"),
        "home-page": first("Home-page") or addresses.get("Homepage") or next(iter(addresses.values()), ""),
    }
