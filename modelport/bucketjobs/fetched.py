"""Which content of its object a job has read, from then until its outputs are put."""

from __future__ import annotations

from collections import OrderedDict

from modelport.objectstore import ObjectInfo

# Jobs that are deleted before their outputs are put stay in it, until so many others have come.
LIMIT = 10_000


class Fetched:
    """By job. In memory only: where it is lost, the content that was told when the object arrived counts."""

    def __init__(self) -> None:
        self._found: OrderedDict[str, ObjectInfo] = OrderedDict()

    def note(self, job_id: str, found: ObjectInfo) -> None:
        self._found[job_id] = found
        self._found.move_to_end(job_id)
        while len(self._found) > LIMIT:
            self._found.popitem(last=False)

    def of(self, job_id: str) -> ObjectInfo | None:
        return self._found.get(job_id)

    def forget(self, job_id: str) -> None:
        self._found.pop(job_id, None)
