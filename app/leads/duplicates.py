"""Leads that may be one person are never merged: they are flagged, with an event; a phone of several is `shared`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from app import ids
from app.events.record import NewEvent
from app.journeys.state import Change
from app.leads.absorb import add_updated_event, mark_changed, set_flag
from app.matching.identity import Conflict


def flag_duplicates(change: Change, conflicts: Sequence[Conflict], locked: Mapping[UUID, Change]) -> list[Change]:
    """Flags the lead as a possible duplicate of others, with the reason of each, and those of them that are not yet.

    The latter are returned. They have to be among `locked`: all whose `Candidate` is not `suspected`.
    """
    _flag(change, conflicts)
    flagged: list[Change] = []
    for conflict in conflicts:
        other = locked.get(conflict.lead_id)
        if other is not None and not other.lead.flags.get("duplicate_suspected"):
            _flag(other, [Conflict(change.lead.id, conflict.reason)])
            flagged.append(other)
    return flagged


def _flag(change: Change, conflicts: Sequence[Conflict]) -> None:
    if not conflicts:
        return
    others = [{"lead_id": ids.show("lead", conflict.lead_id), "reason": conflict.reason} for conflict in conflicts]
    set_flag(change, "duplicate_suspected", True)
    data = {"lead_id": ids.show("lead", change.lead.id), "candidates": others}
    change.early_events.append(NewEvent("lead.duplicate_suspected", data, change.now))


def mark_shared_phone(change: Change, numbers: Collection[str]) -> bool:
    """Sets the phone status of a lead if its number is one that another lead has got as well; whether it is new."""
    lead = change.lead
    if lead.fields.get("phone") not in numbers or lead.flags.get("phone_status") == "shared":
        return False
    set_flag(change, "phone_status", "shared")
    if not lead.new:
        mark_changed(change, "phone_status")
        add_updated_event(change)
    return True
