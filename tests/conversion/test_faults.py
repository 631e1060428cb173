"""A conversion in which any statement fails writes nothing, and can be retried."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from tests.api import Api

TABLES = (
    "leads",
    "journeys",
    "transitions",
    "milestones",
    "conversions",
    "accounts",
    "contacts",
    "opportunities",
    "opportunity_transitions",
    "events",
    "pending",
    "idempotency_keys",
)
FAILING_TABLES = ("events", "pending", "conversions", "opportunities", "transitions", "idempotency_keys")


async def stored(api: Api) -> dict[str, Any]:
    """Every row that a conversion may touch."""
    async with api.app.state.engine.connect() as tx:
        return {
            table: (await tx.execute(text(f"SELECT CAST(t AS text) FROM {table} t ORDER BY 1"))).scalars()
            for table in TABLES
        }


@pytest.mark.parametrize("table", FAILING_TABLES)
async def test_a_failing_insert_rolls_back_everything_and_a_retry_with_the_same_key_converts(
    api: Api, table: str
) -> None:
    sdr, ae, lead = await api.user("sdr"), await api.user("ae"), await api.mql(company="Nordsoft")
    await api.ask(lead, "accept", sdr)
    bant = {name: {"status": "confirmed"} for name in ("budget", "need", "timing")}
    await api.ask(lead, "confirm", ae, bant=bant)
    async with api.app.state.engine.begin() as tx:
        await tx.execute(
            text("CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'disk full'; END $$")
        )
        await tx.execute(text(f"CREATE TRIGGER fail BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fail()"))
    before, path, headers = await stored(api), f"/v1/leads/{lead['id']}/conversion", {"Idempotency-Key": "k"}
    failed = await api.call("POST", path, {}, actor=ae, headers=headers)
    assert (failed.status_code, failed.json()["code"]) == (500, "internal_error")
    assert await stored(api) == before
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("DROP FUNCTION fail CASCADE"))
    assert (await api.call("POST", path, {}, actor=ae, headers=headers)).status_code == 201
