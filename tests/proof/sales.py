"""A random life in which leads are worked on: most become MQLs, many are handed over, and deals are won and lost."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.conversion.steps import BANT
from tests.stories.life import REASONS, Life

AMOUNTS = (None, {"value": "1200.50", "currency": "EUR"}, {"value": "77.10", "currency": "USD"})
FORWARD = {"accept": "sdr", "hand_over": "sdr", "confirm": "ae"}
# An action of an opportunity beside its further members.
DEAL_ACTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("qualify", {"bant": BANT}),
    ("advance", {"to": "negotiation"}),
    ("win", {}),
    ("lose", {"reason_code": "price"}),
    ("reopen", {"reason_code": "mistake"}),
)
SALES_STEPS = (
    *("newcomer", "newcomer", "forward", "forward", "forward", "deal", "deal", "deal", "transition"),
    *("correct", "deal_without_lead", "merge", "unmerge", "revisit"),
)


class SalesLife(Life):
    """`instants`: when each step was over."""

    instants: tuple[datetime, ...] = ()

    async def step(self) -> None:
        name = self.random.choice(SALES_STEPS)
        await self.pass_time(self.random.uniform(1, 90_000))
        self.log.append(f"{len(self.log)} {name} at {self.api.now.isoformat()}")
        await getattr(self, name)()
        self.instants = (*self.instants, self.api.now)

    def sometimes_ago(self) -> dict[str, str]:
        return {"occurred_at": self.ago(3)} if self.random.random() < 0.2 else {}

    async def newcomer(self) -> None:
        """Somebody who fits, and asks for a demo."""
        fields = {"email": f"new{len(self.log)}@{self.random.choice('abc')}.example", "job_title": "Director"}
        body: dict[str, Any] = {
            "fields": {**fields, "employees": 120, "industry": "software"},
            "activity": {"type": "demo_request", "occurred_at": self.ago(20)},
        }
        self.keep(await self.send("POST", "/v1/leads", body))

    async def forward(self) -> None:
        """A lead goes on by some steps; those that its stage does not allow are refused."""
        lead_id = self.random.choice(self.leads[-4:])
        for action in self.random.sample(list(FORWARD), self.random.randint(1, 3)):
            await self.pass_time(self.random.uniform(1, 200_000))
            body = {"action": action, **({} if action == "accept" else {"bant": BANT}), **self.sometimes_ago()}
            path, headers = f"/v1/leads/{lead_id}/transitions", {"Idempotency-Key": f"key-{len(self.log)}"}
            self.remember_opportunity(await self.send("POST", path, body, FORWARD[action], headers=headers))
        deal = {"amount": self.random.choice(AMOUNTS), "business": self.random.choice(("new", "existing"))}
        body = {"opportunity": {"mode": "create", "name": "Licences", **deal}}
        path, headers = f"/v1/leads/{lead_id}/conversion", {"Idempotency-Key": f"key-{len(self.log)}"}
        self.remember_opportunity(await self.send("POST", path, body, "ae", headers=headers))

    async def deal_without_lead(self) -> None:
        body = {
            "name": "Renewal",
            "amount": self.random.choice(AMOUNTS),
            "business": "existing",
            **self.sometimes_ago(),
        }
        self.opportunities.append((await self.send("POST", "/v1/opportunities", body)).json()["id"])

    async def deal(self) -> None:
        """A deal goes on by some steps; or its amount and business are edited, also once it is closed."""
        if not self.opportunities:
            return
        path = f"/v1/opportunities/{self.random.choice(self.opportunities)}"
        for action, more in self.random.choices(DEAL_ACTIONS, k=3):
            await self.pass_time(self.random.uniform(1, 400_000))
            await self.send("POST", f"{path}/transitions", {"action": action, **more, **self.sometimes_ago()}, "ae")
        if self.random.random() < 0.3:
            edited = {"amount": self.random.choice(AMOUNTS), "business": self.random.choice(("new", "existing"))}
            await self.send("PATCH", path, edited, "manager")

    async def correct(self) -> None:
        lead_id = self.lead()
        steps = (await self.api.get(f"/v1/leads/{lead_id}/transitions"))["data"]
        body = {"action": "correct", "to": self.random.choice(("inquiry", "mql", "sal")), "note": "as agreed"}
        body |= {"reason_code": self.random.choice(REASONS["correct"]), "correction_of": steps[-1]["id"]}
        await self.send("POST", f"/v1/leads/{lead_id}/transitions", body, "manager")

    async def revisit(self) -> None:
        """Long afterwards somebody asks again, which may open another journey."""
        await self.pass_time(timedelta(days=self.random.randint(20, 100)).total_seconds())
        await self.send("POST", f"/v1/leads/{self.lead()}/activities", {"type": "demo_request"})
