"""The result of mapping: one item of a submission."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from app.matching.channel import Channel
from app.matching.consent import ConsentState
from app.matching.person import Person
from app.sources.document import Verdict

Reason = Literal[
    "parse_failed",
    "mapping_failed",
    "mapping_too_costly",
    "identity_required",
    "too_many_items",
    "fetch_failed",
    "row_malformed",
]

# Between the sender's key and what tells apart submissions to which the sender gave the same (submissions/repeats.py).
KEY_SEPARATOR: Final = "\x1f"


@dataclass(frozen=True, slots=True)
class Consent:
    """The answer to one consent question, with the text that the person saw."""

    purpose: str
    state: ConsentState
    text: str | None = None
    occurred_at: datetime | None = None  # None: that of the item
    text_version: str | None = None
    client_address: str | None = None  # None: that of the submission


@dataclass(frozen=True, slots=True)
class Item:
    """One mapped item. A quarantined one has a `reason`, what was missing in `unmet`, and the values that were mapped.
    `attribution` is what the item says, `channel` that or the default of source and preset.
    `entry` names the policy's entry for the lead (`suspect` for a purchased list), None: the default.
    `fetch_url`: where the record of a notification is (verdict fetch).
    `repeat_keys`: of an item without a key of its sender, those of the same content ten minutes before and after."""

    index: int
    verdict: Verdict | Literal["quarantined"]
    submission_key: str
    occurred_at: datetime
    person: Person | None = None
    attribution: Mapping[str, str] = field(default_factory=dict)
    channel: Channel | None = None
    consents: tuple[Consent, ...] = ()
    activity_type: str = "form_fill"
    activity_kind: Literal["interest", "contact_attempt"] = "interest"
    activity_properties: Mapping[str, Any] = field(default_factory=dict)
    entry: str | None = None
    custom: Mapping[str, Any] = field(default_factory=dict)
    reason: Reason | None = None
    unmet: tuple[Mapping[str, Any], ...] = ()
    content_sha256: str = ""
    repeat_keys: tuple[str, ...] = ()
    fetch_url: str | None = None

    @property
    def acts(self) -> bool:
        """Whether an activity is recorded. With `entry` (a purchased list) the person showed no interest, and the lead
        stays in that stage."""
        return self.verdict in ("lead", "activity") and self.entry is None


def dry_run_to_json(item: Item) -> dict[str, Any]:
    """An item as a dry run returns it: `activity` is null where none would be recorded."""
    shown = item_to_json(item)
    return shown if item.acts else {**shown, "activity": None}


def item_to_json(item: Item) -> dict[str, Any]:
    """An item as `submission_items.mapped` stores it: JSON values only."""
    person = item.person or Person()
    externals = {one.namespace: one.value for one in person.identities if one.kind == "external"}
    return {
        "index": item.index,
        "verdict": item.verdict,
        "reason": item.reason,
        "submission_key": item.submission_key,
        "fields": dict(person.fields),
        "raw": dict(person.raw),
        "kind": person.kind,
        "email_status": person.email_status,
        "phone_status": person.phone_status,
        "secondary_emails": list(person.secondary_emails),
        "flags": list(person.flags),
        "external_ids": externals,
        "attribution": dict(item.attribution),
        "channel": item.channel,
        "consent": [_consent_to_json(one) for one in item.consents],
        "activity": {
            "type": item.activity_type,
            "kind": item.activity_kind,
            "properties": dict(item.activity_properties),
        },
        "entry": item.entry,
        "occurred_at": item.occurred_at.isoformat().replace("+00:00", "Z"),
        "custom": dict(item.custom),
        "unmet": [dict(one) for one in item.unmet],
        **({"fetch_url": item.fetch_url} if item.fetch_url else {}),
    }


def _consent_to_json(one: Consent) -> dict[str, Any]:
    version = {"text_version": one.text_version} if one.text_version else {}
    return {"purpose": one.purpose, "state": one.state, "text": one.text, **version}
