"""Response counts runs of clocks in business minutes, as each was known at the instant, and attempts."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.reports.report import Metric
from app.reports.response import show
from tests.api import Api
from tests.journeys.test_clocks import NINE_TO_SIX, set_calendar
from tests.reports.steps import JANUARY, THREE, day, evidence, fraction, go_to, metric, report

FRIDAY = datetime(2026, 1, 9, 17, tzinfo=UTC)  # an hour before the end of business


class Row:
    """A row of the statement that counts."""

    def __init__(self, minutes: list[int], unmet: int) -> None:
        self.minutes, self.attempts, self.n_open, self.denominator = minutes, None, 0, len(minutes) + unmet


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(0, 30))
def test_the_median_is_the_time_within_which_half_of_all_were_met(minutes: list[int], unmet: int) -> None:
    shown: Any = show(Metric("met_response", value="response"), Row(minutes, unmet), None)  # type: ignore[arg-type]
    total = len(minutes) + unmet
    for name, tenths in (("median_minutes", 5), ("p90_minutes", 9)):
        reached = [at for at in range(51) if total and sum(one <= at for one in minutes) * 10 >= tenths * total]
        assert shown[name] == (reached[0] if reached else None)


async def call(api: Api, lead: dict[str, Any], **members: Any) -> None:
    await api.add_activity(lead, "call", kind="contact_attempt", **members)


async def test_minutes_are_those_of_business_and_the_share_counts_what_was_met_in_time(pipeline_api: Api) -> None:
    api = pipeline_api
    await set_calendar(api, working_hours=NINE_TO_SIX)
    go_to(api, FRIDAY)
    leads = [await api.mql() for _ in range(4)]
    start = api.now
    for hours, lead in ((0.5, leads[0]), (65, leads[1]), (97, leads[2])):  # the same evening, Monday and Tuesday at 10
        go_to(api, datetime.fromtimestamp(FRIDAY.timestamp() + hours * 3600, UTC))
        await call(api, lead)
    found = metric(await report(api, "response"), "met_response")
    assert (found["numerator"], found["denominator"], found["value"]) == (2, 4, 0.5), start
    assert (found["n_met"], found["n_open"], found["mature"]) == (3, 0, True)
    assert found["median_minutes"] in (119, 120)  # the second of four, an hour on Friday and one on Monday
    assert found["p90_minutes"] is None  # the fourth was never met
    rows = {row["lead_id"]: row["counted"] for row in await evidence(api, "response", "met_response")}
    assert rows == {lead["id"]: lead in leads[:2] for lead in leads}
    early = metric(await report(api, "response", as_of="2026-01-09T17:30:00Z"), "met_response")
    assert (early["denominator"], early["n_open"], early["mature"]) == (4, 4, False)
    attempted = metric(await report(api, "response"), "attempted_response")
    assert (attempted["numerator"], attempted["denominator"], attempted["mean_attempts"]) == (3, 4, 0.75)
    assert attempted["attempts"] == {"0": 1, "1": 3, "2": 0, "3": 0, "4": 0, "5": 0, "6+": 0}


async def test_a_run_that_was_stopped_before_it_was_due_counts_nowhere(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr = await api.user("sdr")
    go_to(api, day(2))
    in_time, too_late = await api.mql(), await api.mql()
    await api.ask(in_time, "disqualify", sdr, reason_code="no_need")
    go_to(api, day(4))
    await api.ask(too_late, "disqualify", sdr, reason_code="no_need")
    assert fraction(await report(api, "response"), "met_response") == (0, 1)
    [row] = await evidence(api, "response", "met_response")
    assert row["lead_id"] == too_late["id"]
    assert fraction(await report(api, "response"), "attempted_response") == (0, 2)


async def test_attempts_count_from_the_clock_until_the_journey_ends(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr = await api.user("sdr")
    go_to(api, day(2))
    lead = await api.mql()
    await call(api, lead, occurred_at=api.ago(days=1))
    go_to(api, day(3))
    await call(api, lead)
    await call(api, lead, activity_key="again")
    await api.ask(lead, "disqualify", sdr, reason_code="no_need")
    go_to(api, day(40))
    await api.add_activity(lead, "demo_request")
    await call(api, lead)
    found = metric(await report(api, "response"), "attempted_response")
    assert (found["denominator"], found["mean_attempts"], found["mature"]) == (1, 2.0, True)


async def test_groups_are_the_owners_of_the_runs_and_their_teams(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, other = await api.user("sdr", team="north"), await api.user("sdr", team="south")
    ae = await api.user("ae")
    go_to(api, day(2))
    leads = [await api.mql() for _ in range(3)]
    for lead, user in zip(leads, (sdr, other, other), strict=True):
        await api.ask(lead, "accept", user)
        await call(api, lead)
    assert (await api.ask(leads[0], "hand_over", sdr, bant=THREE, owner_id=ae, conversion=False)).status_code == 201
    by_owner = await report(api, "response", by="owner")
    assert fraction(by_owner, "met_response", sdr) == (1, 1)
    assert fraction(by_owner, "met_response", other) == (2, 2)
    assert fraction(by_owner, "met_ae_acceptance", ae) == (0, 1)
    by_team = await report(api, "response", by="team")
    assert fraction(by_team, "met_response", "north") == (1, 1)
    assert fraction(by_team, "met_response", "south") == (2, 2)
    assert len(await evidence(api, "response", "met_response", by="team", key="south")) == 2


async def test_what_is_learned_later_of_a_run_changes_no_report_of_the_past(pipeline_api: Api) -> None:
    """An earlier attempt that is recorded late, another owner, a merge that stops a run, and an unmerge."""
    api = pipeline_api
    manager, sdr = await api.user("manager"), await api.user("sdr")
    go_to(api, day(2))
    lead, other = await api.mql(), await api.mql()
    go_to(api, day(3))
    await call(api, lead)
    told: list[tuple[str, dict[str, Any]]] = []

    async def ask() -> None:
        at = api.now.isoformat().replace("+00:00", "Z")
        groups: tuple[dict[str, Any], ...] = ({}, {"by": "owner"})
        told.extend([(at, {"by": by, "answer": await report(api, "response", as_of=at, **by)}) for by in groups])

    await ask()
    go_to(api, day(4))
    await call(api, lead, activity_key="first", occurred_at=api.ago(days=1.9))
    await ask()
    go_to(api, day(5))
    await api.ask(other, "accept", sdr)
    await call(api, other)
    await ask()
    go_to(api, day(6))
    await api.post(f"/v1/leads/{other['id']}/merge", {"into": lead["id"]}, status=200, actor=manager)
    await ask()
    go_to(api, day(7))
    await api.post(f"/v1/leads/{other['id']}/unmerge", None, status=200, actor=manager)
    await ask()
    for at, one in told:
        assert await report(api, "response", as_of=at, **one["by"]) == one["answer"], at
    of_all = [one["answer"] for _, one in told[::2]]
    assert any(before["groups"] != after["groups"] for before, after in pairwise(of_all))
    assert [fraction(one, "met_response") for one in of_all[:2]] == [(0, 2), (1, 2)]


FIRST = {"response": "met_response", "ageing": "inquiry:0-7", "rules": "rule:title", "velocity": "in_mql"}


@pytest.mark.parametrize("kind", ["text/csv", "image/svg+xml"])
@pytest.mark.parametrize("name", [*FIRST, "ideal"])
async def test_the_report_is_written_in_every_format(pipeline_api: Api, name: str, kind: str) -> None:
    api = pipeline_api
    go_to(api, day(2))
    await api.mql()
    answer = await api.call("GET", f"/v1/reports/{name}", params=JANUARY, headers={"Accept": kind})
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, kind)
    assert FIRST.get(name, "") in answer.text
