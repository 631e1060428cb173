"""How much a source sent each day, by verdict."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from app.database.transaction import Tx
from app.errors import SourceNotFound
from app.sources import sql as sources_sql
from app.submissions import sql
from app.tenants.calendar import read_calendar, show_calendar

MOST_COUNTED: Final = 50_000  # submissions; reading them takes well under a second


async def volume(tx: Tx, tenant_id: UUID, source_id: UUID, days: int, now: datetime) -> dict[str, Any]:
    """The last `days` days in the time zone of the tenant, today included. Raises SourceNotFound.

    Of a source that sent more than MOST_COUNTED the newest are counted; `complete` is then false.
    """
    if await sources_sql.source(tx, tenant_id, source_id) is None:
        raise SourceNotFound()
    zone = show_calendar(await read_calendar(tx, tenant_id))["time_zone"]
    first = now.astimezone(ZoneInfo(zone)).date() - timedelta(days=days - 1)
    since = datetime.combine(first, time(), ZoneInfo(zone))
    rows = await sql.volume(tx, tenant_id, source_id, since, zone, MOST_COUNTED)
    counts: dict[date, dict[str, int]] = {first + timedelta(days=number): {} for number in range(days)}
    for row in rows:
        counts.setdefault(row.received_on, {})[row.verdict] = row.count
    return {
        "time_zone": zone,
        "complete": not rows or rows[0].submissions < MOST_COUNTED,
        "days": [{"on": on.isoformat(), "verdicts": verdicts} for on, verdicts in sorted(counts.items())],
    }
