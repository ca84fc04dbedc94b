"""What the processes that we start get of us: our environment, and our end."""

from __future__ import annotations

import ctypes
import os
import signal

from modelport import settings

PR_SET_PDEATHSIG = 1


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


def die_with_parent() -> None:
    """For a process that was just started: SIGTERM, when who started it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
