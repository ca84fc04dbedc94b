"""Rules about what is beside the code: licence, readme, requirements."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelport.checks.module import Module
from modelport.checks.rule import ERROR, HINT, WARNING, Problem, rule
from modelport.contract import packaging

# What a licence's text says, and the beginning of its short name.
LICENCES = (
    ("GNU AFFERO", "agpl"),
    ("GNU LESSER", "lgpl"),
    ("GNU GENERAL", "gpl"),
    ("Apache License", "apache"),
    ("MIT License", "mit"),
    ("Permission is hereby granted, free of charge", "mit"),
    ("Redistribution and use in source and binary forms", "bsd"),
)
REQUIREMENTS = ("requirements.txt", "setup.cfg", "pyproject.toml")


@rule("licence-missing", ERROR, "The module has a licence file, without which the hub refuses it.")
def licence(module: Module) -> Iterator[Problem]:
    if module.folder is not None and module.licence_file() is None:
        yield Problem("there is no LICENSE file; without one nobody may use the module", module.folder)


@rule("licence-differs", WARNING, "The licence file and the metadata name the same licence.")
def same_licence(module: Module) -> Iterator[Problem]:
    file = module.licence_file()
    if file is None:
        return
    text = packaging.text_of(file)
    short = next((short for words, short in LICENCES if words.lower() in text.lower()), "")
    said = module.project.core.get("license")
    kind = f"{file.name} has the text of a licence of the kind {short.upper()}"
    for where, name in (("the packaging", said), ("ai4-metadata.yml", module.document.get("license"))):
        if short and isinstance(name, str) and not re.search(rf"\b{short}", name, re.I):
            yield Problem(f"{kind}, but {where} says {name}", file)


@rule("readme", HINT, "The module has a README.")
def readme(module: Module) -> Iterator[Problem]:
    names = ("README.md", "README.rst", "README.txt", "README")
    if module.folder is not None and not any(map(module.path, names)):
        yield Problem("there is no README.md", module.folder)


@rule("requirements", ERROR, "The requirements can be installed beside deepaas.")
def requirements(module: Module) -> Iterator[Problem]:
    requires = module.project.requires
    if not any(re.match(r"deepaas\b", requirement, re.I) for requirement in requires):
        return
    for name, below in (("webargs", 6), ("marshmallow", 4)):
        for requirement in requires:
            least = re.match(rf"{name}\b[^;#]*?(>=|==|~=)\s*(\d+)", requirement, re.I)
            if least and int(least[2]) >= below:
                file, line = module.find_line(name, *REQUIREMENTS)
                told = f"{requirement} cannot be installed beside deepaas 2, which needs {name}<{below}"
                yield Problem(told, file, line)
