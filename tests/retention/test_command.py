"""`baton retention`."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import ids
from app.commands.retention import remove_or_count
from app.expiry.due import Periods
from app.settings import CannotStart
from tests.api import Api
from tests.expiry.steps import fill, record, tables
from tests.retention.test_retention import a_lead, change, keep, sender_of

PERIODS = Periods(events=timedelta(days=30), attempts=timedelta(days=14))


async def test_a_dry_run_counts_and_removes_nothing_and_the_command_removes_as_much(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    await a_lead(await sender_of(api))
    await keep(api, raw_days=30)
    await change(api, "UPDATE submissions SET received_at = :at", at=api.now - timedelta(days=31))
    engine, tenant = api.app.state.engine, ids.show("tenant", api.tenant_id)
    for dry_run in (True, True, False, False):
        await remove_or_count(engine, None, PERIODS, dry_run=dry_run)
    kept = "quarantined kept for good, spam kept for good, attempts kept for 14 days, audit kept for good"
    assert capsys.readouterr().out.splitlines() == [
        f"{tenant} would remove: raw 1, {kept}, unqualified kept for good",
        "all tenants would drop: no partition",
        f"{tenant} would remove: raw 1, {kept}, unqualified kept for good",
        "all tenants would drop: no partition",
        f"{tenant} removed: raw 1",
        "all tenants dropped: no partition",
        f"{tenant} removed: nothing",
        "all tenants dropped: no partition",
    ]


async def test_partitions_that_would_be_dropped_are_named_and_those_of_all_tenants_stay_where_one_is_named(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    await record(api)
    await fill(api.app.state.engine)
    await record(api)
    for tenant, dry_run in ((None, True), ("acme", False), (None, False), (None, True)):
        await remove_or_count(api.app.state.engine, tenant, PERIODS, dry_run=dry_run)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("all tenants")]
    assert lines == [
        "all tenants would drop: event_log_00000, events_00000",
        "all tenants dropped: event_log_00000, events_00000",
        "all tenants would drop: no partition",
    ]
    assert not {"event_log_00000", "events_00000"} & await tables(api)


async def test_only_the_tenant_that_is_named_is_counted_and_one_that_is_unknown_is_told(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    other = await api.post("/v1/tenants", {"name": "Other"})
    await remove_or_count(api.app.state.engine, "Other", PERIODS, dry_run=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(other["tenant"]["id"])
    with pytest.raises(CannotStart, match="there is no tenant Nobody"):
        await remove_or_count(api.app.state.engine, "Nobody", PERIODS, dry_run=False)
