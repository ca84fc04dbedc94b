"""How a call in a worker gives files away while it runs: copies in its scratch folder, which the gateway takes.

Runs in the child: Python 3.8, standard library only.
"""

from __future__ import annotations

import os
import shutil
import stat
import threading
from typing import Any, Callable

import modelport
from modelport.child import content, failures
from modelport.contract.prediction import Call

UNNAMED = "artifact"


class Artifacts:
    """Takes what the plugin says to `modelport.artifact` during a call that is a job.

    has_any: whether there was any in this call.
    """

    def __init__(self, send: Callable[[dict[str, Any]], None], limit_bytes: int) -> None:
        self.has_any = False
        self._send = send
        self._limit_bytes = limit_bytes
        self._call: Call | None = None
        self._count = 0
        self._sizes: dict[str, int] = {}  # by name; one that comes again replaces the earlier one
        self._taking = threading.Lock()

    def begin(self, call: Call) -> None:
        self.has_any = False
        if call.attempt and self._limit_bytes:
            self._call, self._count, self._sizes = call, 0, {}
            modelport._keep = self.keep

    def end(self) -> None:
        modelport._keep = None
        with self._taking:
            self._call = None

    def keep(self, path: str, name: str | None) -> None:
        with self._taking:
            call = self._call
            if call is None:
                return  # a thread that has outlived its call
            shown = (content.basename(path if name is None else str(name)) or "").strip(" .") or UNNAMED
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"{path!r} is not a file; give the path of a regular file")
            others = sum(self._sizes.values()) - self._sizes.get(shown, 0)
            if others + status.st_size > self._limit_bytes:
                failures.log(
                    f"{shown} has {status.st_size} bytes and is not kept: the artifacts of a job may have "
                    f"{self._limit_bytes} bytes together (setting job_artifacts_bytes)"
                )
                return
            self.has_any = True
            self._count += 1
            stored = f"artifact-{self._count}"
            os.makedirs(call.scratch, mode=0o700, exist_ok=True)
            shutil.copyfile(path, os.path.join(call.scratch, stored))
            self._sizes[shown] = os.path.getsize(os.path.join(call.scratch, stored))
            self._send({"is": "artifact", "id": call.id, "file": stored, "name": shown})
