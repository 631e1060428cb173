"""A random life in which people are also erased, because they asked for it or because their time is over."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

from app.erasure.steps import run_steps
from app.forecast.snapshot import take_snapshots
from tests.conversion.steps import BANT
from tests.proof.sales import FORWARD, SALES_STEPS, SalesLife
from tests.retention.test_retention import keep, run_all
from tests.stories.life import STEPS

NUMBERS = itertools.count(1)
MORE_STEPS = (*("customer",) * 5, *("revert",) * 4, "edit", "edit", "erase", "erase", "retention")
AMOUNTS = (None, {"value": "1200.50", "currency": "EUR"}, {"value": "77", "currency": "JPY"})


class ForgetfulLife(SalesLife):
    """Leads that are erased are left out of `leads`."""

    async def step(self) -> None:
        name = self.random.choice((*STEPS, *SALES_STEPS, *MORE_STEPS))
        await self.pass_time(self.random.uniform(1, 90_000))
        self.log.append(f"{len(self.log)} {name} at {self.api.now.isoformat()}")
        await getattr(self, name)()
        await self.forget()
        self.instants = (*self.instants, self.api.now)

    async def pass_time(self, seconds: float) -> None:
        await super().pass_time(seconds)
        await take_snapshots(self.api.app.state.engine, self.api.now)

    async def customer(self) -> None:
        """Somebody new who is converted by as many steps as the policy asks for."""
        await self.newcomer()
        path = f"/v1/leads/{self.leads[-1]}"
        deal: dict[str, Any] = {"mode": "create", "name": "Licences"}
        deal |= {"amount": self.random.choice(AMOUNTS), "close_date": f"{self.api.now + timedelta(days=9):%Y-%m-%d}"}
        for action in FORWARD:
            body = {"action": action, **({} if action == "accept" else {"bant": BANT})}
            headers = {"Idempotency-Key": f"key-{len(self.log)}"}
            answer = await self.send("POST", f"{path}/transitions", body, "manager", headers=headers)
            self.remember_opportunity(answer)
        headers = {"Idempotency-Key": f"key-{len(self.log)}"}
        answer = await self.send("POST", f"{path}/conversion", {"opportunity": deal}, "ae", headers=headers)
        self.remember_opportunity(answer)

    async def revert(self) -> None:
        stages = {one: (await self.api.get(f"/v1/leads/{one}"))["stage"] for one in self.leads}
        lead_id = self.random.choice([one for one in self.leads if stages[one] == "converted"] or self.leads)
        body = {"reason_code": "mistake"}
        await self.send("POST", f"/v1/leads/{lead_id}/conversion/revert", body, "manager")

    async def edit(self) -> None:
        """An opportunity gets what the forecast counts."""
        if self.opportunities:
            day = self.api.now + timedelta(days=self.random.randint(-20, 60))
            body: dict[str, Any] = {"amount": self.random.choice(AMOUNTS), "close_date": f"{day:%Y-%m-%d}"}
            body |= {"forecast_category": self.random.choice(("pipeline", "commit"))}
            await self.send("PATCH", f"/v1/opportunities/{self.random.choice(self.opportunities)}", body, "manager")

    async def erase(self) -> None:
        answer = await self.send("POST", f"/v1/leads/{self.lead()}/erasure", {"reason": "person_asked"}, "manager")
        assert answer.status_code == 202, self.story()
        while await run_steps(self.api.app.state.engine, self.api.now):
            pass

    async def retention(self) -> None:
        """A whole run, long after, so that something is over."""
        await self.pass_time(40 * 86_400)
        await keep(self.api, raw_days=20, spam_days=20, quarantined_days=20, attempts_days=20, unqualified_days=30)
        self.log.append(f"    removed {dict(await run_all(self.api))}")

    async def forget(self) -> None:
        """Leaves out the leads that are gone, and makes one where none is left."""
        gone = [one for one in self.leads if (await self.api.call("GET", f"/v1/leads/{one}")).status_code == 410]
        self.leads = [one for one in self.leads if one not in gone]
        if not self.leads:
            fields = {"email": f"new{next(NUMBERS)}@new.example", "job_title": "Director", "industry": "software"}
            self.keep(await self.send("POST", "/v1/leads", {"fields": {**fields, "employees": 120}}))
