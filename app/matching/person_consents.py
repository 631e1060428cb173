"""Which consent a person is held to, of those that several leads of the person have given or refused.

A consent is `{state, occurred_at, text, channel, source_id, bought}`, plain JSON; `unknown` and `pending` are no
decisions. `bought`: a list claims that it was given, which the person did not say here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

Consent = Mapping[str, Any]
Consents = Mapping[str, Consent]

UNKNOWN: Final[Consent] = {
    "state": "unknown",
    "occurred_at": None,
    "text": None,
    "channel": None,
    "source_id": None,
    "bought": False,
}
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


def replacing(known: Consents, new: Consents) -> dict[str, Consent]:
    """The new consents, by purpose, that replace what is known: the first ones, and decisions that are later.

    At the same instant a refusal or withdrawal counts before a consent. What a list claims replaces no decision of the
    person, `pending` only a claim without evidence (a text), and such a claim nothing that is pending.
    """
    return {purpose: one for purpose, one in new.items() if purpose not in known or _rank(one) > _rank(known[purpose])}


def _rank(consent: Consent) -> tuple[int, datetime, bool]:
    is_claim = consent["bought"] and consent["state"] == "given"
    if consent["state"] == "unknown" or (is_claim and not consent["text"]):
        return int(is_claim), _NEVER, False
    if consent["state"] == "pending":
        return 2, _NEVER, False
    return 3 if is_claim else 4, datetime.fromisoformat(consent["occurred_at"]), consent["state"] != "given"
