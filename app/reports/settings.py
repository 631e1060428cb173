"""The settings of reports: the tenant's bands, kept with their history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from app import ids
from app.database.transaction import Tx
from app.journeys.record import actor_document
from app.reports import sql
from app.web.auth import Caller

BANDS: Final = "bands"


async def keep_setting(tx: Tx, caller: Caller, name: str, document: Any, now: datetime) -> None:
    """Sets a setting from now on. Reports as of an earlier instant have the one of then."""
    actor = actor_document(caller.actor)
    values = {"id": ids.new_id(), "name": name, "recorded_at": now, "actor": actor, "document": document}
    await sql.keep_setting(tx, caller.tenant_id, values)


def own_bands_in(documents: Mapping[str, Any]) -> dict[tuple[str, str, str | None], tuple[float, float]]:
    """The tenant's own bands by (from, to, business)."""
    listed: Sequence[Mapping[str, Any]] = documents.get(BANDS) or ()
    return {(one["from"], one["to"], one["business"]): (one["low"], one["high"]) for one in listed}


def show_bands(bands: Mapping[tuple[str, str, str | None], tuple[float, float]]) -> dict[str, Any]:
    """Bands as answers list them."""
    listed = sorted(bands.items(), key=lambda one: tuple(part or "" for part in one[0]))
    return {
        "bands": [
            {"from": start, "to": to, "business": business, "low": low, "high": high}
            for (start, to, business), (low, high) in listed
        ]
    }
