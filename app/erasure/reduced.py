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
BEFORE: Final = ("rules", "owner_id", "team")
# Members of events that may name somebody, and what stands in their place; all others are ids, codes and instants.
IN_EVENTS: Final[Document] = {
    "changed": [],
    "consents": {},
    "confirm_url": "",
    "purposes": [],
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


def event(data: Document) -> dict[str, Any]:
    """The tombstone of an event: `erased`, and its ids, codes and instants."""
    told = {name: IN_EVENTS.get(name, value) for name, value in data.items()}
    if "evidence" in told:
        told["evidence"] = evidence(told["evidence"]) | _only(told["evidence"], ("business", "amount"))
    return {**told, "erased": True}


def _only(value: Document, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value[name] for name in names if name in value}
