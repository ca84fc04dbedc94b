"""YAML and comments as a careful operator writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from modelport.commands.exporting.workload import SECRETS_FILE, Export, Workload

# Texts that every reader of YAML takes for text. All others are quoted, since 1.1 and 1.2 differ in what is a number or
# a boolean: yes, 012, 1e3, 1_000.
PLAIN = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null|inf|nan)$)[a-z/][\w./@-]*(?::[\w./@-]+)*", re.I | re.ASCII)
WIDTH = 120
FILL_TOKEN = f'sed -i "s/^BEARER_TOKEN=$/BEARER_TOKEN=$(openssl rand -hex 32)/" {SECRETS_FILE}'


def export(
    workload: Workload, files: Mapping[str, str], *notes: str, steps: tuple[str, ...], secrets: bool = True
) -> Export:
    """With a header in the first file. secrets: and with a file for them, filled in by the first step."""
    steps = (FILL_TOKEN, *steps) if secrets else steps
    first = next(iter(files))
    files = {**files, first: header(workload, *notes, steps=steps) + files[first]}
    return Export({**files, SECRETS_FILE: _secrets(workload)} if secrets else files, steps)


def _secrets(workload: Workload) -> str:
    """Where the operator writes what must be secret."""
    names = "".join(f"{name}=\n" for name in workload.secret_names)
    return (
        "# Secrets. Fill them in, and keep this file out of version control.\n"
        "# BEARER_TOKEN is what callers must send; `openssl rand -hex 32` makes a good one.\n" + names
    )


def header(workload: Workload, *notes: str, steps: Iterable[str] = ()) -> str:
    """The comment at the top of a file."""
    lines = [f"Written by `{workload.command}`.", *notes]
    if workload.path:
        lines.append(f"The image must have the module {workload.module} installed, which is {workload.path} here.")
    if workload.assumed:
        lines.append(f"Defaults, since the module does not say otherwise: {', '.join(workload.assumed)}.")
    for number, step in enumerate(steps):
        lines += ([] if number else ["", "In this folder:"]) + [f"    {step}"]
    return "".join(f"# {line}".rstrip() + "\n" for line in "\n".join(lines).splitlines()) + "\n"


def document(*values: Mapping[str, Any]) -> str:
    """YAML documents, their members in the given order."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """With quotes wherever a reader may doubt."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = None if PLAIN.fullmatch(value) else "|" if value.endswith("\n") and value.isascii() else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return yaml.dump_all(values, Dumper=Dumper, sort_keys=False, width=WIDTH, allow_unicode=True)
