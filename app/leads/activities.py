"""Record activities of existing leads: one of each named lead, or in bulk with each lead named by an identity or id."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.journeys.evaluate import evaluate
from app.journeys.load import OfLead, begin_changes, begin_each
from app.journeys.record import actor_document, prepare, record
from app.journeys.state import Change
from app.journeys.write import Recording
from app.leads import sql
from app.leads.absorb import ArrivalActivity, add_activity, apply_reinquiry, remove_last_activity
from app.leads.future import check_not_future
from app.leads.merged import Before, Came, keep_apart
from app.leads.schemas import ActivityIn, ActivityOfPerson, show_activity, show_new_activity
from app.lifecycle.guard import MAX_AHEAD
from app.matching.external_id import readings
from app.matching.normalize import normalize
from app.matching.person import Identity
from app.problem import Problem
from app.web.auth import Caller
from app.web.gather import Member
from app.web.items import Malformed, well_formed

API = "api"


Key = tuple[str, str, str]
Named = tuple[UUID, str]  # a lead and the key of an activity


async def record_activities(
    tx: Tx, caller: Caller, items: Sequence[ActivityOfPerson | Malformed], now: datetime
) -> list[dict[str, Any]]:
    """Records all activities in one transaction; the answers are in the order of the request. One that is refused, or
    has a wrong form, costs only itself. Raises RequestInvalid where none has the right form."""
    wanted = well_formed(items, "activities")
    answers = dict(zip(wanted, await _record_all(tx, caller, list(wanted.values()), now), strict=True))
    for index, item in enumerate(items):
        if isinstance(item, Malformed):
            problem = item.problem(f"activities.{index}")
            answers[index] = {**_answer(None, reason=problem.code), "errors": problem.members["errors"]}
    return [{"index": index, **answers[index]} for index in range(len(items))]


async def _record_all(
    tx: Tx, caller: Caller, wanted: Sequence[ActivityOfPerson], now: datetime
) -> list[dict[str, Any]]:
    """The identities are locked first, so that no lead that they name is merged before it is locked."""
    named = [_who(one) for one in wanted]
    await sql.lock_identities(tx, caller.tenant_id, [identity.key for each in named for identity in each])
    found = await sql.candidates(tx, caller.tenant_id, [identity for each in named for identity in each])
    holders: dict[Key, set[UUID]] = {}
    for row in found:
        holders.setdefault((row.kind, row.namespace, row.value), set()).add(row.lead_id)
    who = [_leads_of(one, each, holders) for one, each in zip(wanted, named, strict=True)]
    known_leads = sorted({lead_id for leads in who if len(leads) == 1 for lead_id in leads})
    changes = await begin_changes(tx, caller.tenant_id, known_leads, now, caller.actor)
    keys = [
        (lead_id, key) for one, leads in zip(wanted, who, strict=True) for lead_id in leads if (key := one.activity_key)
    ]
    gone = set(known_leads) - changes.keys()
    merged = await sql.merged_leads(tx, caller.tenant_id, gone) if gone else set()
    stored = await sql.known_activities(tx, caller.tenant_id, keys)
    known: dict[Named, UUID] = {key: row.id for key, row in stored.items()}
    answers: list[dict[str, Any]] = []
    came: list[Came] = []
    for one, identities, leads in zip(wanted, named, who, strict=True):
        change = next((changes[lead_id] for lead_id in leads if lead_id in changes and len(leads) == 1), None)
        before = Before(change, identities) if change and identities else None
        answers.append(_record(changes, leads, one, known, caller, now, merged))
        came += before.came() if before else ()
    acted = [change for change in changes.values() if change.new_activities]
    for change in acted:
        change.on_behalf_of = caller.on_behalf_of
        evaluate(change)
    await record(tx, caller.tenant_id, acted)
    await keep_apart(tx, caller.tenant_id, came)
    return answers


Recorded = tuple[dict[str, Any], bool]


async def record_one_each(
    tx: Tx, tenant_id: UUID, members: Sequence[Member[OfLead[ActivityIn], Recorded]], now: datetime
) -> Recording | None:
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
    return await prepare(tx, tenant_id, acted)


def _record_new(change: Change, body: ActivityIn, caller: Caller, now: datetime) -> dict[str, Any]:
    when = body.occurred_at or now
    wanted = ArrivalActivity(body.activity_key or str(ids.new_id()), body.type, body.kind, body.properties)
    add_activity(change, wanted, when, None, actor_document(caller.actor))
    if wanted.kind == "interest":
        apply_reinquiry(change, API, when, caller.actor)
    return show_new_activity(change.new_activities[-1], change.lead.id)


def _who(one: ActivityOfPerson) -> tuple[Identity, ...]:
    """The identities that may name the person; none if the lead is given by id, or what is given cannot be read."""
    for kind in ("email", "phone"):
        typed = getattr(one, kind)
        if typed is not None:
            found = normalize({kind: typed}, {}, None).identities
            return tuple(identity for identity in found if identity.kind == kind)[:1]
    return readings(one.external_id) if one.external_id is not None else ()


def _leads_of(
    one: ActivityOfPerson, identities: Sequence[Identity], holders: Mapping[Key, set[UUID]]
) -> AbstractSet[UUID]:
    """The leads that an activity may be of: none, one, or several that share a number or mailbox."""
    if one.lead_id is not None:
        return {one.lead_id}
    return next((holders[identity.key] for identity in identities if identity.key in holders), set())


def _record(
    changes: Mapping[UUID, Change],
    leads: AbstractSet[UUID],
    one: ActivityOfPerson,
    known: dict[Named, UUID],
    caller: Caller,
    now: datetime,
    merged: Collection[UUID],
) -> dict[str, Any]:
    """Adds one activity to the change of its lead, unless its key is known; the answer to it."""
    if len(leads) > 1:
        return _answer(None, reason="person_ambiguous")
    change = next((changes[lead_id] for lead_id in leads if lead_id in changes), None)
    if change is None:
        return _answer(None, reason="person_unknown" if leads.isdisjoint(merged) else "lead_merged")
    when, key = one.occurred_at or now, (change.lead.id, one.activity_key or str(ids.new_id()))
    if when > now + MAX_AHEAD:
        return _answer(change, reason="out_of_order")
    if key in known:
        return _answer(change, known[key])
    wanted = ArrivalActivity(key[1], one.type, one.kind, one.properties)
    add_activity(change, wanted, when, None, actor_document(caller.actor))
    try:
        if one.kind == "interest":
            apply_reinquiry(change, API, when, caller.actor)
    except Problem as problem:  # the policy opens no journey for it
        remove_last_activity(change)
        return _answer(change, reason=problem.code)
    known[key] = change.new_activities[-1].activity.id
    return _answer(change, known[key], recorded=True)


def _answer(
    change: Change | None, activity_id: UUID | None = None, *, recorded: bool = False, reason: str | None = None
) -> dict[str, Any]:
    return {
        "lead_id": ids.shown("lead", change.lead.id if change else None),
        "activity_id": ids.shown("activity", activity_id),
        "recorded": recorded,
        "reason": reason,
        "errors": [],
    }
