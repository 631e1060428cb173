"""Back-tests and shadow runs of random lives, against what is counted of the scores of then and the milestones."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.backtests.run import run_backtests
from tests.api import Api
from tests.backtests.steps import backtest, draft, journeys, run
from tests.backtests.test_backtests import hours
from tests.reports.steps import advance, hand_over
from tests.rules.make import PERSONA, PIPELINE, altered

FIT, ENGAGEMENT = 30, 45  # neither wider nor narrower than the shipped rule: the candidate adds and removes
CANDIDATE = altered(
    PIPELINE,
    lambda changed: changed["conditions"].update(
        mql={"all": [{"fit": {"at_least": FIT}}, {"engagement": {"at_least": ENGAGEMENT}}]}
    ),
)
TYPES = ("webinar", "case_study", "price_list", "demo_request")
FIELDS: tuple[dict[str, Any], ...] = (
    {"job_title": "Director"},
    {"job_title": "clerk"},
    {"employees": 120},
    {"employees": 3},
    {"industry": "software"},
)
LEADS, STEPS = 24, 70


class Lives:
    """What happens to the leads of a tenant by a seed, with the instants at which anything of each was recorded."""

    def __init__(self, api: Api, seed: int) -> None:
        self.api = api
        self.random = random.Random(seed)
        self.instants: dict[str, list[str]] = {}
        self.closed: set[str] = set()

    async def live(self) -> None:
        api = self.api
        self.sdr, self.ae = await api.user("sdr"), await api.user("ae")
        await api.user("sdr")
        for _ in range(LEADS):
            await self.begin()
        for _ in range(STEPS):
            await hours(api, self.random.randint(1, 20))
            await self.step(self.random.choice([one for one in self.instants if one not in self.closed]))
            await run_backtests(api.app.state.engine, api.now)

    async def begin(self) -> None:
        fields = PERSONA if self.random.random() < 0.6 else self.random.choice(FIELDS)
        await self.keep(await self.api.lead(**fields))

    async def step(self, lead_id: str) -> None:
        api, lead = self.api, {"id": lead_id}
        if self.random.random() < 0.25:
            changed = {"fields": self.random.choice(FIELDS)}
            assert (await api.call("PATCH", f"/v1/leads/{lead_id}", changed)).status_code == 200
        else:
            late = {"occurred_at": api.ago(days=self.random.randint(1, 40))} if self.random.random() < 0.3 else {}
            await api.add_activity(lead, self.random.choice(TYPES), **late)
        stage = (await self.keep(lead))["stage"]
        if stage == "mql" and self.random.random() < 0.6:
            await self.sell(lead)
        elif stage == "inquiry" and self.random.random() < 0.05:
            self.closed.add(lead_id)
            assert (await api.ask(lead, "disqualify", self.sdr, reason_code="no_budget")).status_code == 201

    async def sell(self, lead: dict[str, Any]) -> None:
        end = self.random.choice(["accepted", "disqualified", "handed over", "qualified", "won", "won", "lost"])
        if end == "disqualified":
            self.closed.add(lead["id"])
            assert (await self.api.ask(lead, "disqualify", self.sdr, reason_code="no_budget")).status_code == 201
            return
        assert (await self.api.ask(lead, "accept", self.sdr)).status_code == 201
        if end == "accepted":
            return
        self.closed.add(lead["id"])
        deal = await hand_over(self.api, lead, self.sdr, self.ae)
        if end in ("qualified", "won"):
            bant = {criterion: {"status": "confirmed"} for criterion in ("need", "budget", "timing")}
            await advance(self.api, deal, "qualify", self.ae, bant=bant)
        if end == "won":
            await advance(self.api, deal, "win", self.ae)
        if end == "lost":
            await advance(self.api, deal, "lose", self.ae, reason_code="price")

    async def keep(self, lead: dict[str, Any]) -> dict[str, Any]:
        """Remembers when the newest change of the lead was recorded; the lead as it is now."""
        found = await self.api.reload(lead)
        self.instants.setdefault(found["id"], []).append(found["updated_at"])
        return found


class Counted:
    """What the API says of each lead: when it became an MQL, when the candidate would have made it one, and its end."""

    def __init__(self) -> None:
        self.actual: dict[str, str] = {}
        self.candidate: dict[str, str] = {}
        self.reached: dict[str, set[str]] = {}

    @classmethod
    async def of(cls, api: Api, lives: Lives) -> Counted:
        counted = cls()
        for lead_id, instants in lives.instants.items():
            for step in (await api.get(f"/v1/leads/{lead_id}/transitions"))["data"]:
                if step["to"] == "mql":
                    counted.actual[lead_id] = step["recorded_at"]
            for at in instants:
                score = await api.get(f"/v1/leads/{lead_id}/score", params={"as_of": at})
                if score["fit"] >= FIT and score["engagement"] >= ENGAGEMENT:
                    counted.candidate[lead_id] = at
                    break
            (journey,) = (await api.get(f"/v1/leads/{lead_id}/journeys"))["data"]
            counted.reached[lead_id] = {one["name"] for one in journey["milestones"] if not one["voided"]}
        return counted

    def with_milestone(self, name: str) -> set[str]:
        return {lead_id for lead_id, names in self.reached.items() if name in names}

    def side(self, known: dict[str, str]) -> dict[str, Any]:
        """The members of a side that can be counted of the leads that it made MQLs, and when that was known."""
        mqls, sql, won = set(known), self.with_milestone("sql"), self.with_milestone("won")
        accepted = {lead_id for lead_id in mqls if self.reached[lead_id] & {"sal", "srl", "sql", "won"}}
        weeks = Counter(_monday(at) for at in known.values())
        return {
            "mql": len(mqls),
            "accepted_rate": (len(accepted), len(mqls)),
            "precision": {"sql": (len(mqls & sql), len(mqls)), "won": (len(mqls & won), len(mqls))},
            "recall": {"sql": (len(mqls & sql), len(sql)), "won": (len(mqls & won), len(won))},
            "missed_won": won - mqls,
            "weekly_load": {week: (count, count / 2) for week, count in weeks.items()},
        }


def _monday(at: str) -> str:
    day = datetime.fromisoformat(at).date()
    return (day - timedelta(days=day.weekday())).isoformat()


def told(side: dict[str, Any]) -> dict[str, Any]:
    """The same members of a side of the answer."""

    def fraction(share: dict[str, Any]) -> tuple[int, int]:
        assert share["value"] == (round(share["numerator"] / share["denominator"], 4) if share["denominator"] else None)
        return share["numerator"], share["denominator"]

    return {
        "mql": side["mql"],
        "accepted_rate": fraction(side["accepted_rate"]),
        "precision": {name: fraction(share) for name, share in side["precision"].items()},
        "recall": {name: fraction(share) for name, share in side["recall"].items()},
        "missed_won": set(side["missed_won"]),
        "weekly_load": {one["week"]: (one["mql"], one["per_sdr"]) for one in side["weekly_load"] if one["mql"]},
    }


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_backtest_and_a_shadow_run_are_what_is_counted_of_the_scores_of_then(
    pipeline_api: Api, seed: int
) -> None:
    api, lives = pipeline_api, Lives(pipeline_api, seed)
    candidate = await draft(api, CANDIDATE)
    shadow = await api.post(f"/v1/policies/{candidate}/shadow", {}, status=202)
    await run(api)
    await lives.live()
    await run(api)
    counted = await Counted.of(api, lives)
    assert set(counted.actual) - set(counted.candidate), "the candidate removes"
    assert set(counted.candidate) - set(counted.actual), "and it adds"
    assert counted.with_milestone("won"), "somebody was won"
    followed = await api.get(f"/v1/backtests/{shadow['id']}")
    for found in (await backtest(api, candidate), followed):
        assert told(found["baseline"]) == counted.side(counted.actual), found["kind"]
        assert told(found["candidate"]) == counted.side(counted.candidate), found["kind"]
        assert set(found["candidate"]["added"]) == set(counted.candidate) - set(counted.actual)
        assert set(found["candidate"]["removed"]) == set(counted.actual) - set(counted.candidate)
        listed = await journeys(api, found["id"], "candidate")
        assert {one["lead_id"]: one["candidate_known_at"] for one in listed} == counted.candidate
