"""Steps that tests of erasures share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from app.erasure.steps import run_steps
from tests.api import Api

REASON = {"reason": "person_asked", "request_id": "DSR-2026-17"}


async def erase(api: Api, lead: dict[str, Any], *, steps: bool = True) -> dict[str, Any]:
    """Erase the person of a lead, and do the steps that follow."""
    erased: dict[str, Any] = await api.post(f"/v1/leads/{lead['id']}/erasure", REASON, status=202)
    while steps and await run_steps(api.app.state.engine, api.now):
        pass
    return erased


async def where(api: Api, needles: list[str]) -> list[str]:
    """Every column of every table, cast to text, that has one of these texts, in any letter case."""
    found: list[str] = []
    async with api.app.state.engine.connect() as tx:
        columns = await tx.execute(
            text(
                "SELECT c.relname AS name, a.attname AS of FROM pg_class c"
                " JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'"
                " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
                " WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition"
            )
        )
        for name, column in [(row.name, row.of) for row in columns]:
            for way in (f'"{column}"::text', f"encode(\"{column}\"::bytea, 'escape')"):
                kind = await tx.execute(
                    text(f"SELECT pg_typeof(\"{column}\")::text FROM {name} LIMIT 1")  # noqa: S608
                )
                if ("bytea" in way) != (kind.scalars() == ["bytea"]):
                    continue
                rows = await tx.execute(
                    text(f"SELECT {way} FROM {name} WHERE lower({way}) ~ lower(:pattern)"),  # noqa: S608
                    {"pattern": "|".join(one.replace("+", r"\+").replace(".", r"\.") for one in needles)},
                )
                found += [f"{name}.{column}: {value[:200]}" for value in rows.scalars()]
    return found
