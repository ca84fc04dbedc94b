"""The log of a job as OSCAR's clients read it: what the call printed, then the line `return: ` or the reason."""

from __future__ import annotations

import json
from collections.abc import Iterable

from modelport.contract.job import Job
from modelport.contract.prediction import Outcome
from modelport.describe.documents import STATUS
from modelport.frontends.oscar.answers import failure_text
from modelport.frontends.oscar.journal import stamp
from modelport.http.gateway import Gateway
from modelport.jobs.progressbars import overwritten
from modelport.observe.logtext import log_text

# (seconds since 1970, lines that belong to that time).
Parts = list[tuple[float, str]]
# A value that was not asked for as text is written as Python writes it; parsing more than this takes too long.
REPR_BYTES = 1 << 18


async def job_log(gateway: Gateway, root: str, job: Job) -> Parts:
    """Of one that runs: so far. root: see `Gateway.root`."""
    started, finished = job.started or job.created, job.finished or job.created
    if not job.status.final:
        return [(started, log_text(await gateway.jobs.log(job.id)))]
    outcome = await gateway.jobs.outcome(job)
    log = log_text(overwritten(outcome.log))
    if (error := outcome.error) is not None:
        return [(finished, failure_text(error, error.status or STATUS.get(error.kind, 500), log))]
    return [(started, log), (finished, _returned(root, job, outcome))]


def _returned(root: str, job: Job, outcome: Outcome) -> str:
    if outcome.is_json and outcome.text is not None:
        return f"return: {outcome.text}\n"
    if outcome.is_json and outcome.path is None and len(outcome.body) <= REPR_BYTES:
        return f"return: {json.loads(outcome.body)!r}\n"
    size = job.result.size_bytes if job.result is not None else len(outcome.body)
    return f"The result is {outcome.media_type}, {size} bytes: {root}/jobs/{job.id}/result\n"


def stamped(parts: Iterable[tuple[float, str]]) -> str:
    """Every line behind a time. When single lines were printed is not kept: they have the time of their part."""
    lines = ((stamp(seconds), line) for seconds, text in parts if text for line in text.removesuffix("\n").split("\n"))
    return "".join(f"{time} {line}\n" for time, line in lines)
