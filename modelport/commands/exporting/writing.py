"""YAML and comments as a careful operator writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from modelport.commands.exporting.workload import Workload

# Texts that every reader of YAML takes for text. All others are quoted, since 1.1 and 1.2 differ in what is a number or
# a boolean: yes, 012, 1e3, 1_000.
PLAIN = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null|inf|nan)$)[a-z/][\w./@-]*(?::[\w./@-]+)*", re.I | re.ASCII)
WIDTH = 120


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
