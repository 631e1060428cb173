"""Changes an account, a contact or an opportunity by PATCH: members merge, null clears. Stages are not changed here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app.database.transaction import Record, Tx
from app.errors import Erased, RequestInvalid
from app.events.record import record_events
from app.journeys.refusals import problem
from app.lifecycle.answer import HumanRequired, RoleNotAllowed
from app.pipeline import sql
from app.pipeline.create import amount_columns, check_links, check_phone
from app.pipeline.forms import NAMING, account_columns, contact_columns, nameless, with_derived
from app.pipeline.kinds import ACCOUNT, CONTACT, OPPORTUNITY, Kind, key_taken, missing
from app.pipeline.steps import updated_event
from app.policies.published import published_policy
from app.web import versions
from app.web.auth import Caller

JUDGES: Final = ("manager", "admin")  # beside the owner


async def change_record(
    tx: Tx,
    tenant_id: UUID,
    kind: Kind,
    record_id: UUID,
    changes: Mapping[str, Any],
    expected: frozenset[str] | None,
    now: datetime,
) -> Record:
    """The record after the changes.

    Raises its …NotFound where there is none, Erased where its person was erased, VersionConflict for another version,
    AlreadyExists where another record has one of its keys, RequestInvalid for an account or contact that would keep
    nothing that names it, and the problems of `check_links`.
    """
    row = await sql.record_of(tx, tenant_id, kind, record_id, lock=True)
    if row is None:
        raise missing(kind, record_id)
    if row._mapping.get("erased_at") is not None:
        raise Erased("The person of this record was erased: it stays empty.")
    versions.check(expected, row.version)
    check_phone(changes, None if kind is OPPORTUNITY else row.country)
    await check_links(tx, tenant_id, changes)
    columns = versions.moved(row._mapping, _columns(kind, row, changes, now))
    if not columns:
        return row
    merged = {**row._mapping, **columns}
    if columns.keys() & NAMING.get(kind.name, ()) and (why := nameless(kind.name, merged)) is not None:
        raise RequestInvalid.of(*why)
    try:
        async with tx.savepoint():
            return await sql.update_record(tx, tenant_id, kind, record_id, {**columns, "updated_at": now})
    except IntegrityError:
        holders = await sql.holders(tx, tenant_id, kind, merged, but=record_id)
        raise key_taken(kind, [dict(one._mapping) for one in holders], merged) from None


async def change_opportunity(
    tx: Tx,
    caller: Caller,
    opportunity_id: UUID,
    changes: Mapping[str, Any],
    expected: frozenset[str] | None,
    now: datetime,
) -> Record:
    """The opportunity after the changes; an event tells those that forecasts count.

    Raises as `change_record`, and HumanRequired, RoleNotAllowed or RequestInvalid for the forecast category.
    """
    tenant_id = caller.tenant_id
    before = await sql.record_of(tx, tenant_id, OPPORTUNITY, opportunity_id, lock=True)
    if before is None:
        raise missing(OPPORTUNITY, opportunity_id)
    if "forecast_category" in changes:
        changes = {**changes, "forecast_category": await _category(tx, caller, before, changes["forecast_category"])}
    after = await change_record(tx, tenant_id, OPPORTUNITY, opportunity_id, changes, expected, now)
    event = updated_event(before._mapping, after._mapping, caller, now)
    await record_events(tx, tenant_id, [event] if event else [], now)
    return after


async def _category(tx: Tx, caller: Caller, row: Record, asked: str | None) -> str:
    """The category that is asked for, or that of the stage for null; only the owner and managers choose it."""
    actor = caller.actor
    if actor.kind != "human":
        raise problem(HumanRequired("set the forecast category"))
    if actor.user_id != row.owner_id and actor.role not in JUDGES:
        raise problem(RoleNotAllowed("set the forecast category", actor.role, ("owner", *JUDGES)))
    if row._mapping["class"] in ("won", "lost"):
        detail = "the opportunity is closed, so that its category is that of its stage: reopen it first"
        raise RequestInvalid.of("forecast_category", "opportunity_closed", detail)
    if asked is not None:
        return asked
    policy = await published_policy(tx, caller.tenant_id, row.policy_id)
    return policy.policy.opportunity.stage_of[row.stage].category


def _columns(kind: Kind, row: Record, changes: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    plain = {name: value for name, value in changes.items() if name not in ("amount", "archived", "custom")}
    if kind in (ACCOUNT, CONTACT):
        given = account_columns(plain, row.country) if kind is ACCOUNT else contact_columns(plain, row.country)
        plain = with_derived(kind.name, row._mapping, given)
    if "archived" in changes:
        plain["archived_at"] = (row.archived_at or now) if changes["archived"] else None
    if "custom" in changes:
        custom = {**row.custom, **changes["custom"]}
        plain["custom"] = {name: value for name, value in custom.items() if value is not None}
    return plain | amount_columns(changes)
