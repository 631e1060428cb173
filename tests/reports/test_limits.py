"""Which reports are refused for the history of their window, before it is read, and where the limit is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.errors import RequestInvalid
from app.reports import sql
from app.reports.read import read_report
from app.reports.report import Report, Summed
from app.reports.table import REPORTS
from tests.api import Api
from tests.reports.test_summaries import caught_up, is_read, run

# Of now, by group: what is read is no longer for more history, but for more days.
COUNTS_ONLY = {
    *(("funnel", by) for by in (None, "business")),
    *(("sources", by) for by in (None, "business", "source", "medium", "campaign")),
}


def limited(report: Report, most: int) -> Report:
    """The report with this limit wherever it has one."""
    summed = {group: one if one.most is None else Summed(one.sql, most) for group, one in report.summed.items()}
    return replace(report, most=most, summed=summed)


async def fault_of(api: Api, report: Report, by: str | None, as_of: datetime | None, days: int = 2) -> Any:
    """What is wrong with the report of days from today on; None where it is answered."""
    today = api.now.date()
    asked = report.parameters(from_=today, to=today + timedelta(days=days), as_of=as_of, by=by)  # type: ignore[arg-type]
    async with api.app.state.engine.connect() as tx:
        try:
            await read_report(tx, api.tenant_id, report, asked, api.now)
        except RequestInvalid as refused:
            return refused.members["errors"][0]
    return None


async def steps_of(api: Api, table: str) -> int:
    """How many transitions the window of two days has, by the estimate."""
    start = datetime.combine(api.now.date(), datetime.min.time(), UTC)
    await run(api, f"ANALYZE {table}")
    async with api.app.state.engine.connect() as tx:
        return await sql.steps_in(tx, api.tenant_id, table, start, start + timedelta(days=2))


@pytest.fixture
async def history(api: Api) -> Api:
    """Eight MQLs, eight deals, and all summaries of them."""
    for _ in range(8):
        await api.mql()
        await api.post("/v1/opportunities", {"name": "Deal"})
    await caught_up(api)
    api.clock.ahead += timedelta(seconds=5)
    assert await is_read(api)
    return api


@pytest.mark.parametrize("report", REPORTS, ids=lambda one: one.name)
async def test_every_report_by_every_group_of_now_and_of_then_has_a_limit_or_reads_counts_only(
    history: Api, report: Report
) -> None:
    most = await steps_of(history, report.history)
    assert most >= 8
    for by in (None, *report.parameters.groups()):
        for as_of in (None, history.now):
            assert await fault_of(history, limited(report, most), by, as_of) is None, (by, as_of)
            fault = await fault_of(history, limited(report, most - 1), by, as_of)
            if as_of is None and (report.name, by) in COUNTS_ONLY:
                assert fault is None, by
                continue
            assert (fault["field"], fault["code"]) == ("to", "too_much_history"), (by, as_of)
            assert f"about {most:,} transitions" in fault["detail"]
            assert f"at most {most - 1:,} at once" in fault["detail"]


async def test_a_report_that_reads_the_records_as_summaries_are_being_made_has_the_limit_of_the_records(
    history: Api,
) -> None:
    await run(history, "UPDATE summary_cursors SET built_to = gen_random_uuid()")
    for report in REPORTS:
        most = await steps_of(history, report.history)
        assert (await fault_of(history, replace(report, most=most - 1), None, None))["code"] == "too_much_history"


async def test_the_pipeline_is_refused_for_transitions_of_opportunities_and_not_for_those_of_journeys(
    api: Api,
) -> None:
    [pipeline] = [one for one in REPORTS if one.name == "pipeline"]
    for _ in range(8):
        await api.mql()
    await run(api, "ANALYZE transitions, opportunity_transitions")
    assert await fault_of(api, limited(pipeline, 4), None, None) is None
    for _ in range(8):
        await api.post("/v1/opportunities", {"name": "Deal"})
    await run(api, "ANALYZE opportunity_transitions")
    assert "transitions of opportunities" in (await fault_of(api, limited(pipeline, 4), None, None))["detail"]
