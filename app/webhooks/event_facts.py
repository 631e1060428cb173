"""What a condition is judged by: the members of an event, and its lead as of the event.

All of it is of the event itself and of `data.lead`, which never change (leads/included.py); so an event has the same
answer at each attempt, in replays and in every process. It is put together once for all lanes of a process, which keeps
it for some seconds (`forget`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import orjson

from app.events.envelope import Sequenced, names_nobody
from app.journeys.state import attributes, exception_of
from app.matching.mailboxes import is_free_mail
from app.policy.facts import Actor, Ask, Confirmation, Facts
from app.policy.view import ConditionBase, View

KEPT_EVENTS: Final = 512  # twice what is read from the log at once
ERASED: Final = "lead.erased"
NONE: Final = ""  # no stage and no reason has this name: `null` stands for a step that has none
NOBODY: Final = UUID(int=0)


class NoTerms:
    """No policy: the condition names nothing of one."""

    conditions: Mapping[str, ConditionBase] = {}
    persona_conditions: Mapping[str, ConditionBase] = {}
    list_keys: Mapping[str, frozenset[tuple[str, object]]] = {}
    permanent_reasons: frozenset[str] = frozenset()
    role_of_route: Mapping[str, str] = {}


def holds(condition: ConditionBase, event: Sequenced) -> bool:
    """Whether the condition holds for the event; its lead is in `included`, where there is one and it is needed.

    Of somebody who was erased only `lead.erased` is sent, which tells receivers to forget the person.
    """
    if event.type == ERASED:
        return True
    if names_nobody(event):
        return False
    view = view_of(event.data, event.included, event.recorded_at)
    return view is not None and condition.holds(view)


def forget() -> None:
    """Forget the events that were decoded: their people may have been erased since."""
    decoded.cache_clear()
    view_of.cache_clear()


@lru_cache(maxsize=KEPT_EVENTS)
def decoded(text: str) -> Any:
    """The value of a JSON text, which callers do not change."""
    return orjson.loads(text)


@lru_cache(maxsize=KEPT_EVENTS)
def view_of(data: str, included: str, recorded_at: datetime) -> View | None:
    """The members of an event as the words of conditions read them; None if its lead was erased.

    What there is not is None, or the empty text where None has a meaning.
    """
    members, more = decoded(data), orjson.loads(f"{{{included}}}") if included else {}
    if more.get("erased"):
        return None
    lead = more.get("lead") or {}
    facts = Facts(
        fields={**_attributes(lead), **members_of({**members, **more})},
        custom=lead.get("custom", {}),
        first_touch=lead.get("attribution", {}).get("first"),
        consents=lead.get("consents", {}),
        exception=exception_of(lead),
        identities=len(lead.get("identities", ())),
        contactable=any(lead.get("fields", {}).get(name) for name in ("email", "phone")),
        stage=members.get("from", NONE),
    )
    score = lead.get("score") or {}
    role = (members.get("actor") or {}).get("role", NONE)
    ask = Ask(None, Actor(None, "service", role), reason_code=members.get("reason_code", NONE))
    target = members.get("to", lead.get("stage", NONE))
    fit, engagement, level = (score.get(name, 0) for name in ("fit", "engagement", "level"))
    return View(NoTerms(), facts, recorded_at, fit, engagement, level, _confirmations(lead), ask, target)


def members_of(members: Mapping[str, Any]) -> dict[str, object]:
    """The members of `data` by their names, as `data.source.name`; of a list all values that its items have."""
    found: dict[str, list[object]] = {}
    _collect("data", members, found)
    return {name: values[0] if len(values) == 1 else tuple(values) for name, values in found.items()}


def _collect(name: str, value: Any, found: dict[str, list[object]]) -> None:
    if isinstance(value, list):
        for one in value:
            _collect(name, one, found)
        return
    found.setdefault(name, []).append(value)
    if isinstance(value, dict):
        for member, inner in value.items():
            _collect(f"{name}.{member}", inner, found)


def _attributes(lead: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of the catalogue that a shown lead has."""
    if not lead:
        return {}
    domain = (lead["fields"].get("email") or "").rpartition("@")[2]
    flags = {
        "email_status": lead.get("email_status"),
        "phone_status": lead.get("phone_status"),
        "email_domain": domain or None,
        "free_mail": is_free_mail(domain) if domain else None,
    }
    return attributes(lead["fields"], flags, lead["custom"], lead["kind"], lead.get("channel"), business=None)


def _confirmations(lead: Mapping[str, Any]) -> tuple[Confirmation, ...]:
    """The latest confirmation of each criterion of BANT, as if one user had given all of them."""
    return tuple(
        Confirmation(
            criterion=criterion,
            status=row["status"],
            user_id=NOBODY,
            role=row["confirmed_role"],
            recorded_at=datetime.fromisoformat(row["confirmed_at"]),
            value=row["value"],
            amount=row.get("amount"),
        )
        for criterion, row in lead.get("bant", {}).items()
        if "confirmed_at" in row
    )
