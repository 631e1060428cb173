"""Activity types that policies may count on: those that sources give, and those that the shipped policies name."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice

from app.policy.check_conditions import roots
from app.policy.conditions import walk
from app.policy.document import Policy
from app.policy.fault import Fault
from app.policy.words import HasActivity, HasSequence

KNOWN = frozenset(
    {"form_fill", "newsletter_signup", "badge_scan", "chat", "meeting_booked", "meeting_canceled", "identify", "track"}
    | {"webinar", "webinar_registered", "webinar_attended", "case_study", "price_list", "demo_request", "trial_start"}
    | {"call", "meeting", "unsubscribe"}
)
MOST_TOLD = 20


def unknown_types(policy: Policy) -> Iterator[Fault]:
    """Warnings of the first types that no scoring rule and no source of the service gives.

    Not faults: an activity may have any type, and a client of the API may send one that is not known here.
    """
    known = sorted(KNOWN | policy.rules_for.keys())
    unknown = ((place, name) for place, name in _named(policy) if name not in known)
    for place, name in islice(unknown, MOST_TOLD):
        yield Fault(place, "unknown_activity_type", _detail(name, known), "warning")


def _named(policy: Policy) -> Iterator[tuple[str, str]]:
    """Every activity type of a condition, with its place."""
    for place, root, _ in roots(policy):
        for where, node, _ in walk(root, place):
            for index, name in enumerate(_types(node)):
                yield f"{where}/{node.keyword}/types/{index}", name


def _types(node: object) -> tuple[str, ...]:
    match node:
        case HasActivity():
            return node.activity.types or ()
        case HasSequence():
            return node.sequence.types
        case _:
            return ()


def _detail(name: str, known: list[str]) -> str:
    hint = f": did you mean `{close[0]}`?" if (close := get_close_matches(name, known, 1)) else ""
    return f"no rule and no source gives an activity of the type `{name}`{hint}"
