"""Record activities of existing leads: one of each named lead, or in bulk with each lead named by an identity or id."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.journeys.evaluate import evaluate
from app.journeys.load import OfLead, begin_changes, begin_each
from app.journeys.record import actor_document, record
from app.journeys.state import Change
from app.leads import sql
from app.leads.absorb import ArrivalActivity, add_activity, apply_reinquiry
from app.leads.future import check_not_future
from app.leads.older import load_older_keys
from app.leads.schemas import ActivityIn, ActivityOfPerson, show_activity, show_new_activity
from app.lifecycle.guard import MAX_AHEAD
from app.matching.external_id import readings
from app.matching.normalize import normalize
from app.matching.person import Identity
from app.web.auth import Caller
from app.web.gather import Member

API = "api"


async def record_activities(
    tx: Tx, caller: Caller, wanted: Sequence[ActivityOfPerson], now: datetime
) -> list[dict[str, Any]]:
    """Records all activities in one transaction; the answers are in the order of the request.

    The identities are locked first, so that no lead that they name is merged before it is locked.
    """
    named = [identities_of(one) for one in wanted]
    await sql.lock_identities(tx, caller.tenant_id, [identity.key for each in named for identity in each])
    found = await sql.candidates(tx, caller.tenant_id, [identity for each in named for identity in each])
    holders = {(one.kind, one.namespace, one.value): one.lead_id for one in found}
    lead_ids = [
        one.lead_id or next((holders[identity.key] for identity in each if identity.key in holders), None)
        for one, each in zip(wanted, named, strict=True)
    ]
    known = sorted({lead_id for lead_id in lead_ids if lead_id is not None})
    changes = await begin_changes(tx, caller.tenant_id, known, now, caller.actor)
    gone = set(known) - changes.keys()
    merged = await sql.merged_leads(tx, caller.tenant_id, gone) if gone else set()
    named_keys = zip(lead_ids, (one.activity_key for one in wanted), strict=True)
    await load_older_keys(tx, caller.tenant_id, changes, named_keys)
    answers = [
        _record(changes, lead_id, one, index, caller, now, merged)
        for index, (one, lead_id) in enumerate(zip(wanted, lead_ids, strict=True))
    ]
    acted = [change for change in changes.values() if change.new_activities]
    for change in acted:
        change.on_behalf_of = caller.on_behalf_of
        evaluate(change)
    await record(tx, caller.tenant_id, acted)
    return answers


Recorded = tuple[dict[str, Any], bool]


async def record_one_each(
    tx: Tx, tenant_id: UUID, members: Sequence[Member[OfLead[ActivityIn], Recorded]], now: datetime
) -> None:
    """Records one activity for each request unless its key exists: the stored activity, and whether it is new.

    Problems of a request: those of a change of its lead, and OutOfOrder.
    """
    for one in members:
        with one.attempt():
            check_not_future({"occurred_at": one.wanted.body.occurred_at}, now)
    begun = await begin_each(tx, tenant_id, [one for one in members if one.going], now)
    keys = [(one.wanted.lead_id, key) for one, _ in begun if (key := one.wanted.body.activity_key)]
    known = await sql.known_activities(tx, tenant_id, keys)
    acted: list[Change] = []
    for one, change in begun:
        body, lead_id = one.wanted.body, one.wanted.lead_id
        stored = known.get((lead_id, body.activity_key or ""))
        if stored is not None:
            one.result = show_activity(stored, lead_id), False
            continue
        with one.attempt():
            one.result = _record_new(change, body, one.caller, now), True
            acted.append(change)
    for change in acted:
        evaluate(change)
    await record(tx, tenant_id, acted)


def _record_new(change: Change, body: ActivityIn, caller: Caller, now: datetime) -> dict[str, Any]:
    when = body.occurred_at or now
    wanted = ArrivalActivity(body.activity_key or str(ids.new_id()), body.type, body.kind, body.properties)
    add_activity(change, wanted, when, None, actor_document(caller.actor))
    if wanted.kind == "interest":
        apply_reinquiry(change, API, when, caller.actor)
    return show_new_activity(change.new_activities[-1], change.lead.id)


def identities_of(one: ActivityOfPerson) -> tuple[Identity, ...]:
    """The identities that may name the person; none if the lead is given by id or the address is invalid."""
    if one.email is not None:
        return normalize({"email": one.email}, {}, None).identities[:1]
    return readings(one.external_id) if one.external_id is not None else ()


def _record(
    changes: dict[UUID, Change],
    lead_id: UUID | None,
    one: ActivityOfPerson,
    index: int,
    caller: Caller,
    now: datetime,
    merged: Collection[UUID],
) -> dict[str, Any]:
    when = one.occurred_at or now
    change = changes.get(lead_id) if lead_id is not None else None
    answer = {"index": index, "lead_id": ids.shown("lead", change.lead.id if change else None)}
    if change is None:
        return {**answer, "recorded": False, "reason": "lead_merged" if lead_id in merged else "person_unknown"}
    if when > now + MAX_AHEAD:
        return {**answer, "recorded": False, "reason": "out_of_order"}
    wanted = ArrivalActivity(one.activity_key or str(ids.new_id()), one.type, one.kind, one.properties)
    new = add_activity(change, wanted, when, None, actor_document(caller.actor))
    if new and one.kind == "interest":
        apply_reinquiry(change, API, when, caller.actor)
    return {**answer, "recorded": new, "reason": None}
