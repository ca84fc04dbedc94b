"""The environment of the processes that we start."""

from __future__ import annotations

import os

from modelport import settings

# Secrets that are not settings: the key of `modelport nevermined`.
OTHERS = ("NVM_API_KEY",)


def secret_names() -> frozenset[str]:
    """Every variable that may hold a secret setting: by its own name, and by older ones; and OTHERS."""
    names = ((row.environment, settings.ENVIRONMENT_ALIASES.get(row.name)) for row in settings.table() if row.secret)
    return frozenset(name for pair in names for name in pair if name) | frozenset(OTHERS)


def child_environment() -> dict[str, str]:
    """Ours, without the server's secrets. Every process that we start gets this one, but for the server itself."""
    secret = secret_names()
    return {name: value for name, value in os.environ.items() if name not in secret}
