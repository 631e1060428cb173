"""Leads in the stages before a conversion, requests of conversions, and what is stored afterwards."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
from sqlalchemy import text

from app.database.tables import metadata
from tests.api import Api

GOOD = {"job_title": "Director", "employees": 120, "industry": "software"}
BANT = {name: {"status": "confirmed", "value": "yes"} for name in ("need", "budget", "timing")}
KEYS = itertools.count(1)


async def moved(api: Api, lead: dict[str, Any], action: str, actor: str, **members: Any) -> dict[str, Any]:
    """Takes a transition, which must succeed; the body of the response."""
    answer = await api.ask(lead, action, actor, **members)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def mql(api: Api, **fields: Any) -> dict[str, Any]:
    """A lead that a demo request has made an MQL."""
    lead = await api.lead(**{**GOOD, **fields})
    await api.add_activity(lead, "demo_request")
    return await api.reload(lead)


async def sql_lead(api: Api, ae: str, **fields: Any) -> dict[str, Any]:
    """A lead of the policy `waterfall` in stage sql, owned by the AE."""
    lead = await mql(api, **fields)
    await moved(api, lead, "accept", await api.user("manager"))
    return dict((await moved(api, lead, "confirm", ae, bant=BANT))["lead"])


async def srl_lead(api: Api, sdr: str, **fields: Any) -> dict[str, Any]:
    """A lead of the policy `pipeline` in stage srl, not converted."""
    lead = await mql(api, **fields)
    await moved(api, lead, "accept", sdr)
    return dict((await moved(api, lead, "hand_over", sdr, bant=BANT, conversion=False))["lead"])


async def convert(
    api: Api, lead: dict[str, Any], actor: str | None, order: Any = None, *, key: str | None = None, **options: Any
) -> httpx.Response:
    """Requests a conversion, under a new Idempotency-Key unless one is given; the response, whatever its status."""
    headers = {"Idempotency-Key": key or f"key-{next(KEYS)}", **options.pop("headers", {})}
    path = f"/v1/leads/{lead['id']}/conversion"
    return await api.call("POST", path, order or {}, actor=actor, headers=headers, **options)


async def converted(api: Api, lead: dict[str, Any], actor: str, order: Any = None, **options: Any) -> dict[str, Any]:
    """Converts a lead, which must succeed; the conversion."""
    answer = await convert(api, lead, actor, order, **options)
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["conversion"])


async def preview(api: Api, lead: dict[str, Any], actor: str | None, order: Any = None) -> dict[str, Any]:
    path = f"/v1/leads/{lead['id']}/conversion/preview"
    return dict(await api.post(path, order or {}, status=200, actor=actor))


async def all_rows(api: Api) -> dict[str, list[Any]]:
    """All rows of all tables, without `last_used_at`, which every request may change."""
    async with api.app.state.engine.connect() as tx:
        return {
            table.name: sorted(
                repr(row)
                for row in await tx.execute(
                    text(f"SELECT to_jsonb(t) - 'last_used_at' FROM {table.name} t")  # a name of our own metadata
                )
            )
            for table in metadata.sorted_tables
        }


async def rows(api: Api, statement: str, **bound: Any) -> list[Any]:
    """The rows of a query."""
    async with api.app.state.engine.connect() as tx:
        return list((await tx.execute(text(statement), bound)).all())


async def count(api: Api, table: str) -> int:
    return int((await rows(api, f"SELECT count(*) FROM {table}"))[0][0])


def outcomes(conversion: dict[str, Any]) -> dict[str, str]:
    """The outcome of each field of the lead; every field must be listed once."""
    names = [line["field"] for line in conversion["field_outcomes"]]
    assert len(names) == len(set(names))
    return {line["field"]: line["outcome"] for line in conversion["field_outcomes"]}


async def events(api: Api, lead: dict[str, Any]) -> list[Any]:
    """The lead's events as (type, lead_version, data), in the order they were written."""
    found = await rows(api, "SELECT type, lead_version, tx_index, data::jsonb AS data FROM events ORDER BY seq")
    return [row for row in found if row.data.get("lead_id") == lead["id"]]
