"""Double opt-in: a consent that a form gives is pending until the person confirms it by a link in an e-mail.

Baton sends no e-mail: `lead.consent_requested` has the link, and the platform mails it (docs/decisions/0045).
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from secrets import token_bytes
from typing import Any, Final
from uuid import UUID

from app import ids
from app.events.record import NewEvent
from app.journeys.state import Change, ConsentRequest, Lead, NewConsent
from app.leads.counting_consents import PENDING, REFUSALS
from app.web.fields import rfc3339

CONFIRM_PATH: Final = "/v1/confirm/"
CHANNEL: Final = "double_opt_in"  # of consents that were confirmed
REPEAT: Final = timedelta(hours=1)  # a form that is sent again within it causes no second e-mail
SECRET_BYTES: Final = 32
_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Asked:
    """A consent to be confirmed, with the text that the person saw."""

    purpose: str
    text: str | None = None
    text_version: str | None = None
    client_address: str | None = None


@dataclass(frozen=True, slots=True)
class DoubleOptIn:
    """The rule of a source. With `always` a form asks for the purposes also where it gives no answer."""

    tenant_id: UUID
    purposes: tuple[str, ...]
    valid: timedelta
    always: bool = False

    @classmethod
    def of(cls, tenant_id: UUID, defaults: Mapping[str, Any]) -> DoubleOptIn | None:
        """The rule in the `defaults` of a source; None where there is none."""
        rule = defaults.get("double_opt_in")
        if not rule:
            return None
        return cls(tenant_id, tuple(rule["purposes"]), timedelta(hours=rule["valid_hours"]), rule["ask"] == "always")

    def asked(self, known: Mapping[str, str], answers: Mapping[str, Asked | None]) -> list[Asked]:
        """What has to be confirmed. `known`: the consents of the lead by purpose, without what lists claim; `answers`:
        those of the form, None for one that refuses."""
        open_ones = [purpose for purpose in self.purposes if known.get(purpose) != "given"]
        found = [answers.get(purpose, Asked(purpose) if self.always else None) for purpose in open_ones]
        return [one for one in found if one is not None]


@dataclass(frozen=True, slots=True)
class Token:
    """What a link consists of. Only the hash of the secret is stored."""

    tenant_id: UUID
    request_id: UUID
    secret: bytes

    @classmethod
    def read(cls, text: str) -> Token | None:
        """The token of a link; None for any other text."""
        try:
            raw = urlsafe_b64decode(text.encode("ascii"))
        except ValueError:
            return None
        if len(raw) != 2 * _ID_BYTES + SECRET_BYTES or cls._written(raw) != text:
            return None
        return cls(UUID(bytes=raw[:16]), UUID(bytes=raw[16:32]), raw[32:])

    def __str__(self) -> str:
        return self._written(self.tenant_id.bytes + self.request_id.bytes + self.secret)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.secret).hexdigest()

    @staticmethod
    def _written(raw: bytes) -> str:
        return urlsafe_b64encode(raw).decode("ascii")


def request_consent(
    change: Change, rule: DoubleOptIn, entries: Sequence[NewConsent], source: Mapping[str, str]
) -> None:
    """Records that these consents are pending, and asks the person to confirm them.

    `pending` is no decision: it replaces none, but what a list claims without evidence. Nobody is asked twice within an
    hour, so that a stranger who sends a form with somebody's address again and again fills no mailbox; a request that
    is void, because the person has refused since, does not count. Nobody is asked who has no address to mail
    the link to.
    """
    lead, now = change.lead, change.now
    decided = lead.flags.get("consented_at") or {}
    for one in entries:
        if one.purpose not in decided:
            lead.consents[one.purpose] = PENDING
            if one.purpose in (claimed := lead.flags.get("consents_claimed") or ()):
                lead.flags["consents_claimed"] = [other for other in claimed if other != one.purpose]
    asked_at: dict[str, str] = dict(lead.flags.get("consent_asked_at") or {})
    new = [one for one in entries if not _is_asked(lead, one.purpose, asked_at.get(one.purpose), now)]
    if not new or lead.fields.get("email") is None:
        change.new_consents += entries
        return
    lead.flags["consent_asked_at"] = asked_at | {one.purpose: now.isoformat() for one in new}
    token, expires_at = Token(rule.tenant_id, ids.new_id(), token_bytes(SECRET_BYTES)), now + rule.valid
    texts = {one.purpose: one.text for one in new}
    change.new_consents += [replace(one, confirmation_id=token.request_id) if one in new else one for one in entries]
    versions = {one.purpose: one.text_version for one in new}
    source_id, submission_id = new[0].source_id, new[0].submission_id
    request = ConsentRequest(token.request_id, token.sha256, texts, versions, source_id, submission_id, expires_at)
    change.new_requests.append(request)
    data = {
        "lead_id": ids.show("lead", lead.id),
        "purposes": list(texts),
        "confirm_url": f"{CONFIRM_PATH}{token}",
        "expires_at": rfc3339(expires_at),
        "source": dict(source),
    }
    change.early_events.append(NewEvent("lead.consent_requested", data, now))


def is_refused_since(lead: Lead, purpose: str, requested_at: datetime) -> bool:
    """Whether the person has refused or withdrawn the consent since a request to confirm it, which is void then."""
    decided_at = (lead.flags.get("consented_at") or {}).get(purpose)
    is_refused = lead.consents.get(purpose) in REFUSALS
    return is_refused and decided_at is not None and datetime.fromisoformat(decided_at) >= requested_at


def _is_asked(lead: Lead, purpose: str, asked_at: str | None, now: datetime) -> bool:
    """Whether the person has a recent request, whose link they can still open."""
    if asked_at is None:
        return False
    at = datetime.fromisoformat(asked_at)
    return now - at < REPEAT and not is_refused_since(lead, purpose, at)
