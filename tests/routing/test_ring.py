"""Round robin: fair for any weights, steady when members change, and never to somebody who cannot take a lead."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.routing.ring import SCALE, Member, Position, following, number

weights = st.lists(st.integers(1, 100), min_size=1, max_size=6)
places = st.integers(0, SCALE - 1)


def members_with(weights: list[int]) -> list[Member]:
    return [Member(UUID(int=n), weight=weight) for n, weight in enumerate(weights, 1)]


def turns(members: list[Member], last: Position | None, picks: int) -> list[Position]:
    found: list[Position] = []
    for _ in range(picks):
        last = following(members, last)
        assert last is not None
        found.append(last)
    return found


@given(weights, st.one_of(st.none(), st.builds(Position, places, st.builds(UUID, int=st.integers(0, 9)))))
def test_in_a_whole_turn_everybody_comes_as_often_as_the_weight_says(given: list[int], last: Position | None) -> None:
    members = members_with(given)
    picked = Counter(one.user_id for one in turns(members, last, sum(given)))
    assert picked == {one.user_id: one.weight for one in members}


@given(st.integers(1, 8), st.integers(1, 100), st.integers(0, 60))
def test_users_of_equal_weight_never_differ_by_more_than_one(count: int, weight: int, picks: int) -> None:
    members = members_with([weight] * count)
    picked = Counter(one.user_id for one in turns(members, None, picks))
    assert max(picked.values(), default=0) - min(picked[one.user_id] for one in members) <= 1


@given(weights, st.integers(0, 300))
def test_at_no_time_is_a_weight_off_by_more_than_one_place(given: list[int], picks: int) -> None:
    members = members_with(given)
    found = turns(members, None, picks + 1)
    whole, within = divmod(found[-1].place, SCALE)
    passed = (picks // sum(given)) * SCALE + whole * SCALE + within
    picked = Counter(one.user_id for one in found)
    for one in members:
        assert abs(picked[one.user_id] - passed * one.weight / SCALE) <= 1


@given(
    st.lists(
        st.builds(
            Member,
            st.builds(UUID, int=st.integers(1, 99)),
            weight=st.integers(0, 5),
            capacity=st.one_of(st.none(), st.integers(0, 3)),
            load=st.integers(0, 4),
            absent=st.booleans(),
            had_it=st.booleans(),
        ),
        max_size=8,
        unique_by=lambda one: one.user_id,
    ),
    st.one_of(st.none(), st.builds(Position, places, st.builds(UUID, int=st.integers(0, 99)))),
)
def test_nobody_absent_full_without_weight_or_who_had_the_lead_is_ever_chosen(
    members: list[Member], last: Position | None
) -> None:
    able = {
        one.user_id
        for one in members
        if not one.absent and not one.had_it and one.weight > 0 and (one.capacity is None or one.load < one.capacity)
    }
    chosen = following(members, last)
    assert (chosen is None) == (not able)
    assert chosen is None or chosen.user_id in able


@given(weights.filter(lambda found: len(found) > 1), st.data())
def test_who_is_away_or_leaves_moves_nobody_else(given: list[int], data: st.DataObject) -> None:
    members = members_with(given)
    away = data.draw(st.integers(0, len(members) - 1))
    absent = [replace(one, absent=n == away) for n, one in enumerate(members)]
    rest = [one for n, one in enumerate(members) if n != away]
    assert turns(absent, None, 2 * sum(given)) == turns(rest, None, 2 * sum(given))


@given(weights)
def test_the_numbers_of_a_turn_are_1_2_3_without_a_gap(given: list[int]) -> None:
    members = members_with(given)
    found = turns(members, None, sum(given))
    assert [number(members, one) for one in found] == list(range(1, sum(given) + 1))


def test_a_single_member_gets_everything_and_an_empty_ring_chooses_nobody() -> None:
    (only,) = members_with([1])
    assert {one.user_id for one in turns([only], None, 5)} == {only.user_id}
    assert following([], None) is None
    assert following([replace(only, capacity=0)], None) is None
