"""What a module is called: the name of its deployment, and the names that a shell can complete."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from modelport.contract import naming
from modelport.contract.naming import installed, same_name

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

# `name=module`; the name becomes a part of URLs.
NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)=(.+)")


def split(text: str) -> tuple[str, str]:
    """`[NAME=]MODULE` → (the name of the deployment, the module)."""
    named = NAMED.fullmatch(text)
    return (named[1], named[2]) if named else (default_name(text), text)


def default_name(module: str) -> str:
    """What a deployment of `module` is called when nobody says: the plugin's name, the last part, the file's stem."""
    if naming.is_path(module):
        name = naming.name_of_path(naming.split_path(module)[0])
    else:
        name = naming.last_part(module.partition(":")[0])
        if re.search("[.-]", module):  # looking at what is installed takes 20 ms
            same = (plugin.name for plugin in installed() if same_name(plugin.name) == same_name(module))
            name = next(same, name)
    # Fit for a URL.
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "model"


def place(module: str) -> str:
    """Where it lies, with the attribute after a colon if there is one; "" for what is installed."""
    if not naming.is_path(module):
        return ""
    path, attribute = naming.split_path(module)
    return f"{path}:{attribute}" if attribute else str(path)


def complete_module(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Installed plugins; where none fits, files and folders."""
    from click.shell_completion import CompletionItem

    fitting = [
        CompletionItem(plugin.name, help=f"{plugin.distribution} {plugin.version}")
        for plugin in installed()
        if plugin.name.startswith(incomplete)
    ]
    return fitting or [CompletionItem(incomplete, type="file")]
