"""Two locked leads that are merged or unmerged: what follows from the rows that each of them has now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from app import ids
from app.database.transaction import ChangedMeanwhile, Tx
from app.errors import Erased, LeadNotFound
from app.events.record import NewEvent
from app.journeys.load import begin_two
from app.journeys.state import Change
from app.leads import duplicates_sql, past_sql
from app.leads import sql as leads_sql
from app.leads.absorb import mark_changed, set_flag
from app.leads.counting_consents import PENDING, is_bare_claim
from app.lifecycle.merging import Standing
from app.merging import sql
from app.web.auth import Caller

TRIES: Final = 10
EVER: Final = datetime(9999, 1, 1, tzinfo=UTC)


async def wait_for_turn(tx: Tx, caller: Caller) -> None:
    """Lets the merges of a tenant go one after another: each moves the identities that the next has to lock."""
    await leads_sql.lock_identities(tx, caller.tenant_id, [("merge", "", "")])


async def lock_pair(
    tx: Tx, caller: Caller, lead_ids: tuple[UUID, UUID], now: datetime, field: str | None = None
) -> tuple[Change, Change]:
    """Locks the identities of both leads, then the leads (promises.md, section 2).

    Where a lead got an identity before it was locked, all are let go and locked again, with that one. `field`: the
    member of the body that names the second lead. Raises LeadNotFound for an unknown lead, Erased if the first was
    erased, and ChangedMeanwhile after several tries.
    """
    for _ in range(TRIES):
        with suppress(ChangedMeanwhile):
            async with tx.savepoint():
                return await _lock_known(tx, caller, lead_ids, now, field)
    raise ChangedMeanwhile("the leads got identities faster than these could be locked")


async def _lock_known(
    tx: Tx, caller: Caller, lead_ids: tuple[UUID, UUID], now: datetime, field: str | None
) -> tuple[Change, Change]:
    keys = await sql.identity_keys(tx, caller.tenant_id, lead_ids)
    await leads_sql.lock_identities(tx, caller.tenant_id, sorted(keys))
    found: list[Change] = []
    for change, lead_id in zip(await begin_two(tx, caller.tenant_id, lead_ids, now, caller), lead_ids, strict=True):
        if change is None and field is not None and lead_id == lead_ids[1]:
            raise LeadNotFound.of(field, f"there is no lead {ids.show('lead', lead_id)}")
        if change is None:
            raise LeadNotFound(f"There is no lead {ids.show('lead', lead_id)}.")
        found.append(change)
    if found[0].lead.erased_at is not None:
        raise Erased()
    if any(identity.key not in keys for change in found for identity in change.lead.identities):
        raise ChangedMeanwhile("a lead got another identity before it was locked")
    return found[0], found[1]


def standing(change: Change) -> Standing:
    """How far the lead is, as the rules of merging see it."""
    lead, journey = change.lead, change.lead.journey
    stage, closed_at = (journey.stage, journey.closed_at) if journey else (None, None)
    return Standing(change.published.policy, stage, lead.held_stage, closed_at, lead.created_at)


def numbered(journeys: Sequence[Mapping[str, Any]], lead_id: UUID) -> list[dict[str, Any]]:
    """The journeys as those of one lead, numbered by their start."""
    in_order = sorted(journeys, key=lambda one: (one["opened_at"], one["id"]))
    return [{"id": one["id"], "lead_id": lead_id, "number": n} for n, one in enumerate(in_order, 1)]


def undecided(change: Change) -> set[str]:
    """The purposes of which the person was asked and has not decided."""
    return {name for name, state in change.lead.consents.items() if state == "unknown"}


async def refresh_consents(tx: Tx, tenant_id: UUID, change: Change, asked: Collection[str]) -> None:
    """Sets the state of each purpose to what the consent log of the lead says now; that of those `asked` is unknown
    where it says nothing."""
    lead = change.lead
    rows = await leads_sql.latest_consents(tx, tenant_id, [lead.id])
    states = dict.fromkeys(sorted(asked), "unknown") | {row.purpose: row.state for row in rows}
    after = {name: states.get(name, "unknown") for name in sorted(lead.consents.keys() | states.keys())}
    changed = {name: state for name, state in after.items() if lead.consents.get(name, "unknown") != state}
    lead.consents = states
    decided = [row for row in rows if row.state != PENDING and not is_bare_claim(row)]
    set_flag(change, "consented_at", {row.purpose: row.occurred_at.isoformat() for row in decided} or None)
    claimed = sorted(row.purpose for row in rows if row.bought and row.state == "given")
    if claimed or "consents_claimed" in lead.flags:
        set_flag(change, "consents_claimed", claimed)
    if changed:
        data = {"lead_id": ids.show("lead", lead.id), "consents": changed}
        change.early_events.append(NewEvent("lead.consent_changed", data, change.now))


async def refresh_touches(tx: Tx, tenant_id: UUID, change: Change) -> None:
    """Sets the first and the last touch to those of the touches that the lead has now."""
    touched = await past_sql.past(tx, tenant_id, change.lead.id, EVER)
    if touched.first_touch is not None:
        change.lead.first_touch, change.lead.last_touch = touched.first_touch, touched.last_touch


async def refresh_shared_phone(
    tx: Tx, tenant_id: UUID, change: Change, *, without: UUID | None = None, besides: UUID | None = None
) -> None:
    """Sets whether another lead has the phone of the lead as well: not `without`, but `besides`, although merged."""
    phone = change.lead.fields.get("phone")
    if phone is None or change.lead.flags.get("phone_status") not in ("valid", "shared"):
        return
    own = [change.lead.id, *([without] if without else [])]
    status = "shared" if await sql.has_other_phone_holder(tx, tenant_id, phone, own, besides) else "valid"
    if change.lead.flags.get("phone_status") != status:
        set_flag(change, "phone_status", status)
        mark_changed(change, "phone_status")


async def refresh_suspected(tx: Tx, tenant_id: UUID, change: Change, without: UUID) -> None:
    """Sets whether the lead may be the same person as another one than `without`."""
    is_suspected = await duplicates_sql.is_suspected(tx, tenant_id, change.lead.id, [without])
    if bool(change.lead.flags.get("duplicate_suspected")) != is_suspected:
        set_flag(change, "duplicate_suspected", is_suspected)
        mark_changed(change, "duplicate_suspected")


def merge_event(
    type_: str, change: Change, merged_id: UUID, survivor_id: UUID, closed_journey_id: UUID | None
) -> NewEvent:
    """`lead.merged` or `lead.unmerged`, told of one of the two leads."""
    named = {"lead_id": change.lead.id, "merged_id": merged_id, "survivor_id": survivor_id}
    data = {name: ids.show("lead", one) for name, one in named.items()}
    return NewEvent(type_, {**data, "closed_journey_id": ids.shown("journey", closed_journey_id)}, change.now)
