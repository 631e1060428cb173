"""Which touch of a lead is its first and its last, and the times of an inquiry and its activity."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from tests.api import Api

UTM, CLICK = {"source": "google", "medium": "cpc"}, {"gclid": "abc"}
REFERRER, PAGE = {"referrer": "https://news.example/"}, {"landing_page": "https://acme.com/demo"}
FORM, VISITOR = {"form_id": "7"}, {"visitor_id": "v-1"}
LAST: list[tuple[list[dict[str, str]], dict[str, str], dict[str, str]]] = [
    ([UTM, {}], UTM, UTM),
    ([UTM, PAGE], UTM, UTM),
    ([UTM, {"source": ""}, {}], UTM, UTM),
    ([CLICK, PAGE, {}], CLICK, CLICK),
    ([UTM, REFERRER], UTM, REFERRER),
    ([UTM, CLICK], UTM, CLICK),
    ([UTM, FORM], UTM, UTM),
    ([UTM, VISITOR], UTM, UTM),
    ([UTM, FORM | VISITOR | PAGE], UTM, UTM),
    ([UTM, FORM | CLICK], UTM, FORM | CLICK),
    ([PAGE, FORM], PAGE, FORM),
    ([PAGE, {}], PAGE, PAGE),
    ([{}, UTM], UTM, UTM),
    ([{}, PAGE, UTM, {}], PAGE, UTM),
    ([{}, {}], {}, {}),
]


@pytest.mark.parametrize(("touches", "first", "last"), LAST)
async def test_an_empty_touch_replaces_nothing(
    api: Api, touches: list[dict[str, str]], first: dict[str, str], last: dict[str, str]
) -> None:
    for touch in touches:
        answer = await api.call("POST", "/v1/leads", {"fields": {"email": "ana@acme.com"}, "attribution": touch})
    lead = await api.reload(answer.json())
    assert lead["attribution"] == {"first": first, "last": last}
    at = lead["updated_at"]
    await api.call("POST", "/v1/leads", {"fields": {"email": "ana@acme.com"}, "attribution": {"source": "later"}})
    past = await api.get(f"/v1/leads/{lead['id']}", params={"as_of": at})
    assert past["attribution"] == {"first": first, "last": last}


@pytest.mark.parametrize("days", list(permutations([10, 20, 5], 2)))
async def test_an_inquiry_and_its_activity_each_have_their_own_time(api: Api, days: tuple[int, int]) -> None:
    inquiry, activity = (api.ago(days=day) for day in days)
    body: dict[str, Any] = {"fields": {"email": "ana@acme.com"}, "occurred_at": inquiry}
    lead = await api.post("/v1/leads", {**body, "activity": {"type": "demo_request", "occurred_at": activity}})
    assert await times(api, lead) == (moment(inquiry), moment(activity))


async def test_a_time_that_is_given_once_is_that_of_both(api: Api) -> None:
    when = api.ago(days=4)
    bodies: list[dict[str, Any]] = [
        {"occurred_at": when, "activity": {"type": "demo_request"}},
        {"activity": {"type": "demo_request", "occurred_at": when}},
    ]
    for n, body in enumerate(bodies):
        lead = await api.post("/v1/leads", {"fields": {"email": f"ana{n}@acme.com"}, **body})
        assert await times(api, lead) == (moment(when), moment(when))


async def times(api: Api, lead: dict[str, Any]) -> tuple[str, str]:
    steps = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"]
    (activity,) = (await api.get(f"/v1/leads/{lead['id']}/activities"))["data"]
    return moment(steps[0]["occurred_at"]), moment(activity["occurred_at"])


def moment(instant: str) -> str:
    return instant[:23]
