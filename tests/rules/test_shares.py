"""Events of a lead are of one lane; after a change of the number nothing is left out and nothing comes twice."""

from __future__ import annotations

from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.webhooks.shares import MOST_LANES, Passed, Share, lane_of, part_of

NUMBERS = st.integers(1, MOST_LANES)


@given(st.uuids(), NUMBERS)
def test_a_lead_is_of_one_lane(key: UUID, lanes: int) -> None:
    assert [number for number in range(lanes) if Share(number, lanes).has(key, 1)] == [lane_of(key, lanes)]


@pytest.mark.parametrize("lanes", [2, 3, 4, 7, 16])
def test_leads_are_spread_evenly(lanes: int) -> None:
    chance, count = Random(lanes), [0] * lanes
    for _ in range(1000 * lanes):
        count[lane_of(UUID(int=chance.getrandbits(128)), lanes)] += 1
    assert all(850 < each < 1150 for each in count)


@given(st.integers(1, 100_000), NUMBERS)
def test_the_parts_of_a_limit_are_the_limit_and_differ_by_one_at_most(limit: int, lanes: int) -> None:
    parts = [part_of(limit, number, lanes) for number in range(lanes)]
    assert sum(parts) == limit
    assert max(parts) - min(parts) <= 1


@given(st.integers(0, 10_000))
def test_however_often_the_number_changes_each_event_is_handled_once(seed: int) -> None:
    chance = Random(seed)
    log = [UUID(int=chance.randrange(40)) for _ in range(200)]
    handled: list[int] = []
    lanes, passed, positions = 1, Passed(), [0]
    for _ in range(12):
        settled: list[int] = []
        for number in range(lanes):
            share, at = Share(number, lanes, passed), positions[number]
            positions[number] = to = chance.randint(at, min(at + 60, len(log)))
            mine = [place for place in range(at + 1, len(log) + 1) if share.has(log[place - 1], place)]
            handled += [place for place in mine if place <= to]
            settled += (later := [place for place in mine if to < place <= to + 9 and chance.random() < 0.3])
            handled += later
        passed = Passed.of(passed.then(positions, settled).stored)
        lanes = chance.choice([1, 2, 3, 4, 16])
        positions = [min(positions)] * lanes
    for number in range(lanes):
        share = Share(number, lanes, passed)
        handled += [place for place in range(positions[number] + 1, len(log) + 1) if share.has(log[place - 1], place)]
    assert sorted(handled) == list(range(1, len(log) + 1))


def test_what_is_remembered_has_one_entry_for_each_number_and_ends_at_the_lowest_position() -> None:
    passed = Passed().then([5, 30], []).then([10], [12, 40]).then([10, 20], [])
    assert passed.to == {2: (10, 30)}
    assert passed.ahead == {12, 40}
    assert passed.stored["last"] == 40
    assert passed.then([40], []).stored == {}
