"""Which personas of a policy a lead matched as of an instant, by its row and the changes since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from app.database.transaction import Record
from app.journeys.state import attributes, exception_of
from app.leads.past import merged_before, restored
from app.policy.document import Policy
from app.policy.facts import Facts
from app.scoring.personas import persona_matches

KEPT: Final = "personas"  # in the flags of an erased lead and in what its changes replaced: the names, by policy
READ: Final = frozenset(("fields", "flags", "custom", "channel", "attribution", "consents"))  # what personas are about


def personas_then(policy: Policy, row: Record, undone: Sequence[Mapping[str, Any]], at: datetime) -> list[str]:
    """The names of the personas that a lead matched.

    `row`: fields, flags, custom, kind, channel, first_touch and consents of the lead, and `business` of its journey;
    `undone`: what later changes replaced, latest first.
    """
    return [match.name for match in persona_matches(policy, _facts(row, undone), at) if match.matches]


def kept_personas(row: Record, undone: Sequence[Mapping[str, Any]], policy_id: str) -> list[str] | None:
    """Those that an erasure has kept of the lead under this policy; None where it has kept nothing."""
    for before in reversed(undone):
        if KEPT in before:
            return list(before[KEPT].get(policy_id, ()))
    return list(row.flags[KEPT].get(policy_id, ())) if KEPT in row.flags else None


def _facts(row: Record, undone: Sequence[Mapping[str, Any]]) -> Facts:
    """What was known of the lead itself at the instant: the present values, with those of later changes put back."""
    before = merged_before(undone)
    fields, flags = restored(row.fields, before["fields"]), restored(row.flags, before["flags"])
    custom = before.get("custom", row.custom)
    channel = before.get("channel", row.channel)
    touches = before.get("attribution")
    return Facts(
        fields=attributes(fields, flags, custom, row.kind, channel, row.business),
        custom=custom,
        first_touch=touches["first"] if touches else row.first_touch,
        consents=before.get("consents", row.consents),
        exception=exception_of(flags),
    )
