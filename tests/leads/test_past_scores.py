"""Score, ledger, level, temperature, personas and exception as of any past instant are what was answered then."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.journeys.refresh import refresh_due
from app.policy.document import Policy
from app.policy.shipped import shipped
from tests.api import NUMBERS, Api
from tests.rules.make import altered

TYPES = ("webinar", "case_study", "price_list", "demo_request", "unsubscribe", "meeting", "other")
CRITERIA = ("budget", "authority", "need", "timing")
PEOPLE = ("marketing", "manager", "sdr", "ae")
SHOWN = ("score", "icp_exception", "bant", "consents", "stage", "fields", "custom")
TITLES = ("CFO", "Head of Sales", "Sales Manager", "Geschäftsführer", "Clerk", None)


def everything_counts(changed: dict[str, Any]) -> None:
    """Adds a rule for each kind of attribute, caps, and a persona with a window."""
    changed["personas"].append(
        {
            "name": "reader",
            "title": "Reads",
            "if": {"activity": {"types": ["webinar"], "within_days": 20, "min_count": 2}},
        }
    )
    changed["scoring"]["engagement"][0]["group"] = changed["scoring"]["engagement"][1]["group"] = "reading"
    changed["scoring"]["caps"] = [{"group": "reading", "points": 25}, {"ledger": "fit", "points": 60}]
    changed["scoring"]["fit"] += [
        {"id": "consent", "points": 3, "if": {"consent": {"purpose": "email_marketing", "state": ["given"]}}},
        {"id": "reader", "points": 5, "if": {"persona": ["reader"]}},
        {"id": "excepted", "points": 7, "if": {"exception": True}},
        {"id": "source", "points": 2, "if": {"field": "source", "present": True}},
        {"id": "channel", "points": 2, "if": {"field": "channel", "is": "phone"}},
        {"id": "business", "points": 1, "if": {"field": "business", "is": "new"}},
        {"id": "seats", "points": 4, "if": {"field": "custom.seats", "at_least": 50}},
        {"id": "budget", "points": 6, "if": {"field": "bant.budget.amount", "at_least": 5000}},
        {"id": "steps", "points": 8, "if": {"sequence": {"types": ["webinar", "price_list"], "within_days": 15}}},
    ]


def cheaper(changed: dict[str, Any]) -> None:
    everything_counts(changed)
    for rule in changed["scoring"]["engagement"]:
        rule["points"] //= 2
    changed["scoring"]["decay"] = [{"to_day": 10, "percent": 100}, {"to_day": 40, "percent": 30}]


class Life:
    """One lead to which things happen by chance, and what its score was in between."""

    def __init__(self, api: Api, seed: int) -> None:
        self.api, self.random = api, random.Random(seed)
        self.policies: list[Policy] = [altered(shipped("waterfall"), one) for one in (everything_counts, cheaper)]
        self.lead: dict[str, Any] = {}
        self.people: dict[str, str] = {}
        self.snapshots: list[tuple[datetime, dict[str, Any], dict[str, Any]]] = []

    async def begin(self) -> None:
        await self.api.publish(self.policies[0])
        self.people = {role: await self.api.user(role) for role in PEOPLE}
        fields = {"email": f"p{next(NUMBERS)}@nordsoft.ro", "job_title": "Director", "employees": 120}
        self.lead = await self.api.post(
            "/v1/leads", {"fields": fields, "channel": self.random.choice(("phone", "chat"))}
        )

    async def step(self) -> None:
        await self.random.choice(
            (
                *(self.act, self.act, self.act, self.patch, self.bant),
                *(self.consent, self.exception, self.ask, self.refresh, self.publish),
            )
        )()
        await self.look()
        self.api.clock.ahead += timedelta(
            days=self.random.choice((0, 0, 1, 3, 8, 25)), seconds=self.random.randrange(90)
        )
        await self.look()

    async def look(self) -> None:
        path = f"/v1/leads/{self.lead['id']}"
        self.snapshots.append((self.api.now, await self.api.get(path + "/score"), await self.api.get(path)))

    async def call(self, method: str, path: str, body: Any = None, role: str | None = None) -> None:
        actor = self.people[role] if role else None
        answer = await self.api.call(method, f"/v1/leads/{self.lead['id']}{path}", body, actor=actor)
        assert answer.status_code in (200, 201, 403, 409, 422), answer.text

    async def act(self) -> None:
        at = self.api.ago(days=self.random.choice((0, 0, 5, 20, 45)))
        kind = self.random.choice(("interest", "interest", "contact_attempt"))
        await self.call("POST", "/activities", {"type": self.random.choice(TYPES), "kind": kind, "occurred_at": at})

    async def patch(self) -> None:
        fields = {
            "job_title": self.random.choice(TITLES),
            "industry": self.random.choice(("software", "mining", None)),
            "employees": self.random.choice((8, 80, None)),
            "email": f"p{next(NUMBERS)}@{self.random.choice(('gmail.com', 'nordsoft.ro'))}",
        }
        names = self.random.sample(sorted(fields), 2)
        body = {
            "fields": {name: fields[name] for name in names},
            "custom": {"seats": self.random.choice((10, 90, None))},
        }
        await self.call("PATCH", "", body)

    async def bant(self) -> None:
        criterion = self.random.choice(CRITERIA)
        more: dict[str, Any] = {}
        if criterion == "timing":
            more = {"due_on": (self.api.now + timedelta(days=self.random.choice((5, 95)))).date().isoformat()}
        elif criterion == "budget":
            more = {"amount": {"value": self.random.choice(("1.00", "9000.00")), "currency": "EUR"}}
        status = self.random.choice(("confirmed", "confirmed", "denied", "unknown"))
        await self.call("PUT", "/bant", {criterion: {"status": status, **more}}, self.random.choice(PEOPLE))

    async def consent(self) -> None:
        state = self.random.choice(("given", "refused", "withdrawn"))
        await self.call("PUT", "/consents", {"consents": [{"purpose": "email_marketing", "state": state}]})

    async def exception(self) -> None:
        if self.random.random() < 0.4:
            await self.call("DELETE", "/exception", role="manager")
        else:
            persona = self.random.choice(("reader", "decision_maker", None))
            await self.call("PUT", "/exception", {"reason": f"Reason {next(NUMBERS)}", "persona": persona}, "marketing")

    async def ask(self) -> None:
        action, role, members = self.random.choice(
            (
                ("accept", "sdr", {}),
                ("recycle", "sdr", {"reason_code": "timing"}),
                ("disqualify", "sdr", {"reason_code": "no_need"}),
                ("reopen", "sdr", {"reason_code": "mistake", "note": "it was"}),
            )
        )
        await self.call("POST", "/transitions", {"action": action, **members}, role)

    async def refresh(self) -> None:
        await refresh_due(self.api.app.state.engine, self.api.clock.now)

    async def publish(self) -> None:
        await self.api.publish(self.random.choice(self.policies))


@pytest.mark.parametrize("seed", range(5))
async def test_the_score_as_of_any_instant_is_what_was_shown_then(api: Api, seed: int) -> None:
    life = Life(api, seed)
    await life.begin()
    for _ in range(16):
        await life.step()
    path = f"/v1/leads/{life.lead['id']}"
    for at, score, lead in life.snapshots:
        then = await api.get(path + "/score", params={"as_of": at.isoformat()})
        assert then == {**score, "as_of": then["as_of"]}, at
        past = await api.get(path, params={"as_of": at.isoformat()})
        assert {name: past[name] for name in SHOWN} == {name: lead[name] for name in SHOWN}, at
        for ledger in ("fit", "engagement"):
            points = [one["decayed_points"] for one in then["entries"] if one["ledger"] == ledger and one["counts"]]
            assert sum(points) == then[ledger]
        assert 0 <= then["level"] <= 6
    shown = [score for _, score, _ in life.snapshots]
    assert len({(one["fit"], one["engagement"], one["level"], one["temperature"]) for one in shown}) > 3
