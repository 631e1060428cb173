"""History, events and lists hold, whatever was merged and unmerged."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.events.partitions import create_partitions
from app.events.sequence import sequence
from tests.api import NUMBERS, Api
from tests.events.published import faults_of
from tests.merging.steps import Lead, activity_keys, faults, merged, unmerged

TYPES = ("webinar", "case_study", "price_list", "demo_request")
# Members that do not depend on the other lead; `merged_from` names the lead that was asked for.
OF_CONFLICTS = ("duplicate_suspected",)


class Life:
    """Leads to which things happen by chance, and what each of them answered at instants in between."""

    def __init__(self, api: Api, seed: int) -> None:
        self.api, self.random = api, random.Random(seed)
        self.leads: list[Lead] = []
        self.people: dict[str, str] = {}
        self.merged: list[Lead] = []
        self.snapshots: list[tuple[datetime, Lead, dict[str, Any], dict[str, Any]]] = []

    async def begin(self) -> None:
        self.people = {role: await self.api.user(role) for role in ("sdr", "ae", "manager")}
        for _ in range(3):
            fit = {"job_title": "Director", "employees": 120, "industry": "software"}
            fields = {name: value for name, value in fit.items() if self.random.random() < 0.8}
            self.leads.append(await self.api.lead(**fields))

    async def step(self) -> None:
        do = self.random.choice((self.act, self.act, self.ask, self.patch, self.consent, self.merge, self.unmerge))
        await do()
        self.api.clock.ahead += timedelta(days=self.random.choice((0, 1, 10, 40)), seconds=1)

    def one(self) -> Lead:
        return self.random.choice([lead for lead in self.leads if lead not in self.merged])

    async def act(self) -> None:
        key = self.random.choice(("s1", "s2", "s3", f"n{next(NUMBERS)}"))
        body = {"type": self.random.choice(TYPES), "activity_key": key, "occurred_at": self.api.ago(days=2)}
        answer = await self.api.call("POST", f"/v1/leads/{self.one()['id']}/activities", body)
        assert answer.status_code in (200, 201), answer.text

    async def ask(self) -> None:
        bant = {name: {"status": "confirmed"} for name in ("need", "budget", "timing", "authority")}
        action, role, members = self.random.choice(
            (
                ("accept", "sdr", {}),
                ("confirm", "ae", {"bant": bant}),
                ("recycle", "sdr", {"reason_code": "timing"}),
                ("disqualify", "sdr", {"reason_code": "no_need"}),
            )
        )
        answer = await self.api.ask(self.one(), action, self.people[role], **members)
        assert answer.status_code in (201, 403, 409, 422), answer.text

    async def patch(self) -> None:
        fields = {"company": f"Company {next(NUMBERS)}", "email": f"new{next(NUMBERS)}@other.example"}
        name = self.random.choice(list(fields))
        body = {"fields": {name: fields[name]}, "custom": {"seats": next(NUMBERS)}}
        assert (await self.api.call("PATCH", f"/v1/leads/{self.one()['id']}", body)).status_code == 200

    async def consent(self) -> None:
        # A purpose of its own: the same state again is a version without an event.
        body = {
            "consents": [{"purpose": f"purpose_{next(NUMBERS)}", "state": self.random.choice(("given", "refused"))}]
        }
        assert (await self.api.call("PUT", f"/v1/leads/{self.one()['id']}/consents", body)).status_code == 200

    async def merge(self) -> None:
        one, other = self.one(), self.one()
        if one is not other:
            await merged(self.api, one, other, self.people["manager"])
            self.merged.append(one)

    async def unmerge(self) -> None:
        if self.merged:
            lead = self.merged.pop()
            await unmerged(self.api, lead, self.people["manager"])

    async def remember(self) -> None:
        at = self.api.now
        for lead in self.leads:
            path = f"/v1/leads/{lead['id']}"
            self.snapshots.append((at, lead, await self.api.get(path), await self.api.get(f"{path}/score")))
        self.api.clock.ahead += timedelta(seconds=1)


@pytest.mark.parametrize("seed", range(6))
async def test_as_of_answers_what_each_lead_was_before_between_and_after_merges(api: Api, seed: int) -> None:
    life = Life(api, seed)
    await life.begin()
    for _ in range(14):
        await life.step()
        await life.remember()
        assert await faults(api) == []
    for at, lead, shown, score in life.snapshots:
        path, as_of = f"/v1/leads/{lead['id']}", {"as_of": at.isoformat()}
        past = await api.get(path, params=as_of)
        assert past == {**shown, **{name: past[name] for name in OF_CONFLICTS}}, (seed, at)
        assert (await api.get(f"{path}/score", params=as_of))["entries"] == score["entries"], (seed, at)


@pytest.mark.parametrize("seed", range(6, 10))
async def test_each_version_of_a_lead_has_events_in_order_and_as_published(api: Api, seed: int) -> None:
    life = Life(api, seed)
    await life.begin()
    for _ in range(14):
        await life.step()
    await create_partitions(api.app.state.engine)
    await sequence(api.app.state.engine)
    for lead in life.leads:
        events = (await api.get(f"/v1/leads/{lead['id']}/events?limit=200&include=lead"))["data"]
        assert [fault for event in events for fault in faults_of(event)] == []
        assert {event["data"]["lead_id"] for event in events} == {lead["id"]}
        told = [(event["meta"]["lead_version"], event["meta"]["transaction"]["index"]) for event in events]
        assert told == sorted(set(told))
        assert list(dict(told)) == list(range(1, len(dict(told)) + 1)), "each version is told"
        now = await api.get(f"/v1/leads/{lead['id']}")
        if lead not in life.merged:
            assert now["version"] == told[-1][0]
            last = events[-1]["data"]["lead"]
            same = now.keys() - {"updated_at", "score", "below_threshold_since", "identities"}
            assert {name: last[name] for name in same} == {name: now[name] for name in same}
        stages = [event["data"] for event in events if event["type"] == "lead.stage_changed"]
        assert all(one["from"] is None or one["seq"] > 1 for one in stages)


async def test_merging_all_and_unmerging_all_loses_no_activity(api: Api) -> None:
    manager = await api.user("manager")
    keys = [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")]
    leads = [await api.lead() for _ in keys]
    for lead, own in zip(leads, keys, strict=True):
        for key in own:
            await api.add_activity(lead, "webinar", activity_key=key)
    before = [await activity_keys(api, lead) for lead in leads]
    for lead in leads[1:]:
        await merged(api, lead, leads[0], manager)
    union = set().union(*(set(own) for own in before))
    assert await activity_keys(api, leads[0]) == sorted(union)
    for n, lead in enumerate(leads[1:], 1):
        await unmerged(api, lead, manager)
        left = set().union(before[0], *before[n + 1 :])
        assert set(await activity_keys(api, leads[0])) == left, "also what several of the others had"
    assert [await activity_keys(api, lead) for lead in leads] == before
