"""What changed in routes and teams between two versions of a policy, in words."""

from __future__ import annotations

from typing import Any

import pytest

from app.policy.differences import differences
from tests.routing.documents import routed_document

RING = {"method": "round_robin"}
FIRST, LAST = ({"id": name, "to": [{"method": "pool", "team": name}]} for name in ("first", "last"))
PARTNER = {"kind": "partner", "accept_within_minutes": 60}


@pytest.mark.parametrize(
    ("before", "after", "texts"),
    [
        (({}, {}), (RING, {}), ["Route sdr, method: pool → round_robin"]),
        (({**RING, "weights": {"a": 1}}, {}), ({**RING, "weights": {"a": 2}}, {}), ["Route sdr, weights a: 1 → 2"]),
        (({"rules": [FIRST, LAST]}, {}), ({"rules": [FIRST]}, {}), ["Route sdr, rules last is gone"]),
        (
            ({"rules": [FIRST, LAST]}, {}),
            ({"rules": [LAST, FIRST]}, {}),
            ["Route sdr, rules: first, last → last, first"],
        ),
        (
            ({}, {"alpine": PARTNER}),
            ({}, {"alpine": {**PARTNER, "accept_within_minutes": 90}}),
            ["Team alpine, accept within minutes: 60 → 90"],
        ),
        (({}, {"alpine": PARTNER}), ({}, {}), ["Team alpine is gone"]),
    ],
)
def test_a_changed_route_is_told_in_words(before: Any, after: Any, texts: list[str]) -> None:
    old, new = (routed_document(*one) for one in (before, after))
    assert [one.text for one in differences(old, new)] == texts
