"""Which events a subscription is sent, and their bodies: the same for live deliveries, retries, replays, previews."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self
from uuid import UUID

import orjson

from app.database.transaction import Tx
from app.events.catalogue import OPERATIONAL
from app.events.envelope import MAX_BODY_BYTES, Sequenced
from app.events.feed import like_patterns
from app.leads.included import include_leads
from app.policy.of_event import condition_of, reads_lead
from app.policy.view import ConditionBase
from app.webhooks.consenting import CONSENT, is_told_of_all
from app.webhooks.event_facts import decoded, holds


def accepts(types: Iterable[str], wanted: Mapping[str, Sequence[Any]], event_type: str, data: str) -> bool:
    """Whether one of the types is that of the event, and every member in `wanted` has one of its values."""
    if not any(is_of(event_type, each) for each in types):
        return False
    members = decoded(data) if wanted else {}
    return all(name in members and members[name] in allowed for name, allowed in wanted.items())


def is_of(event_type: str, pattern: str) -> bool:
    """Whether the pattern (`*`, `lead.*` or a type) is that of the event type."""
    return pattern in ("*", event_type) or (pattern.endswith(".*") and event_type.startswith(pattern[:-1]))


@dataclass(frozen=True, slots=True)
class Selection:
    """What a subscription says of events. `subscription` is its public id, empty for one that is only tried.

    `purposes`: it hears only of leads that have given one of them, which is asked when something is sent
    (consenting.py); empty: of all. `reads_lead`: the condition is about the lead, too.
    """

    subscription: str
    types: tuple[str, ...]
    patterns: tuple[str, ...]
    filter: Mapping[str, Sequence[Any]]
    purposes: tuple[str, ...]
    condition: ConditionBase | None
    reads_lead: bool
    thin: bool
    include: tuple[str, ...]

    @classmethod
    def of(cls, values: Mapping[str, Any], subscription: str = "", **more: Any) -> Self:
        """From the columns of a subscription."""
        condition = compiled(orjson.dumps(values["condition"])) if values["condition"] else None
        return cls(
            subscription=subscription,
            types=tuple(values["types"]),
            patterns=tuple(like_patterns(tuple(values["types"])) or ["%"]),
            filter={name: allowed for name, allowed in values["filter"].items() if name != CONSENT},
            purposes=tuple(values["filter"].get(CONSENT, ())),
            condition=condition,
            reads_lead=condition is not None and reads_lead(condition),
            thin=values["mode"] == "thin",
            include=tuple(values["include"]),
            **more,
        )

    @property
    def needs_lead(self) -> bool:
        """Whether events need their lead: to be judged, or to be sent."""
        return self.reads_lead or bool(self.include)

    def lacks_lead(self, event: Sequenced) -> bool:
        """Whether the event cannot be judged, since it was read when the lead was not needed."""
        return self.reads_lead and not event.included and None not in (event.lead_id, event.lead_version)

    def may_accept(self, event: Sequenced) -> bool:
        """Whether the event passes, as far as can be said without its lead."""
        if event.type.startswith(OPERATIONAL) and decoded(event.data).get("subscription_id") == self.subscription:
            return False
        passes = accepts(self.types, self.filter, event.type, event.data)
        return passes and (self.condition is None or self.reads_lead or holds(self.condition, event))

    def accepts(self, event: Sequenced) -> bool:
        """Whether type, filter and condition pass, and the event is not about this subscription itself."""
        return self.may_accept(event) and (
            not self.reads_lead or self.condition is None or holds(self.condition, event)
        )

    @property
    def max_bytes(self) -> int:
        """Of a body; a larger one has the ids of `data` only."""
        return 0 if self.thin else MAX_BODY_BYTES

    def shown(self, event: Sequenced) -> Sequenced:
        """What is sent of an event: without the lead where only the condition, or another subscription, needed it."""
        if event.included and (not self.include or is_told_of_all(self.purposes, event.type, event.data)):
            return event._replace(included="")
        return event


@lru_cache(maxsize=1024)
def compiled(condition: bytes) -> ConditionBase:
    """The condition of a stored text; that of one version of a subscription is read once."""
    return condition_of(condition)


async def accepted(tx: Tx, tenant_id: UUID, selection: Selection, events: Sequence[Sequenced]) -> list[Sequenced]:
    """The events that are accepted, with their lead where it is needed."""
    found = [event for event in events if selection.may_accept(event)]
    if selection.needs_lead:
        found = await include_leads(tx, tenant_id, found)
    return [event for event in found if selection.accepts(event)] if selection.reads_lead else found
