"""What is exported, whatever the platform; and what a platform makes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelport.settings import Settings

PORT, S3_PORT = 5000, 9000
# The image's user, and its folder for what must outlive a container (see the Dockerfile).
USER = 1000
STATE = "/home/modelport/state"
# The server itself, without the models.
SERVER_BYTES = 256 << 20
# After the last prediction has ended or was stopped, the rest takes some seconds at most.
ENDING_S = 10
SECRETS_FILE = "secrets.env"

DEFAULTS = Settings()


@dataclass(frozen=True)
class Workload:
    """A model that is to be served elsewhere.

    module: as it is called where it is installed; path: where it lies here, if it is not installed; python: its
    interpreter here, if it is not the server's. image: with modelport; hub_image: with DEEPaaS, where the module's
    metadata name one. cpu, memory_bytes: of a worker. assumed: what nobody said, so that these are defaults. variables:
    without what looks like a secret; secrets: the names of the others. command: what the user typed.
    """

    name: str
    module: str
    image: str
    command: str
    path: str = ""
    python: str = ""
    hub_image: str = ""
    cpu: float = 1
    memory_bytes: int = 2 << 30
    gpu: int = 0
    min_workers: int = 0
    max_workers: int = 1
    timeout_s: float = DEFAULTS.predict_timeout_s
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    @property
    def serve(self) -> list[str]:
        """The container's command."""
        return ["modelport", "serve", self.module if self.module == self.name else f"{self.name}={self.module}"]

    @property
    def environment(self) -> dict[str, str]:
        """The module's variables, and the server's settings in a container."""
        return {
            **self.variables,
            "MODELPORT_LISTEN_IP": "0.0.0.0",  # noqa: S104
            "MODELPORT_HOME": STATE,
            "MODELPORT_WORKERS": str(self.max_workers),
            "MODELPORT_PREDICT_TIMEOUT_S": f"{self.timeout_s:g}",
            "XDG_CACHE_HOME": f"{STATE}/cache",  # all else is read-only
        }

    @property
    def all_cpus(self) -> float:
        return self.cpu * self.max_workers

    @property
    def all_memory_bytes(self) -> int:
        return self.memory_bytes * self.max_workers + SERVER_BYTES

    @property
    def ending_s(self) -> int:
        """From SIGTERM until the server has ended."""
        return math.ceil(DEFAULTS.grace_s) + ENDING_S

    @property
    def secret_names(self) -> tuple[str, ...]:
        return ("BEARER_TOKEN", *(name for name in self.secrets if name != "BEARER_TOKEN"))


@dataclass(frozen=True)
class Export:
    """Files by name, the one to read first in front. steps: commands to run in their folder."""

    files: Mapping[str, str]
    steps: tuple[str, ...]


def mebibytes(amount: int) -> int:
    return math.ceil(amount / (1 << 20))
