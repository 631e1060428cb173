"""Story 19 of lifecycle.md, section 11: fair routing, with the same numbers."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from tests.api import NUMBERS, Api
from tests.routing.documents import routed

PERSONA = {"job_title": "Director", "employees": 120, "industry": "software"}


async def post_mql(api: Api) -> dict[str, Any]:
    fields = {"email": f"person{next(NUMBERS)}@company{next(NUMBERS)}.example", **PERSONA}
    return dict(await api.post("/v1/leads", {"fields": fields, "activity": {"type": "demo_request"}}))


async def post_in_parallel(api: Api, count: int, at_once: int = 20) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    while len(made) < count:
        made += await asyncio.gather(*(post_mql(api) for _ in range(min(at_once, count - len(made)))))
    return made


async def test_19_leads_are_shared_out_fairly_and_each_says_why(api: Api) -> None:
    await api.publish(routed({"method": "round_robin"}))
    sdrs = [await api.user("sdr") for _ in range(3)]

    first = Counter(lead["owner_id"] for lead in await post_in_parallel(api, 100))
    assert sorted(first) == sorted(sdrs)
    assert sorted(first.values(), reverse=True) == [34, 33, 33]

    absences = [{"starts_at": api.ago(minutes=1)}]
    await api.call("PATCH", f"/v1/users/{sdrs[1]}", {"absences": absences})
    leads = await post_in_parallel(api, 30)
    then = Counter(lead["owner_id"] for lead in leads)
    assert [then[sdr] for sdr in sdrs] == [15, 0, 15]

    for lead in leads:
        decision = (await api.get(f"/v1/leads/{lead['id']}/assignment"))["decision"]
        (target,) = decision["targets"]
        ring = target["ring"]
        assert decision["owner_id"] == lead["owner_id"]
        assert (decision["reason"], target["outcome"], ring["places"]) == ("assigned", "assigned", 3)
        assert ring["position"] == sdrs.index(lead["owner_id"]) + 1
        assert [(one["position"], one["user_id"], one["weight"]) for one in ring["members"]] == [
            (1, sdrs[0], 1),
            (2, sdrs[1], 1),
            (3, sdrs[2], 1),
        ]
        assert [one["unavailable"] for one in ring["members"]] == [None, "absent", None]
