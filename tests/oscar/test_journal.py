"""The journal of calls stays within its bounds."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport.frontends.oscar.journal import (
    CALLS_LIMIT,
    FAILED,
    LOGS_LIMIT_CHARS,
    SUCCEEDED,
    Journal,
    job_id,
    job_name,
)

SOME_ID = "5e8ff9bf-55ba-4508-a387-6ad5a0a1c9dd"
SERVICES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,37}[a-z0-9])?", fullmatch=True)


def test_the_oldest_calls_go_first() -> None:
    journal = Journal()
    names = []
    for _ in range(CALLS_LIMIT + 5):
        entry = journal.begin("svc", "")
        journal.end("svc", entry, SUCCEEDED, "x")
        names.append(entry.name)
    assert [each.name for each in journal.list("svc")] == names[:4:-1]
    assert journal.totals["svc"] == CALLS_LIMIT + 5


def test_long_logs_drive_out_old_calls_but_never_the_last() -> None:
    journal = Journal()
    for _ in range(3):
        journal.end("svc", journal.begin("svc", ""), FAILED, "x" * (LOGS_LIMIT_CHARS // 2))
    assert len(list(journal.list("svc"))) == 2
    last = journal.begin("svc", "")
    journal.end("svc", last, FAILED, "x" * (2 * LOGS_LIMIT_CHARS))
    assert [each.name for each in journal.list("svc")] == [last.name]
    journal.remove("svc", last.name)
    journal.end("svc", journal.begin("svc", ""), FAILED, "x")
    assert len(list(journal.list("svc"))) == 1


def test_a_call_that_ends_after_its_service_is_nowhere() -> None:
    journal = Journal()
    entry = journal.begin("svc", "me")
    journal.forget("svc")
    journal.end("svc", entry, SUCCEEDED, "log")
    assert list(journal.list("svc")) == []


def test_names_of_jobs_begin_as_their_service_does() -> None:
    journal = Journal()
    first, second, long = (journal.begin(service, "").name for service in ("svc", "svc", "a" * 25))
    assert first.startswith("svc-") and first != second
    assert long.startswith("a" * 16 + "-")
    # They are read as those of jobs that the store keeps.
    assert uuid.UUID(job_id("svc", first)) != uuid.UUID(job_id("svc", second))


@given(SERVICES, st.uuids())
def test_the_name_of_a_job_tells_its_id_and_its_service_only(service: str, id: uuid.UUID) -> None:
    name = job_name(service, id.hex)
    assert job_id(service, name) == id.hex
    assert len(name) <= 24 + 1 + 36
    assert job_id(f"x{service}", name) == ""


@pytest.mark.parametrize("name", ["svc", "svc-", f"svc-{'0' * 32}", f"svc-{SOME_ID}x", f"SVC-{SOME_ID}", ""])
def test_what_is_no_name_of_a_job(name: str) -> None:
    assert job_id("svc", name) == ""
