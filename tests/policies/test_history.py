"""Whatever is done with policies in whatever order: the rules of their life hold, and so does what leads answered."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.policies.due import activate_due
from app.policies.schedule import schedule_leads
from tests.api import NUMBERS, Api
from tests.conversion.steps import BANT, GOOD
from tests.policies.steps import settle
from tests.policies.test_activation import Lead, faults, renamed, stricter
from tests.rules.make import WATERFALL

DOCUMENTS = (
    renamed(WATERFALL),
    renamed(stricter(WATERFALL)),
    renamed(WATERFALL, mql="ready"),
    renamed(stricter(WATERFALL), inquiry="asked", recycled="asleep"),
    renamed(WATERFALL, sal="taken", mql="ready"),
)
SAME = {"mql": "ready", "inquiry": "asked", "recycled": "asleep", "sal": "taken"}
PAIRS = SAME | {new: old for old, new in SAME.items()}
OF_TIME = ("below_threshold_since",)  # not kept once a journey has left it
TYPES = ("webinar", "case_study", "price_list", "demo_request")


class Life:
    """Two people and policies that they write, approve and activate by chance, beside leads to which things happen.

    `expected` has the state of each policy, and the sides that have approved its present document.
    """

    def __init__(self, api: Api, seed: int) -> None:
        self.api, self.random = api, random.Random(seed)
        self.people: dict[str, str] = {}
        self.leads: list[Lead] = []
        self.expected: dict[str, tuple[str, set[str]]] = {}
        self.texts: dict[str, Any] = {}
        self.snapshots: list[tuple[datetime, Lead, dict[str, Any], dict[str, Any]]] = []

    async def begin(self) -> None:
        self.people = {role: await self.api.user(role) for role in ("marketing", "sdr", "ae")}
        self.leads = [await self.api.lead(**GOOD) for _ in range(3)]

    async def step(self) -> None:
        life = (
            self.write,
            self.edit,
            self.propose,
            self.approve,
            self.approve,
            self.activate,
            self.activate,
            self.plan,
        )
        await self.random.choice((*life, self.delete, self.act, self.act, self.ask, self.ask, self.work))()
        self.api.clock.ahead += timedelta(days=self.random.choice((0, 0, 1, 20)), seconds=1)

    def one(self) -> str | None:
        return self.random.choice(list(self.expected)) if self.expected else None

    async def write(self) -> None:
        body = self.random.choice(DOCUMENTS)
        policy = str((await self.api.post("/v1/policies", body))["id"])
        self.expected[policy], self.texts[policy] = ("draft", set()), body

    async def edit(self) -> None:
        if policy := self.one():
            body = {**self.random.choice(DOCUMENTS), "title": f"Title {next(NUMBERS)}"}
            answer = await self.api.call("PUT", f"/v1/policies/{policy}", body)
            if self.expected[policy][0] in ("draft", "proposed"):
                assert answer.status_code == 200, answer.text
                self.expected[policy], self.texts[policy] = ("draft", set()), body
            else:
                assert answer.status_code == 409

    async def propose(self) -> None:
        if policy := self.one():
            answer = await self.api.call("POST", f"/v1/policies/{policy}/proposal")
            assert answer.status_code == (200 if self.expected[policy][0] == "draft" else 409)
            if answer.status_code == 200:
                self.expected[policy] = ("proposed", set())

    async def approve(self) -> None:
        if policy := self.one():
            role, side = self.random.choice((("marketing", "marketing"), ("sdr", "sales"), ("ae", "sales")))
            answer = await self.api.call("POST", f"/v1/policies/{policy}/approvals", actor=self.people[role])
            state, sides = self.expected[policy]
            assert answer.status_code == (200 if state == "proposed" and side not in sides else 409)
            if answer.status_code == 200:
                sides.add(side)

    async def activate(self, **members: Any) -> None:
        if policy := self.one():
            names = {stage["name"] for stage in self.texts[policy]["stages"]}
            mapping = {old: new for old, new in PAIRS.items() if old not in names and new in names}
            body = {"mapping": mapping, **members}
            answer = await self.api.call("POST", f"/v1/policies/{policy}/activation", body)
            state, sides = self.expected[policy]
            assert answer.status_code == (200 if state == "proposed" and len(sides) == 2 else 409), answer.text
            if answer.status_code == 200 and not members:
                self.became_active(policy)

    def became_active(self, policy: str) -> None:
        for other, (state, sides) in self.expected.items():
            if state == "active":
                self.expected[other] = ("retired", sides)
        self.expected[policy] = ("active", self.expected[policy][1])

    async def plan(self) -> None:
        await self.activate(effective_from=self.api.ago(days=-self.random.choice((1, 5))))

    async def delete(self) -> None:
        if policy := self.one():
            answer = await self.api.call("DELETE", f"/v1/policies/{policy}")
            assert answer.status_code == (204 if self.expected[policy][0] == "draft" else 409)
            if answer.status_code == 204:
                del self.expected[policy]

    async def act(self) -> None:
        lead = self.random.choice(self.leads)
        await self.api.add_activity(lead, self.random.choice(TYPES))

    async def ask(self) -> None:
        action, role, members = self.random.choice(
            (
                ("accept", "sdr", {}),
                ("confirm", "ae", {"bant": BANT}),
                ("recycle", "sdr", {"reason_code": "needs_info"}),
                ("disqualify", "sdr", {"reason_code": "no_need"}),
            )
        )
        answer = await self.api.ask(self.random.choice(self.leads), action, self.people[role], **members)
        assert answer.status_code in (201, 403, 409, 422), answer.text

    async def work(self) -> None:
        """What workers do, perhaps not all of it yet."""
        engine = self.api.app.state.engine
        shown = {one: await self.api.get(f"/v1/policies/{one}") for one in self.expected}
        due = {one for one, row in shown.items() if row["state"] == "proposed" and row["effective_from"]}
        await activate_due(engine, self.api.clock.now)
        now = {one: (await self.api.get(f"/v1/policies/{one}")) for one in due}
        for one in sorted(due, key=lambda policy: str(now[policy]["activated_at"])):
            if now[one]["activated_at"] is not None:
                self.became_active(one)
        await schedule_leads(engine, self.api.now)
        if self.random.random() < 0.7:
            await settle(self.api)

    async def check(self) -> None:
        for policy, (state, sides) in self.expected.items():
            shown = await self.api.get(f"/v1/policies/{policy}")
            assert (shown["state"], {one["side"] for one in shown["approvals"]}) == (state, sides)
            assert shown["document"] == self.texts[policy]
        active = [one for one in (await self.api.get("/v1/policies?limit=200"))["data"] if one["state"] == "active"]
        assert len(active) == 1
        assert await faults(self.api) == []

    async def remember(self) -> None:
        at = self.api.now
        for lead in self.leads:
            path = f"/v1/leads/{lead['id']}"
            self.snapshots.append((at, lead, await self.api.get(path), await self.api.get(f"{path}/score")))
        self.api.clock.ahead += timedelta(seconds=1)


@pytest.mark.parametrize("seed", range(8))
async def test_the_life_of_policies_and_the_past_of_leads_hold_in_any_order(api: Api, seed: int) -> None:
    life = Life(api, seed)
    await life.begin()
    for _ in range(30):
        await life.step()
        await life.check()
        await life.remember()
    await settle(api)
    stages = {stage["name"] for stage in (await api.get("/v1/policies/active"))["document"]["stages"]}
    for lead in life.leads:
        (journey,) = (await api.get(f"/v1/leads/{lead['id']}/journeys"))["data"][-1:]
        assert journey["stage"] in stages or journey["policy_id"] is not None or journey["closed_at"] is not None
    for at, lead, shown, score in life.snapshots:
        path, as_of = f"/v1/leads/{lead['id']}", {"as_of": at.isoformat()}
        past = await api.get(path, params=as_of)
        assert past == {**shown, **{name: past[name] for name in OF_TIME}}, (seed, at)
        assert (await api.get(f"{path}/score", params=as_of))["entries"] == score["entries"], (seed, at)
