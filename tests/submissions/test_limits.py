"""Limits of a source and of one client: what is refused with 429, and what is taken as spam."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.errors import RateLimited
from app.settings import Settings
from app.sources.preset import make_document
from app.submissions import limits as module
from app.submissions.limits import SourceLimits
from tests.api import Api, running
from tests.submissions.sender import make_sender, person, process

NOON = datetime(2026, 8, 17, 12, tzinfo=UTC)
SOURCE, OTHER = UUID(int=1), UUID(int=2)


def taken(counted: SourceLimits, times: int, client: str | None, limits: dict[str, int], source: UUID = SOURCE) -> int:
    """How many of so many submissions at one instant are taken."""
    document, done = make_document("generic", {"limits": limits}), 0
    for _ in range(times):
        try:
            counted.take(source, document, client, NOON)
            done += 1
        except RateLimited:
            continue
    return done


@pytest.mark.parametrize(("processes", "limit", "most"), [(1, 3, 3), (2, 3, 2), (4, 1, 1), (1, 1, 1)])
def test_a_process_takes_its_part_of_the_limit_and_refuses_the_rest(processes: int, limit: int, most: int) -> None:
    of_source, of_client = {"per_minute": limit}, {"per_client_per_minute": limit}
    assert taken(SourceLimits(processes), 9, "203.0.113.7", of_source) == most
    assert taken(SourceLimits(processes), 9, "203.0.113.7", of_client) == most


def test_clients_and_sources_are_counted_apart_and_a_client_without_address_not_at_all() -> None:
    limits, of_client = SourceLimits(1), {"per_client_per_minute": 2}
    assert [taken(limits, 5, client, of_client) for client in ("203.0.113.7", "203.0.113.8", None)] == [2, 2, 5]
    assert taken(limits, 5, "203.0.113.7", of_client, OTHER) == 2


def test_a_flood_of_one_client_uses_up_nothing_of_the_source() -> None:
    limits, both = SourceLimits(1), {"per_minute": 5, "per_client_per_minute": 2}
    assert taken(limits, 50, "203.0.113.7", both) == 2
    assert [taken(limits, 1, f"203.0.113.{n}", both) for n in range(10, 14)] == [1, 1, 1, 0]


def test_a_client_over_its_number_in_ten_minutes_is_suspected_and_not_refused() -> None:
    limits, document = SourceLimits(1), make_document("generic", {"spam": {"max_per_client": 2}})
    answers = [limits.take(SOURCE, document, "203.0.113.7", NOON) for _ in range(4)]
    later = NOON + timedelta(minutes=5)  # half of the ten minutes: one more
    assert answers == [False, False, True, True]
    assert [limits.take(SOURCE, document, "203.0.113.7", later) for _ in range(2)] == [False, True]


def test_the_number_of_clients_that_are_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BUCKETS", 3)
    limits = SourceLimits(1)
    for n in range(50):
        taken(limits, 1, f"203.0.113.{n}", {"per_client_per_minute": 1})
    assert len(limits._buckets) == 3


async def test_beyond_a_limit_the_answer_is_429_with_the_time_to_wait_and_nothing_is_stored(api: Api) -> None:
    sender = await make_sender(
        api,
        overrides={"limits": {"per_minute": 2}},
        defaults={"allowed_origins": ["https://www.acme.example"]},
    )
    answers = [await sender.post(person(), Origin="https://www.acme.example") for _ in range(3)]
    refused = answers[2]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert (refused.json()["code"], refused.json()["limit"]) == ("rate_limited", "source_per_minute")
    assert "source" in refused.json()["title"]
    assert refused.headers["retry-after"] == "30"
    assert refused.headers["access-control-allow-origin"] == "https://www.acme.example"
    assert len((await api.get("/v1/submissions"))["data"]) == 2
    api.clock.ahead += timedelta(seconds=30)
    assert (await sender.post(person())).status_code == 202


async def test_the_address_of_a_client_is_the_one_that_the_trusted_proxy_wrote(settings: Settings) -> None:
    trusting = settings.model_copy(update={"trusted_proxies": Settings(trusted_proxies="127.0.0.0/8").trusted_proxies})
    async with running(trusting) as api:
        sender = await make_sender(api, overrides={"limits": {"per_client_per_minute": 1}})
        statuses = [
            (await sender.post(person(), X_Forwarded_For=forwarded)).status_code
            for forwarded in ("203.0.113.7", "1.1.1.1, 203.0.113.7", "2.2.2.2, 203.0.113.8", "203.0.113.8")
        ]
    assert statuses == [202, 429, 202, 429]


async def test_without_trusted_proxies_no_header_changes_whose_limit_it_is(api: Api) -> None:
    sender = await make_sender(api, overrides={"limits": {"per_client_per_minute": 1}})
    forged = {"X_Forwarded_For": "203.0.113.7", "Forwarded": "for=203.0.113.8"}
    assert (await sender.post(person())).status_code == 202
    assert (await sender.post(person(), **forged)).status_code == 429


async def test_what_one_client_sends_over_its_number_is_kept_as_spam_and_answered_like_the_rest(api: Api) -> None:
    sender = await make_sender(api, overrides={"spam": {"max_per_client": 2}})
    answers = [await sender.post(person()) for _ in range(4)]
    await process(api)
    items = [(await sender.submission(one.json()["submission"]["id"]))["items"][0] for one in answers]
    assert {answer.status_code for answer in answers} == {202}
    assert [item["verdict"] for item in items] == ["lead", "lead", "spam", "spam"]
    assert items[3]["mapped"]["flags"] == ["too_many_of_client"]


@pytest.mark.parametrize("limit", [0, -1, 1.5, "x", 10**9])
async def test_a_limit_that_is_no_number_of_submissions_is_refused(api: Api, limit: object) -> None:
    for overrides in ({"limits": {"per_minute": limit}}, {"spam": {"max_per_client": limit}}):
        body = {"name": "x", "preset": "html-form", "overrides": overrides}
        refused = await api.call("POST", "/v1/sources", body)
        assert (refused.status_code, refused.json()["code"]) == (422, "mapping_has_faults")
        assert refused.json()["errors"][0]["field"].startswith("overrides.")
