"""Of the consents of several leads of one person, one counts for each purpose, in whatever order they are found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.matching.person_consents import UNKNOWN, Consent, Consents, replacing

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)


def consent(state: str, minute: int, *, bought: bool = False) -> Consent:
    if state == "unknown":
        return UNKNOWN
    at = (NOON + timedelta(minutes=minute)).isoformat()
    return {"state": state, "occurred_at": at, "text": None, "channel": "api", "source_id": None, "bought": bought}


CONSENTS = st.builds(
    consent, st.sampled_from(("given", "refused", "withdrawn", "unknown")), st.integers(0, 3), bought=st.booleans()
)


def folded(consents: list[Consent]) -> Consent:
    known: Consents = {}
    for one in consents:
        known = {**known, **replacing(known, {"phone": one})}
    return known["phone"]


@given(st.lists(CONSENTS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_in_which_consents_are_found_does_not_decide(consents: list[Consent], random: Random) -> None:
    shuffled = list(consents)
    random.shuffle(shuffled)
    one, other = folded(consents), folded(shuffled)
    assert (one["state"] == "given", one["occurred_at"]) == (other["state"] == "given", other["occurred_at"])


@given(st.lists(CONSENTS, min_size=1, max_size=6))
def test_the_latest_decision_counts_and_at_one_instant_the_refusal(consents: list[Consent]) -> None:
    counts = folded(consents)
    decisions = [one for one in consents if one["state"] != "unknown"]
    own = [one for one in decisions if not (one["bought"] and one["state"] == "given")]
    if not own:
        assert counts["state"] == ("given" if decisions else "unknown")
        return
    latest = max(one["occurred_at"] for one in own)
    refused_last = any(one["state"] != "given" for one in own if one["occurred_at"] == latest)
    assert (counts["occurred_at"], counts["state"] == "given") == (latest, not refused_last)


@pytest.mark.parametrize(
    "at", ["2026-11-10T14:01:00+02:00", "2026-11-10T12:00:00.5+00:00", "2026-11-10T07:01:00-05:00"]
)
def test_instants_are_compared_in_any_zone_and_precision(at: str) -> None:
    later = {**consent("withdrawn", 0), "occurred_at": at}
    for found in ([consent("given", 0), later], [later, consent("given", 0)]):
        assert folded(found) == later
