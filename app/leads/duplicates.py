"""Leads that may be one person are never merged: they are flagged, with an event; a phone of several is `shared`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from app import ids
from app.events.record import NewEvent
from app.journeys.state import Change
from app.leads.absorb import add_updated_event, mark_changed, set_flag
from app.matching.identity import Conflict


def flag_duplicates(change: Change, conflicts: Sequence[Conflict]) -> None:
    """Flags the lead as a possible duplicate of others, with the reason of each."""
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
