"""A random life of a few leads over HTTP: every request is drawn from a seed, and time moves only between requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

import httpx

from app.clock import Clock
from app.journeys.refresh import refresh_due
from app.policy.document import Policy
from app.policy.shipped import shipped
from tests.api import Api
from tests.conversion.steps import BANT
from tests.submissions.sender import Sender, make_sender

EMAILS = ("anna@nordsoft.ro", "dan@nordsoft.ro", "ion@gmail.com", "office@nordsoft.ro")
VALUES: dict[str, tuple[Any, ...]] = {
    "full_name": ("Anna Pop", "Dan Lis", "Ion Rus"),
    "company": ("Nordsoft", "Acme SRL"),
    "job_title": ("Director", "Head of Sales", "Intern"),
    "employees": (20, 120, 4000),
    "industry": ("software", "retail"),
    "country": ("RO", "DE"),
    "phone": ("+40 21 555 0100", "0722 000 111", "12"),
    "website": ("https://nordsoft.ro",),
}
ACTIVITIES = ("webinar", "case_study", "price_list", "demo_request", "unsubscribe", "meeting")
PURPOSES = ("email_marketing", "phone_marketing")
STATES = ("given", "refused", "withdrawn", "unknown")
REASONS = {
    "recycle": ("timing", "unreachable", "stalled"),
    "disqualify": ("no_budget", "spam", "duplicate"),
    "return": ("no_need", "wrong_owner"),
    "reopen": ("mistake", "new_information"),
    "correct": ("mistake", "data_fix"),
}
# Each action beside the role that may take it.
ACTIONS = {
    "qualify": "marketing",
    "accept": "sdr",
    "hand_over": "sdr",
    "return": "ae",
    "confirm": "ae",
    "recycle": "sdr",
    "disqualify": "sdr",
    "reopen": "sdr",
    "correct": "manager",
}
STAGES = ("inquiry", "mql", "sal", "srl", "sql")


class SteppedClock(Clock):
    """A clock that stands still until a test moves it."""

    def __init__(self, at: datetime) -> None:
        super().__init__()
        self.at = at
        self.ahead = timedelta()

    def now(self) -> datetime:
        return self.at + self.ahead


@dataclass
class Life:
    """What happens to the leads of one tenant, and what each looked like after each step."""

    api: Api
    random: Random
    users: dict[str, str]
    sender: Sender
    leads: list[str] = field(default_factory=list)
    opportunities: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    snapshots: list[tuple[datetime, str, bytes]] = field(default_factory=list)

    async def step(self) -> None:
        """One random request, after a random time, and a look at every lead and at the score of one."""
        name = self.random.choice(STEPS)
        await self.pass_time(self.random.uniform(1, 5_000))
        self.log.append(f"{len(self.log)} {name} at {self.api.now.isoformat()}")
        await getattr(self, name)()
        for lead_id in self.leads:
            await self.look(f"/v1/leads/{lead_id}")
        await self.look(f"/v1/leads/{self.lead()}/score")

    async def look(self, path: str) -> None:
        shown = await self.api.call("GET", path)
        assert shown.status_code == 200, self.story()
        self.snapshots.append((self.api.now, path, shown.content))

    async def pass_time(self, seconds: float) -> None:
        self.api.clock.ahead += timedelta(seconds=seconds)
        await refresh_due(self.api.app.state.engine, self.api.clock.now)

    async def send(self, method: str, path: str, body: Any, role: str | None = None, **options: Any) -> httpx.Response:
        """A request that may be refused, but never fails."""
        actor = self.users[role] if role else None
        answer = await self.api.call(method, path, body, actor=actor, **options)
        self.log.append(f"    {method} {path} {role} {body} → {answer.status_code} {answer.text[:120]}")
        assert answer.status_code < 500, self.story()
        return answer

    def story(self) -> str:
        return "\n".join(self.log)

    def lead(self) -> str:
        return self.random.choice(self.leads)

    def ago(self, days: float) -> str:
        return self.api.ago(days=self.random.uniform(0, days))

    def some(self, values: dict[str, tuple[Any, ...]], most: int = 4) -> dict[str, Any]:
        names = self.random.sample(sorted(values), self.random.randint(0, most))
        return {name: self.random.choice(values[name]) for name in names}

    def consents(self) -> list[dict[str, str]]:
        purposes = self.random.sample(PURPOSES, self.random.randint(1, 2))
        return [{"purpose": one, "state": self.random.choice(STATES)} for one in purposes]

    def keep(self, answer: httpx.Response) -> None:
        """Remembers the lead that a request has made."""
        if answer.status_code in (200, 201) and answer.json()["id"] not in self.leads:
            self.leads.append(answer.json()["id"])

    async def capture(self) -> None:
        body: dict[str, Any] = {"fields": {"email": self.random.choice(EMAILS), **self.some(VALUES)}}
        if self.random.random() < 0.7:
            body["activity"] = {"type": self.random.choice(ACTIVITIES), "occurred_at": self.ago(40)}
        if self.random.random() < 0.5:
            body["attribution"] = {"source": self.random.choice(("google", "linkedin")), "campaign": "spring"}
        if self.random.random() < 0.3:
            body["consents"] = self.consents()
        if self.random.random() < 0.3:
            body["external_ids"] = {"crm": str(self.random.randint(1, 3))}
        if self.random.random() < 0.3:
            body["custom"] = {"seats": self.random.randint(1, 9)}
        if self.random.random() < 0.3:
            body["occurred_at"] = self.ago(20)
        self.keep(await self.send("POST", "/v1/leads", body))

    async def form(self) -> None:
        body = {
            "email": self.random.choice(EMAILS),
            **self.some(VALUES),
            **self.some({"utm_source": ("spring", "x")}, 1),
        }
        submission = await self.sender.post_and_process(body)
        self.log.append(f"    form {body} → {submission['items']}")
        for item in submission["items"]:
            if item["lead_id"] and item["lead_id"] not in self.leads:
                self.leads.append(item["lead_id"])

    async def activity(self) -> None:
        kind = self.random.choice(("interest", "interest", "contact_attempt"))
        type_ = self.random.choice(ACTIVITIES) if kind == "interest" else "call"
        body: dict[str, Any] = {"type": type_, "kind": kind}
        if self.random.random() < 0.5:
            body["occurred_at"] = self.ago(60)
        if self.random.random() < 0.3:
            body["activity_key"] = self.random.choice("abc")
        await self.send("POST", f"/v1/leads/{self.lead()}/activities", body)

    async def patch(self) -> None:
        body: dict[str, Any] = {}
        if self.random.random() < 0.7:
            fields = self.some(VALUES, 3)
            body["fields"] = {name: self.random.choice((value, value, None)) for name, value in fields.items()}
            if self.random.random() < 0.3:
                body["fields"]["email"] = self.random.choice((*EMAILS, "anna@nordsoft.com", None))
        if self.random.random() < 0.3:
            body["custom"] = {"seats": self.random.choice((1, 2.0, None)), "plan": "pro"}
        if self.random.random() < 0.4:
            body["owner_id"] = self.random.choice((self.users["sdr"], self.users["ae"], None))
        await self.send("PATCH", f"/v1/leads/{self.lead()}", body)

    async def consent(self) -> None:
        await self.send("PUT", f"/v1/leads/{self.lead()}/consents", {"consents": self.consents()})

    async def bant(self) -> None:
        criteria = self.random.sample(("budget", "authority", "need", "timing"), 2)
        body = {one: {"status": self.random.choice(("confirmed", "denied", "unknown"))} for one in criteria}
        if "timing" in body:
            body["timing"]["due_on"] = (self.api.now + timedelta(days=self.random.randint(1, 120))).date().isoformat()
        await self.send("PUT", f"/v1/leads/{self.lead()}/bant", body, self.random.choice(("sdr", "ae")))

    async def transition(self) -> None:
        lead_id = self.lead()
        here = (await self.api.call("GET", f"/v1/leads/{lead_id}/eligibility")).json().get("actions", ())
        names = [one["action"] for one in here if one["action"] in ACTIONS] or list(ACTIONS)
        action = self.random.choice(names)
        body: dict[str, Any] = {"action": action}
        if action in REASONS:
            body |= {"reason_code": self.random.choice(REASONS[action]), "note": "as agreed"}
        if action == "qualify":
            body["override_reason"] = "met at a fair"
        if action == "correct":
            steps = (await self.api.get(f"/v1/leads/{lead_id}/transitions"))["data"]
            body |= {"to": self.random.choice(STAGES), "correction_of": steps[-1]["id"]}
        if action in ("hand_over", "confirm"):
            body["bant"] = BANT
        if action == "hand_over":
            body["conversion"] = self.random.random() < 0.4
        if action == "recycle" and self.random.random() < 0.5:
            body["wake_at"] = self.api.ago(days=-self.random.uniform(1, 50))
        if self.random.random() < 0.2:
            body["occurred_at"] = self.ago(1)
        headers = {"Idempotency-Key": f"key-{len(self.log)}"}
        answer = await self.send("POST", f"/v1/leads/{lead_id}/transitions", body, ACTIONS[action], headers=headers)
        self.remember_opportunity(answer)

    def remember_opportunity(self, answer: httpx.Response) -> None:
        made = answer.json().get("conversion") if answer.status_code == 201 else None
        if made and made.get("opportunity"):
            self.opportunities.append(made["opportunity"]["id"])

    async def convert(self) -> None:
        headers = {"Idempotency-Key": f"key-{len(self.log)}"}
        answer = await self.send("POST", f"/v1/leads/{self.lead()}/conversion", {}, "ae", headers=headers)
        self.remember_opportunity(answer)

    async def revert(self) -> None:
        body = {"reason_code": "mistake"}
        await self.send("POST", f"/v1/leads/{self.lead()}/conversion/revert", body, "manager")

    async def opportunity(self) -> None:
        if self.opportunities:
            action = self.random.choice(("qualify", "win", "lose"))
            body: dict[str, Any] = {"action": action}
            body |= {"bant": BANT} if action == "qualify" else {"reason_code": "price"} if action == "lose" else {}
            path = f"/v1/opportunities/{self.random.choice(self.opportunities)}/transitions"
            await self.send("POST", path, body, "ae")

    async def merge(self) -> None:
        one, other = self.lead(), self.lead()
        await self.send("POST", f"/v1/leads/{one}/merge", {"into": other}, "manager")

    async def unmerge(self) -> None:
        await self.send("POST", f"/v1/leads/{self.lead()}/unmerge", None, "manager")

    async def days(self) -> None:
        await self.pass_time(self.random.uniform(1, 35) * 86_400)

    async def policy(self) -> None:
        """Either shipped policy, with other points."""
        name = self.random.choice(("waterfall", "pipeline"))
        await self.api.publish(with_points(name, self.random.choice((20, 5, 30))))

    async def contact(self) -> None:
        """A contact, who may be one of the leads, in an account of the company."""
        body = {"email": self.random.choice(EMAILS), "last_name": "Pop"}
        await self.send("POST", "/v1/contacts", body)
        await self.send("POST", "/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro"})

    async def user(self) -> None:
        """The SDR leaves, or comes back."""
        await self.send("PATCH", f"/v1/users/{self.users['sdr']}", {"active": self.random.random() < 0.7})


STEPS = (
    *("capture", "form", "activity", "activity", "patch", "patch", "consent", "bant"),
    *("transition", "transition", "transition", "transition", "convert", "revert", "opportunity"),
    *("merge", "unmerge", "unmerge", "days", "policy", "contact", "user"),
)


def with_points(name: str, points: int) -> Policy:
    policy = shipped(name)
    first, *rest = policy.scoring.fit
    scoring = policy.scoring.model_copy(update={"fit": (first.model_copy(update={"points": points}), *rest)})
    return policy.model_copy(update={"scoring": scoring})


async def begin(api: Api, seed: int, kind: type[Life] = Life) -> Life:
    """Three leads, and the users who work with them."""
    api.app.state.clock = api.clock = SteppedClock(api.now)  # type: ignore[assignment]
    users = {role: await api.user(role) for role in ("sdr", "ae", "manager", "marketing")}
    life = kind(api, Random(seed), users, await make_sender(api))
    for email in EMAILS[:3]:
        body = {"fields": {"email": email, "job_title": "Director", "employees": 120, "industry": "software"}}
        life.keep(await life.send("POST", "/v1/leads", body))
        await life.pass_time(60)
    return life
