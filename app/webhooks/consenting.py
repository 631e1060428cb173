"""Subscriptions that hear only of leads which have given a consent, as it is when something is sent.

`filter: {"consent": ["email_marketing"]}`. Who was told of a person has to learn that the consent or the person is
gone: `lead.consent_changed` of one of the purposes, and `lead.erased`, are sent of any lead, without `data.lead`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Protocol
from uuid import UUID

import orjson

from app.database.transaction import Tx
from app.leads import consent_sql

CONSENT: Final = "consent"
GIVEN: Final = "given"
ERASED: Final = "lead.erased"
CHANGED: Final = "lead.consent_changed"


class About(Protocol):
    """An event: of which lead it is, and what it says."""

    @property
    def type(self) -> str: ...
    @property
    def data(self) -> str: ...
    @property
    def lead_id(self) -> UUID | None: ...


def agreed(purposes: Collection[str], consents: Mapping[str, str]) -> bool:
    """Whether a lead with these consents has given one of the purposes."""
    return any(consents.get(purpose) == GIVEN for purpose in purposes)


def is_told_of_all(purposes: Collection[str], event_type: str, data: str) -> bool:
    """Whether the event is sent whatever the lead has agreed to."""
    if purposes and event_type == CHANGED:
        return not orjson.loads(data)["consents"].keys().isdisjoint(purposes)
    return bool(purposes) and event_type == ERASED


async def agreeing(tx: Tx, tenant_id: UUID, purposes: Collection[str], events: Sequence[About]) -> list[bool]:
    """Of each event, whether it may be sent now to who hears only of leads that have given one of the purposes.

    Without purposes that is each event.
    """
    if not purposes:
        return [True] * len(events)
    known = await consent_sql.consents_now(tx, tenant_id, {one.lead_id for one in events if one.lead_id is not None})
    return [
        (one.lead_id is not None and agreed(purposes, known.get(one.lead_id, {})))
        or is_told_of_all(purposes, one.type, one.data)
        for one in events
    ]
