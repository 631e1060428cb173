"""Reads and sets the bands of a tenant: the ranges in which its rates are as they should be."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from app.database.transaction import Tx
from app.errors import RequestInvalid
from app.policies.published import active_policy
from app.policy.document import Policy
from app.reports import sql
from app.reports.funnel import ALWAYS, pairs_of
from app.reports.metric import bands_of
from app.reports.schemas import BandIn, BandsPut
from app.reports.settings import BANDS, keep_setting, own_bands_in, show_bands
from app.web.auth import Caller


async def read_bands(tx: Tx, tenant_id: UUID, now: datetime) -> dict[str, Any]:
    """The bands that hold now, of rates that the active policy has."""
    documents = (await sql.settings(tx, tenant_id, now)).documents or {}
    policy = (await active_policy(tx, tenant_id)).policy
    known, bands = pairs_of(policy), bands_of(policy, own_bands_in(documents))
    return show_bands({pair: band for pair, band in bands.items() if pair[:2] in known})


async def set_bands(tx: Tx, caller: Caller, body: BandsPut, now: datetime) -> dict[str, Any]:
    """The bands that hold from now on.

    Raises RequestInvalid for one of a rate that no report has, that ends before it begins, or that is given twice.
    """
    policy, seen = (await active_policy(tx, caller.tenant_id)).policy, set[tuple[str, str, str | None]]()
    for index, one in enumerate(body.bands):
        pair = (one.from_, one.to, one.business)
        _check_pair(policy, f"bands.{index}", one)
        if one.low > one.high:
            raise RequestInvalid.of(f"bands.{index}.high", "band_empty", "must not be less than `low`")
        if pair in seen:
            raise RequestInvalid.of(f"bands.{index}", "band_repeated", "this band is given twice")
        seen.add(pair)
    await keep_setting(tx, caller, BANDS, [one.model_dump(by_alias=True) for one in body.bands], now)
    return await read_bands(tx, caller.tenant_id, now)


def _check_pair(policy: Policy, place: str, band: BandIn) -> None:
    """A band may be set ahead of a policy that has the rates which teams agree on (`ALWAYS`)."""
    pairs = list(dict.fromkeys([*pairs_of(policy), *ALWAYS]))
    known = list(dict.fromkeys(name for pair in pairs for name in pair))
    for member, name in (("from", band.from_), ("to", band.to)):
        if name not in known:
            detail = f"no rate is from or to a milestone `{name}`; there are {', '.join(known)}"
            raise RequestInvalid.of(f"{place}.{member}", "milestone_unknown", detail)
    if (band.from_, band.to) not in pairs:
        there = ", ".join(f"{start} to {to}" for start, to in pairs)
        detail = f"no report has a rate from `{band.from_}` to `{band.to}`; there are those from {there}"
        raise RequestInvalid.of(place, "rate_unknown", detail)
