"""Time in each stage, and what grows old in one: each entry of a stage in the window counts, the open ones too."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.api import Api
from tests.journeys.test_overdue import going_stale
from tests.reports.steps import day, evidence, fraction, go_to, hand_over, metric, report
from tests.rules.make import WATERFALL, altered


async def test_time_in_a_stage_has_the_open_ones_censored(api: Api) -> None:
    """Scenario 22 of lifecycle.md for a stage: 1, 2, 3 and 4 days, and one that is there since 10 days."""
    sdr = await api.user("sdr")
    go_to(api, day(1))
    leads = [await api.mql() for _ in range(5)]
    for number, lead in enumerate(leads[:4], 1):
        go_to(api, day(1 + number))
        action: dict[str, Any] = {"reason_code": "no_need"} if number == 2 else {}
        asked = await api.ask(lead, "disqualify" if action else "accept", sdr, **action)
        assert asked.status_code == 201, asked.text
    go_to(api, day(11))
    found = metric(await report(api, "velocity"), "in_mql")
    assert (round(found["median_days"], 2), found["n"], found["n_open"], found["mature"]) == (3, 5, 1, False)
    assert (found["numerator"], found["denominator"], found["p90_days"]) == (4, 5, None)
    assert [row["counted"] for row in await evidence(api, "velocity", "in_mql")] == [True] * 4 + [False]
    then = metric(await report(api, "velocity", as_of="2026-01-03T12:00:00Z"), "in_mql")
    assert (then["numerator"], then["n_open"]) == (2, 3)
    later: dict[str, Any] = {"from": "2026-01-02"}
    assert fraction(await report(api, "velocity", **later), "in_mql") == (0, 0)


async def test_a_stage_that_is_entered_twice_counts_twice(api: Api) -> None:
    sdr = await api.user("sdr")
    go_to(api, day(1))
    lead = await api.mql()
    go_to(api, day(2))
    await api.ask(lead, "recycle", sdr, reason_code="timing")
    go_to(api, day(5))
    await api.add_activity(lead, "demo_request")
    go_to(api, day(6))
    found = await report(api, "velocity")
    assert [row["counted"] for row in await evidence(api, "velocity", "in_mql")] == [True, False]
    assert fraction(found, "in_mql") == (1, 2)
    assert fraction(found, "in_recycled") == (1, 1)
    assert round(metric(found, "in_recycled")["median_days"], 2) == 3


BANDS = ("0-7", "7-30", "30-90", "90+")
# Days in the stage, and in which band that is: a bound belongs to the younger band.
AGES = [(0, "0-7"), (3, "0-7"), (6.99, "0-7"), (7.01, "7-30"), (29.9, "7-30"), (30.1, "30-90"), (90.1, "90+")]


@pytest.mark.parametrize(("days", "band"), AGES)
async def test_an_open_journey_is_in_one_band_of_its_stage(api: Api, days: float, band: str) -> None:
    go_to(api, day(2))
    lead = await api.mql()
    go_to(api, api.now + timedelta(days=days))
    found = await report(api, "ageing")
    assert {one: fraction(found, f"mql:{one}") for one in BANDS} == {one: (int(one == band), 1) for one in BANDS}
    [row] = await evidence(api, "ageing", f"mql:{band}")
    assert (row["lead_id"], row["counted"]) == (lead["id"], True)
    assert fraction(found, "inquiry:0-7") == (0, 0)


async def test_stagnant_is_what_stands_longer_than_the_policy_allows(api: Api) -> None:
    await api.publish(altered(WATERFALL, going_stale(14, "mql")))
    sdr = await api.user("sdr")
    api.clock.ahead += timedelta(days=1)
    window: dict[str, Any] = {
        "from": str(api.now.date() - timedelta(days=1)),
        "to": str(api.now.date() + timedelta(days=60)),
    }
    entered = api.now
    stays, moves = await api.mql(), await api.mql()
    go_to(api, entered + timedelta(days=10))
    await api.ask(moves, "accept", sdr)
    before = api.now.isoformat().replace("+00:00", "Z")
    go_to(api, entered + timedelta(days=13.9))
    assert fraction(await report(api, "ageing", **window), "mql:stagnant") == (0, 1)
    go_to(api, entered + timedelta(days=14.1))
    found = await report(api, "ageing", **window)
    assert fraction(found, "mql:stagnant") == (1, 1)
    assert "sal:stagnant" not in {one["name"] for one in found["groups"][0]["metrics"]}
    [row] = await evidence(api, "ageing", "mql:stagnant", **window)
    assert (row["lead_id"], row["counted"]) == (stays["id"], True)
    assert fraction(await report(api, "ageing", as_of=before, **window), "mql:stagnant") == (0, 1)


async def test_accounts_and_contacts_are_idle_without_an_activity_for_some_days(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    go_to(api, day(2))
    quiet, busy = [await api.mql(company=name, website=f"https://{name}.example") for name in ("quiet", "busy")]
    for lead in (quiet, busy):
        await hand_over(api, lead, sdr, ae)
    alone = (await api.post("/v1/accounts", {"name": "Alone"}))["id"]
    go_to(api, day(20))
    await api.add_activity(busy, "call", kind="contact_attempt")
    go_to(api, day(25))
    for kind, denominator in (("account", 3), ("contact", 2)):
        name = f"idle_{kind}s"
        found = metric(await report(api, "ageing", idle_days=10), name)
        assert (found["numerator"], found["denominator"], found["idle_days"]) == (denominator - 1, denominator, 10)
        assert fraction(await report(api, "ageing"), name) == (0, denominator)  # 90 days
        assert fraction(await report(api, "ageing", idle_days=3), name) == (denominator, denominator)
        rows = {row[f"{kind}_id"]: row["counted"] for row in await evidence(api, "ageing", name, idle_days=10)}
        linked = (await api.reload(busy))["links"][f"{kind}_id"]
        assert {record for record, counted in rows.items() if not counted} == {linked}
        assert len(rows) == denominator
        assert kind == "contact" or alone in rows


@pytest.mark.parametrize("value", ["0", "-1", "3651", "x", ""])
async def test_idle_days_that_are_none_are_refused_and_named(api: Api, value: str) -> None:
    go_to(api, day(40))
    for path, more in (("ageing", {}), ("ageing/evidence", {"metric": "idle_accounts"})):
        refused = await report(api, path, expect=422, idle_days=value, **more)
        assert [fault["field"] for fault in refused["errors"]] == ["idle_days"]
