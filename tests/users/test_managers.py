"""To whom users report: nobody reports to himself, directly or over others, also when managers change at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api import Api
from tests.contract.world import second_tenant

UNKNOWN = "usr_01k00000000000000000000000"


async def report(api: Api, user: str, manager: str | None) -> Any:
    return await api.call("PATCH", f"/v1/users/{user}", {"manager_id": manager})


async def managers(api: Api) -> dict[str, str | None]:
    return {one["id"]: one["manager_id"] for one in (await api.get("/v1/users?limit=200"))["data"]}


def has_cycle(manager_of: dict[str, str | None]) -> bool:
    for start in manager_of:
        one, steps = manager_of[start], 0
        while one is not None and steps <= len(manager_of):
            one, steps = manager_of[one], steps + 1
        if one is not None:
            return True
    return False


async def test_a_user_has_a_manager_from_the_beginning_or_later_and_loses_him_again(api: Api) -> None:
    boss = await api.user("manager")
    one, two = await api.user("ae", manager_id=boss), await api.user("ae")
    assert (await report(api, two, boss)).json()["manager_id"] == boss
    assert {user["id"] for user in (await api.get(f"/v1/users?manager_id={boss}"))["data"]} == {one, two}
    assert (await report(api, one, None)).json()["manager_id"] is None
    assert await managers(api) == {boss: None, one: None, two: boss}


@pytest.mark.parametrize("length", [1, 2, 3, 7])
async def test_a_chain_of_managers_is_not_closed_to_a_cycle(api: Api, length: int) -> None:
    people = [await api.user("manager")]
    for _ in range(length - 1):
        people.append(await api.user("manager", manager_id=people[-1]))
    before = await managers(api)
    answer = await report(api, people[0], people[-1])
    assert (answer.status_code, answer.json()["code"]) == (422, "manager_cycle")
    assert answer.json()["errors"][0]["field"] == "manager_id"
    assert answer.json()["managers"] == people[::-1]
    assert await managers(api) == before


async def test_an_unknown_manager_is_refused(api: Api) -> None:
    user = await api.user("ae")
    stranger = await (await second_tenant(api)).user("manager")
    for wrong in (UNKNOWN, stranger):
        answer = await report(api, user, wrong)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "manager_unknown")
        body = {"name": "N", "email": "n@acme.example", "role": "ae", "manager_id": wrong}
        assert (await api.call("POST", "/v1/users", body)).json()["errors"][0]["code"] == "manager_unknown"
    assert (await report(api, user, "nobody")).json()["errors"][0]["code"] == "id_malformed"


@pytest.mark.parametrize("size", [2, 3, 6])
async def test_changes_at_once_never_make_a_cycle_together(api: Api, size: int) -> None:
    people = [await api.user("manager") for _ in range(size)]
    for _ in range(3):
        for user in people:
            await report(api, user, None)
        pairs = zip(people, people[1:] + people[:1], strict=True)  # together they would be a ring
        answers = await asyncio.gather(*(report(api, *pair) for pair in pairs))
        assert sorted(one.status_code for one in answers) == [200] * (size - 1) + [422]
        assert not has_cycle(await managers(api))


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(0, 5)), min_size=5, max_size=25))
async def test_random_changes_are_refused_where_they_would_make_a_cycle_and_nowhere_else(
    api: Api, moves: list[tuple[int, int | None]]
) -> None:
    people = [await api.user("ae") for _ in range(6)]
    expected: dict[str, str | None] = dict.fromkeys(people)
    for user, manager in moves:
        wanted = {**expected, people[user]: None if manager is None else people[manager]}
        answer = await report(api, people[user], wanted[people[user]])
        assert (answer.status_code == 422) is has_cycle(wanted)
        expected = expected if has_cycle(wanted) else wanted
    found = await managers(api)
    assert {user: found[user] for user in people} == expected
