"""Steps that tests of erasures share."""

from __future__ import annotations

import itertools
import re
from typing import Any

from sqlalchemy import text

from app.erasure.across import SETTLED
from app.erasure.steps import run_steps
from tests.api import Api

COLUMNS = text(
    """
    SELECT c.relname AS name, a.attname AS of, a.atttypid::regtype::text AS kind
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
    """
)
REASON = {"reason": "person_asked", "request_id": "DSR-2026-17"}


async def erase(api: Api, lead: dict[str, Any], *, steps: bool = True) -> dict[str, Any]:
    """Erase the person of a lead, and do the steps that follow."""
    erased: dict[str, Any] = await api.post(f"/v1/leads/{lead['id']}/erasure", REASON, status=202)
    if steps:
        await finish(api)
    return erased


async def finish(api: Api) -> None:
    """Do the steps of all erasures, as late as they may begin."""
    while await run_steps(api.app.state.engine, api.now + SETTLED):
        pass


async def where(api: Api, needles: list[str]) -> list[str]:
    """Every column of every table, cast to text, that has one of these texts, in any letter case."""
    pattern, found = "|".join(map(re.escape, needles)), []
    async with api.app.state.engine.connect() as tx:
        for name, column, kind in [(row.name, row.of, row.kind) for row in await tx.execute(COLUMNS)]:
            shown = f"encode(\"{column}\", 'escape')" if kind == "bytea" else f'"{column}"::text'
            select = f"SELECT {shown} FROM {name} WHERE {shown} ~* :pattern"
            rows = (await tx.execute(text(select), {"pattern": pattern})).scalars()
            found += [f"{name}.{column}: {value[:300]}" for value in rows]
    return found


async def reports(api: Api, days: int = 30) -> dict[str, Any]:
    """What the reports of the last `days` say that an erasure must not change."""
    asked = {"from": api.ago(days=days)[:10], "to": api.ago(days=-1)[:10]}
    groups = (None, "source", "country", "industry", "owner")
    found = {}
    for name, by in itertools.product(("funnel", "velocity", "sources"), groups):
        told = await api.get(f"/v1/reports/{name}", params={**asked, **({"by": by} if by else {})})
        found[f"{name} {by}"] = {name: value for name, value in told.items() if name not in ("as_of", "evidence_url")}
    return found
