"""What a shell can complete that only the running server knows: deployments and jobs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

# Nobody waits longer for a completion.
PATIENCE_S = 1.0
JOBS = 50


def complete_deployment(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    found = _asked(context, "/deployments?all=1")
    rows = [each for each in found if str(each["name"]).startswith(incomplete)] if isinstance(found, list) else []
    return [CompletionItem(each["name"], help=f"{each['module']}, {each['status']}") for each in rows]


def complete_job(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    found = _asked(context, f"/jobs?limit={JOBS}")
    rows = found.get("jobs", []) if isinstance(found, dict) else []
    return [
        CompletionItem(each["id"], help=f"{each['deployment']}, {each['status']}")
        for each in rows
        if each["id"].startswith(incomplete)
    ]


def _asked(context: click.Context, path: str) -> Any:
    """None where that does not work: a shell's prompt is no place for errors."""
    from urllib.request import Request, urlopen  # no aiohttp, which takes 0.3 s to import

    from modelport.client.where import Where

    try:
        options = {"url": None, "token": None, "home": None, "config_file": None, **context.params}
        where = Where.find(options)
        headers = {"Authorization": f"Bearer {where.token}"} if where.token else {}
        request = Request(where.url + path, headers=headers)  # noqa: S310 (the notice of our own server, or the user's)
        with urlopen(request, timeout=PATIENCE_S) as response:  # noqa: S310
            return json.load(response)
    except Exception:
        return None
