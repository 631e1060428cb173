"""Reads and sets the bands of a tenant: the ranges in which its rates are as they should be."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from app.database.transaction import Tx
from app.errors import RequestInvalid
from app.policies.published import active_policy
from app.reports import sql
from app.reports.metric import bands_of
from app.reports.schemas import BandsPut
from app.reports.settings import BANDS, keep_setting, own_bands_in, show_bands
from app.web.auth import Caller


async def read_bands(tx: Tx, tenant_id: UUID, now: datetime) -> dict[str, Any]:
    """The bands that hold now."""
    documents = (await sql.settings(tx, tenant_id, now)).documents or {}
    return show_bands(bands_of((await active_policy(tx, tenant_id)).policy, own_bands_in(documents)))


async def set_bands(tx: Tx, caller: Caller, body: BandsPut, now: datetime) -> dict[str, Any]:
    """The bands that hold from now on. Raises RequestInvalid for one that ends before it begins, or is given twice."""
    seen = set[tuple[str, str, str | None]]()
    for index, one in enumerate(body.bands):
        pair = (one.from_, one.to, one.business)
        if one.low > one.high:
            raise RequestInvalid.of(f"bands.{index}.high", "band_empty", "must not be less than `low`")
        if pair in seen:
            raise RequestInvalid.of(f"bands.{index}", "band_repeated", "this band is given twice")
        seen.add(pair)
    await keep_setting(tx, caller, BANDS, [one.model_dump(by_alias=True) for one in body.bands], now)
    return await read_bands(tx, caller.tenant_id, now)
