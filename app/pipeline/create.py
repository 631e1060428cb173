"""Creates accounts, contacts, and opportunities without a lead. AlreadyExists shows the record with the same key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app import ids
from app.database.transaction import Record, Tx
from app.errors import DatabaseUnavailable, RequestInvalid, TargetUnavailable
from app.events.record import record_events
from app.journeys.owner import named_owner
from app.journeys.refusals import problem
from app.lifecycle.guard import out_of_order
from app.matching.phone import read_phones
from app.pipeline import sql
from app.pipeline.forms import account_columns, contact_columns, with_derived
from app.pipeline.kinds import ACCOUNT, CONTACT, OPPORTUNITY, Kind, key_taken, missing
from app.pipeline.steps import OpportunityStep, stage_columns
from app.policies.published import active_policy
from app.tenants.sql import user
from app.web.auth import Caller

TRIES: Final = 3
NOT_A_PHONE: Final = "this is not a telephone number: write it with its country code, such as +40 21 555 0100"


async def create_account(tx: Tx, tenant_id: UUID, values: Mapping[str, Any], now: datetime) -> Record:
    """A new account.

    Raises AlreadyExists with the account that has its domain or external id, OwnerInvalid for a user who can own none.
    """
    check_phone(values)
    await check_links(tx, tenant_id, values)
    return await _insert(tx, tenant_id, ACCOUNT, with_derived(ACCOUNT.name, {}, account_columns(_present(values))), now)


async def create_contact(tx: Tx, caller: Caller, values: Mapping[str, Any], now: datetime) -> Record:
    """A new contact, found by the user who makes it unless `sourced_by` names another.

    Raises AlreadyExists with the contact that has one of its keys, RequestInvalid for an unknown user, and the problems
    of `check_links`.
    """
    check_phone(values)
    await check_links(tx, caller.tenant_id, values)
    sourced_by = values.get("sourced_by")
    if sourced_by is not None and await user(tx, caller.tenant_id, sourced_by) is None:
        raise RequestInvalid.of("sourced_by", "user_unknown", "no user of this tenant has this id")
    given = contact_columns(_present({**values, "sourced_by": sourced_by or caller.actor.user_id}))
    return await _insert(tx, caller.tenant_id, CONTACT, with_derived(CONTACT.name, {}, given), now)


def check_phone(values: Mapping[str, Any], country: str | None = None, field: str = "phone") -> None:
    """Raises RequestInvalid for a phone that is none; `country` is the default country of national numbers."""
    if values.get("phone") and not read_phones(values["phone"], (values.get("country") or country,)):
        raise RequestInvalid.of(field, "phone_invalid", NOT_A_PHONE)


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


async def create_opportunity(tx: Tx, caller: Caller, values: Mapping[str, Any], now: datetime) -> Record:
    """An opportunity without a lead, at the first stage of the active policy, with first step and event.

    Raises OutOfOrder for a time in the future.
    """
    tenant_id, at = caller.tenant_id, values.get("occurred_at") or now
    if (early := out_of_order(at, None, now)) is not None:
        raise problem(early)
    await check_links(tx, tenant_id, values)
    published = await active_policy(tx, tenant_id)
    stage = published.policy.opportunity.stages[0]
    columns = {name: value for name, value in values.items() if name not in ("amount", "occurred_at")}
    row = await _insert(
        tx,
        tenant_id,
        OPPORTUNITY,
        {**columns, **amount_columns(values), **stage_columns(stage, at), "policy_id": published.id},
        now,
    )
    step = OpportunityStep(
        ids.new_id(),
        row.id,
        None,
        1,
        None,
        stage.name,
        stage.of_class,
        "create",
        caller.actor,
        at,
        now,
        published,
        caller.on_behalf_of,
    )
    await sql.insert_step(tx, tenant_id, step.row())
    await record_events(tx, tenant_id, [step.event(row._mapping)], now)
    return row


def amount_columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """`amount` as its two columns; none where it is absent."""
    if "amount" not in values:
        return {}
    amount = values["amount"]
    return {"amount": amount.amount if amount else None, "currency": amount.currency if amount else None}


async def check_links(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> None:
    """Checks that owner, account and contact exist and are not archived.

    Raises OwnerInvalid for a user who can own none, …NotFound for a record that does not exist, TargetUnavailable for
    an archived one.
    """
    await named_owner(tx, tenant_id, values.get("owner_id"))
    for kind, record_id in ((ACCOUNT, values.get("account_id")), (CONTACT, values.get("contact_id"))):
        if record_id is None:
            continue
        row = await sql.linkable_record(tx, tenant_id, kind, record_id)
        if row is None:
            raise missing(kind, record_id, f"{kind.name}_id")
        if row.archived_at is not None:
            raise unavailable(kind, record_id, f"{kind.name}_id")


def unavailable(kind: Kind, record_id: UUID, field: str | None = None) -> TargetUnavailable:
    """The problem for an archived record, which was named in this field, or in the path."""
    detail = f"The {kind.name} is archived: use another one, or restore it with `archived` false."
    members = {"type": kind.name, "id": ids.show(kind.name, record_id)}
    return TargetUnavailable.in_field(field, detail, **members) if field else TargetUnavailable(detail, **members)


async def _insert(tx: Tx, tenant_id: UUID, kind: Kind, columns: Mapping[str, Any], now: datetime) -> Record:
    """Inserts, or raises AlreadyExists with the holders of the key; tried again where those are gone when read."""
    row_values = {**columns, "id": ids.new_id(), "created_at": now, "updated_at": now}
    for _ in range(TRIES):
        row = await sql.insert_record(tx, tenant_id, kind, row_values)
        if row is not None:
            return row
        holders = await sql.holders(tx, tenant_id, kind, row_values)
        if holders:
            raise key_taken(kind, [dict(one._mapping) for one in holders], row_values)
    raise DatabaseUnavailable("Concurrent requests changed a record with the same key; nothing was created. Try again.")
