"""`baton retention`."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import ids
from app.commands.retention import remove_or_count
from app.settings import CannotStart
from tests.api import Api
from tests.retention.test_retention import a_lead, change, keep, sender_of


async def test_a_dry_run_counts_and_removes_nothing_and_the_command_removes_as_much(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    await a_lead(await sender_of(api))
    await keep(api, raw_days=30)
    await change(api, "UPDATE submissions SET received_at = :at", at=api.now - timedelta(days=31))
    engine, tenant = api.app.state.engine, ids.show("tenant", api.tenant_id)
    for dry_run in (True, True, False, False):
        await remove_or_count(engine, None, dry_run=dry_run)
    kept = ", ".join(f"{kind} kept for good" for kind in ("quarantined", "spam", "attempts", "audit", "unqualified"))
    assert capsys.readouterr().out.splitlines() == [
        f"{tenant} would remove: raw 1, {kept}",
        f"{tenant} would remove: raw 1, {kept}",
        f"{tenant} removed: raw 1",
        f"{tenant} removed: nothing",
    ]


async def test_only_the_tenant_that_is_named_is_counted_and_one_that_is_unknown_is_told(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    other = await api.post("/v1/tenants", {"name": "Other"})
    await remove_or_count(api.app.state.engine, "Other", dry_run=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(other["tenant"]["id"])
    with pytest.raises(CannotStart, match="there is no tenant Nobody"):
        await remove_or_count(api.app.state.engine, "Nobody", dry_run=False)
