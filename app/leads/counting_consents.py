"""Which consent of a lead counts for each purpose, of all entries of its log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from app import ids
from app.events.record import NewEvent
from app.journeys.state import Change, NewConsent

REFUSALS: Final = ("refused", "withdrawn")
PENDING: Final = "pending"  # given by a form, and not yet confirmed by the person
NEVER: Final = datetime.min.replace(tzinfo=UTC)


def apply_consents(change: Change, consents: Sequence[NewConsent]) -> None:
    """Applies each consent that counts for its purpose.

    What the person said counts before what a list claims, then the latest by `occurred_at`, then a refusal. A claim
    without evidence counts after everything else, and so confirms nothing that is pending. `consented_at` has the times
    of those that count before `pending`. consent_sql.py has the same order; that for contacts is in
    matching/person_consents.py.
    """
    flags = change.lead.flags
    latest: dict[str, str] = dict(flags.get("consented_at") or {})
    claimed: set[str] = set(flags.get("consents_claimed") or ())
    changed: dict[str, str] = {}
    for consent in consents:
        purpose, is_claim = consent.purpose, consent.bought and consent.state == "given"
        known = change.lead.consents.get(purpose)
        is_bare = is_bare_claim(consent)
        rank = not is_claim, NEVER if is_bare else consent.occurred_at, consent.state in REFUSALS
        if rank < _rank(known, latest.get(purpose), purpose in claimed) or (is_bare and known == PENDING):
            continue
        claimed = claimed | {purpose} if is_claim else claimed - {purpose}
        if not is_bare:
            latest[purpose] = consent.occurred_at.isoformat()
        if known != consent.state:
            change.lead.consents[purpose] = changed[purpose] = consent.state
    if latest:
        flags["consented_at"] = latest
    if claimed or "consents_claimed" in flags:
        flags["consents_claimed"] = sorted(claimed)
    if changed:
        data = {"lead_id": ids.show("lead", change.lead.id), "consents": changed}
        change.early_events.append(NewEvent("lead.consent_changed", data, change.now))


class Logged(Protocol):
    """An entry of a consent log."""

    @property
    def state(self) -> str: ...
    @property
    def bought(self) -> bool: ...
    @property
    def text(self) -> str | None: ...


def is_bare_claim(entry: Logged) -> bool:
    """Whether a list claims a consent without a text that tells how it was given."""
    return entry.bought and entry.state == "given" and not entry.text


def _rank(state: str | None, at: str | None, is_claim: bool) -> tuple[bool, datetime, bool]:
    """The rank of a known consent; of one without a time only a refusal has one."""
    if at is None:
        return state in REFUSALS, NEVER, state in REFUSALS
    return not is_claim, datetime.fromisoformat(at), state in REFUSALS
