"""What stays of a JSON value of a person after an erasure: what reports count, and nothing that names somebody.

Each function takes a stored value and returns what stands in its place. Members that are not named here are removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Document = Mapping[str, Any]

FIRMOGRAPHICS: Final = ("country", "industry")
ATTRIBUTION: Final = ("source", "medium", "campaign", "channel")
EVIDENCE: Final = (
    *("fit", "engagement", "level", "entries", "profile"),
    *("conversion_id", "opportunity_class", "goes_on", "policy_version_before", "mapping"),
)
BEFORE: Final = ("rules", "owner_id", "team", "links")
# Members of the events of a lead that stay, by type: ids, codes, numbers and instants. `a.b` is a member of `a`.
STEP: Final = (
    "transition_id seq from to action reason_code actor.id actor.kind actor.role occurred_at recorded_at policy_version"
    " evidence"
)
REACHED: Final = "journey_id business reached.name reached.reached_at reached.skipped voided"
SOURCE: Final = "source.id source.name"
DEAL: Final = (
    "version amount.value amount.currency close_date owner_id forecast_category probability business archived_at"
)
CONVERSION: Final = " ".join(
    f"conversion.{name}"
    for name in (
        *("id", "lead_id", "journey_no", "converted_at", "policy_version", "verified_by", "account.id"),
        *("account.outcome", "contact.id", "contact.outcome", "opportunity.id", "opportunity.outcome"),
        *("opportunity.class", "opportunity.owner_id", "opportunity.owner_reason", "field_outcomes.field"),
        *("field_outcomes.target", "field_outcomes.outcome", "transition_id", "carry_activities", "reverted_at"),
    )
)
MERGED: Final = "merged_id survivor_id closed_journey_id"
IN_EVENTS: Final[Mapping[str, str]] = {
    "lead.captured": f"journey_no stage {SOURCE}",
    "lead.updated": "",
    "lead.activity": "activity.id activity.type activity.kind activity.occurred_at",
    "lead.stage_changed": f"journey_no {STEP} score.fit score.engagement ends {REACHED}",
    "lead.assigned": "owner_id previous_owner_id pool team rule reason not_accepted_in_time accept_by",
    "lead.consent_changed": "",
    "lead.consent_requested": f"expires_at {SOURCE}",
    "lead.below_threshold": "fit engagement since",
    "lead.sla_breached": "journey_no stage occurred_at clock started_at due_at owner_id",
    "lead.stalled": "journey_no stage stage_entered_at stalled_since",
    "lead.recycle_due": "journey_no stage occurred_at",
    "lead.reinquired": "journey_no opportunity_id previous_outcome",
    "lead.reinquiry_blocked": "closing_reason",
    "lead.duplicate_suspected": "candidates.lead_id candidates.reason",
    "lead.merged": MERGED,
    "lead.unmerged": MERGED,
    "lead.converted": f"journey_no {CONVERSION}",
    "lead.conversion_reverted": (
        f"journey_no {CONVERSION} transition_id reason_code archived.type archived.id emptied.type emptied.id"
        " emptied.fields left_in_place.type left_in_place.id left_in_place.why left_in_place.fields"
    ),
    "lead.erased": "",
    "lead.suppressed": f"{SOURCE} submission_id",
    "opportunity.stage_changed": f"opportunity_id class {STEP} {DEAL} {REACHED}",
}
# Members that the schema of the event demands, and that may name somebody: they stand empty.
EMPTY: Final[Mapping[str, Document]] = {
    "lead.updated": {"changed": []},
    "lead.consent_changed": {"consents": {}},
    "lead.consent_requested": {"purposes": [], "confirm_url": ""},
}


def fields(value: Document) -> dict[str, Any]:
    """Of the fields of a lead, or of those that a change replaced: the country and the industry."""
    return _only(value, FIRMOGRAPHICS)


def touch(value: Document | None) -> dict[str, Any] | None:
    """Of an attribution: source, medium, campaign and channel."""
    return None if value is None else _only(value, ATTRIBUTION)


def touches(value: Document) -> dict[str, Any]:
    """Of the attribution of a lead, `first` and `last`."""
    return {name: touch(value[name]) for name in ("first", "last") if name in value}


def before(value: Document) -> dict[str, Any]:
    """Of what a version replaced: what reports of the past read of it."""
    kept = _only(value, BEFORE)
    if "attribution" in value:
        kept["attribution"] = touches(value["attribution"])
    if "fields" in value:
        kept["fields"] = fields(value["fields"])
    return kept


def evidence(value: Document) -> dict[str, Any]:
    """Of the evidence of a transition: the score with its entries, ids, and the attribution of that moment."""
    kept = _only(value, EVIDENCE)
    return kept | {"attribution": touches(value["attribution"])} if "attribution" in value else kept


def event(type_: str, data: Document) -> dict[str, Any]:
    """The tombstone of an event of this type: its lead, `erased`, and the members that stay."""
    kept = _named(data, frozenset(("lead_id", *IN_EVENTS.get(type_, "").split())))
    if "evidence" in kept:
        told = kept["evidence"] or {}
        kept["evidence"] = evidence(told) | _only(told, ("business", "amount"))
    return {**kept, **EMPTY.get(type_, {}), "erased": True}


def _named(value: Any, paths: frozenset[str], before: str = "") -> Any:
    """A JSON value with the members at these paths; a list keeps its items, and loses those that are no objects."""
    if isinstance(value, list):
        return [_named(item, paths, before) for item in value if isinstance(item, Mapping)]
    if not isinstance(value, Mapping):
        return None
    kept = {}
    for name, member in value.items():
        path = before + name
        if path in paths:
            kept[name] = member
        elif any(one.startswith(f"{path}.") for one in paths):
            kept[name] = _named(member, paths, f"{path}.")
    return kept


def _only(value: Document, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value[name] for name in names if name in value}
