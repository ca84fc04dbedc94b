"""Rules about what must not leave this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelport.checks.module import TEXT_LIMIT_BYTES, Module
from modelport.checks.rule import ERROR, WARNING, Problem, rule

# Forms that are hardly ever anything else.
SECRETS = {
    "a private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
    "an AWS access key": r"\bAKIA[0-9A-Z]{16}\b",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})\b",
    "a GitLab token": r"\bglpat-[A-Za-z0-9_-]{20}\b",
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{34}\b",
    "a PyPI token": r"\bpypi-[A-Za-z0-9_-]{50,}",
    "a Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{20,}",
}
FORMS = {what: re.compile(form.encode()) for what, form in SECRETS.items()}
SECRET_FILES = {".env", ".netrc", ".pypirc", "id_rsa", "id_ed25519"}


@rule("secret", ERROR, "No file has a key or token in it.")
def secret(module: Module) -> Iterator[Problem]:
    for path in module.files():
        try:
            content = path.read_bytes() if path.stat().st_size <= TEXT_LIMIT_BYTES else b""
        except OSError:
            continue
        for what, form in FORMS.items():
            if match := form.search(content):
                line = content.count(b"\n", 0, match.start()) + 1
                yield Problem(f"this looks like {what}; remove it, and revoke it if it was ever pushed", path, line)


@rule("secret-file", WARNING, "No file that usually holds secrets lies in the folder.")
def secret_file(module: Module) -> Iterator[Problem]:
    ignored = module.text(".gitignore").split()
    for path in module.files():
        if path.name in SECRET_FILES and path.name not in ignored:
            told = f"{path.name} usually holds secrets; add it to .gitignore, and keep it out of the image"
            yield Problem(told, path)
