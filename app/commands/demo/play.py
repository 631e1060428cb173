"""Sends the planned leads to a service: form fills, activities, users' steps. Each lead in order, many concurrently.

A part of the plan is what happens from one instant to another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

from app.commands.demo.client import Client
from app.commands.demo.forms import SOURCES, form_fill, signed
from app.commands.demo.plan import Activity, ActivityKind, PlannedLead, Role, Step
from app.settings import CannotStart

T = TypeVar("T")
Advance = Callable[[int], None]

CONCURRENCY: Final = 24
MAX_ACTIVITIES: Final = 500
PAGE_LIMIT: Final = 200
SECRET: Final = "demo-signing-secret"  # noqa: S105 - signs generated forms only
HEAD: Final = "Helga Brandt"
# Role and name of each user, and to whom they report.
TEAM: Final[tuple[tuple[Role, str, str | None], ...]] = (
    ("manager", HEAD, None),
    ("manager", "Victor Stan", HEAD),
    ("manager", "Ioana Marin", HEAD),
    ("marketing", "Mira Lang", None),
    ("marketing", "Tudor Pop", None),
    ("sdr", "Sofia Dumitru", "Ioana Marin"),
    ("sdr", "Jonas Berg", "Ioana Marin"),
    ("sdr", "Leila Haddad", "Ioana Marin"),
    ("sdr", "Carlos Reyes", "Ioana Marin"),
    ("ae", "Andrei Ene", "Victor Stan"),
    ("ae", "Petra Vogel", "Victor Stan"),
    ("ae", "Nia Okafor", "Victor Stan"),
)
QUOTA_ABOVE: Final = 25_000  # of what an AE has closed and committed, so that there is a gap


@dataclass(frozen=True, slots=True)
class Part:
    """What of the plan happens from `since` to before `until`; without bounds all of it."""

    plan: Sequence[PlannedLead]
    since: datetime | None = None
    until: datetime | None = None

    def holds(self, at: datetime) -> bool:
        return (self.since is None or self.since <= at) and (self.until is None or at < self.until)

    @property
    def leads(self) -> list[PlannedLead]:
        """The leads whose form fill is in this part."""
        return [lead for lead in self.plan if self.holds(lead.at)]

    def activities(self, lead: PlannedLead, kind: ActivityKind) -> list[tuple[int, Activity]]:
        return [(n, one) for n, one in enumerate(lead.activities) if one.kind == kind and self.holds(one.at)]

    def steps(self, lead: PlannedLead) -> list[tuple[int, Step]]:
        return [(n, one) for n, one in enumerate(lead.steps) if self.holds(one.at)]


@dataclass(frozen=True, slots=True)
class Setup:
    """The demo's ids in the service: user ids by role, sources by name as (id, ingest path); by submission key those of
    leads and of their opportunities."""

    people: dict[Role, list[str]]
    sources: dict[str, tuple[str, str]]
    leads: dict[str, str] = field(default_factory=dict)
    opportunities: dict[str, str] = field(default_factory=dict)


async def prepare(client: Client, seed: int) -> Setup:
    """Create the users and the three sources."""
    people: dict[Role, list[str]] = {"marketing": [], "sdr": [], "ae": [], "manager": []}
    known: dict[str | None, str | None] = {None: None}
    for role, name, manager in TEAM:
        address = f"{name.lower().replace(' ', '.')}.{seed}@demo.example"
        user = {"name": name, "email": address, "role": role, "manager_id": known[manager]}
        created = await client.post("/v1/users", user, allowed_error="already_exists")
        if "id" not in created:
            raise CannotStart(f"this tenant already has the demo of --seed {seed}: choose another seed")
        people[role].append(created["id"])
        known[name] = created["id"]
    sources = {}
    for name, body in SOURCES.items():
        created = await client.post("/v1/sources", {"name": f"Demo {name}", "secrets": {"signing": SECRET}, **body})
        sources[name] = created["id"], f"/v1/ingest/{created['key']}"
    return Setup(people, sources)


async def submit(client: Client, setup: Setup, part: Part, advance: Advance) -> None:
    """Post every form fill, signed as its provider does, in chronological order; some are posted twice."""
    public = client.with_key("")

    async def post(lead: PlannedLead) -> None:
        body = form_fill(lead)
        for _ in range(2 if lead.twice else 1):
            await public.send("POST", setup.sources[lead.source][1], body, signed(lead, body, SECRET))
        advance(1)

    await run_concurrently(post, part.leads)


async def wait_for_leads(client: Client, setup: Setup, part: Part, advance: Advance) -> None:
    """Wait until the form fills are processed, and store the lead id of each."""
    wanted = {lead.key for lead in part.leads}
    for source_id, _ in setup.sources.values():
        cursor = ""
        while True:
            page = await client.get(f"/v1/submissions?source_id={source_id}&limit={PAGE_LIMIT}{cursor}")
            waiting = any(row["state"] == "received" for row in page["data"])
            items = [item for row in page["data"] for item in row["items"]]
            new = {one["submission_key"]: one["lead_id"] for one in items if one["lead_id"] is not None}
            advance(len((new.keys() & wanted) - setup.leads.keys()))
            setup.leads.update(new)
            if waiting:
                await asyncio.sleep(0.5)
            elif page["next"] is None:
                break
            else:
                cursor = f"&cursor={page['next']}"
    if missing := wanted - setup.leads.keys():
        raise CannotStart(f"{len(missing)} of {len(wanted)} form fills created no lead: GET /v1/submissions shows why")


async def post_activities(client: Client, setup: Setup, part: Part, kind: ActivityKind, advance: Advance) -> None:
    """Post activities of one kind, up to MAX_ACTIVITIES in a request; those of one lead are never split."""

    async def post(batch: list[dict[str, Any]]) -> None:
        await client.post("/v1/activities", {"activities": batch})
        advance(len(batch))

    activities = ([_activity(setup, lead, n, one) for n, one in part.activities(lead, kind)] for lead in part.plan)
    await run_concurrently(post, _batches(activities), concurrency=2)


def _activity(setup: Setup, lead: PlannedLead, number: int, activity: Activity) -> dict[str, Any]:
    return {
        "lead_id": setup.leads[lead.key],
        "type": activity.type,
        "kind": activity.kind,
        "occurred_at": activity.at,
        "activity_key": f"{lead.key}-{number}",
    }


def _batches(groups: Iterable[list[T]]) -> Iterator[list[T]]:
    """Batches of at most MAX_ACTIVITIES; a group is divided only if it is longer than that."""
    batch: list[T] = []
    for group in groups:
        for start in range(0, len(group), MAX_ACTIVITIES):
            part = group[start : start + MAX_ACTIVITIES]
            if batch and len(batch) + len(part) > MAX_ACTIVITIES:
                yield batch
                batch = []
            batch = batch + part
    if batch:
        yield batch


async def take_steps(client: Client, setup: Setup, part: Part, advance: Advance) -> None:
    """Take the steps: transitions, conversions, opportunity transitions, each as its user and with its date."""

    async def take_all(lead: PlannedLead) -> None:
        for n, step in part.steps(lead):
            await _take_step(client, setup, lead, step, f"{lead.key}-{n}")
            advance(1)

    await run_concurrently(take_all, [lead for lead in part.plan if part.steps(lead)])


async def _take_step(client: Client, setup: Setup, lead: PlannedLead, step: Step, key: str) -> None:
    """Take one step, and store the id of the opportunity if it makes one."""
    team = setup.people[step.who]
    actor = team[int(lead.key.rpartition("-")[2]) % len(team)]
    path, body = f"/v1/leads/{setup.leads[lead.key]}", {**step.body, "occurred_at": step.at}
    if step.kind == "opportunity":
        await client.post(f"/v1/opportunities/{setup.opportunities[lead.key]}/transitions", body, actor=actor)
    elif step.kind == "edit":
        await client.write("PATCH", f"/v1/opportunities/{setup.opportunities[lead.key]}", step.body, actor=actor)
    else:
        # The policy may have qualified the lead already, because its engagement is still high enough today.
        allowed = "already_in_stage" if step.body.get("action") == "qualify" else ""
        path += "/conversion" if step.kind == "conversion" else "/transitions"
        done = await client.post(path, body, actor=actor, idempotency_key=key, allowed_error=allowed)
        if conversion := done.get("conversion"):
            setup.opportunities[lead.key] = conversion["opportunity"]["id"]


async def set_quotas(client: Client, setup: Setup) -> None:
    """Give each AE a quota of this quarter, above what is closed and committed, and add the judgement of the head."""
    forecast = await client.get("/v1/reports/forecast")
    own = {
        (group["key"], metric["name"]): sum(Decimal(one["value"]) for one in metric["own"]["amounts"])
        for group in forecast["groups"]
        for metric in group["metrics"]
    }
    period, head = forecast["period"]["name"], setup.people["manager"][0]
    due = {ae: own.get((ae, "closed"), 0) + own.get((ae, "commit"), 0) for ae in setup.people["ae"]}
    quotas = [{"period": period, "user_id": ae, "amount": _euros(sum_of + QUOTA_ABOVE)} for ae, sum_of in due.items()]
    await client.write("PUT", "/v1/quotas", {"quotas": quotas})
    judgement = {"commit": _euros(sum(due.values()) * Decimal("0.9")), "note": "Two of the commits will slip."}
    await client.write("PUT", f"/v1/forecasts/{period}/{head}", judgement, actor=head)


def _euros(amount: Decimal | int) -> dict[str, str]:
    return {"value": f"{amount:.2f}", "currency": "EUR"}


async def count(client: Client) -> tuple[dict[str, int], dict[str, str]]:
    """The number of leads in each stage, and the id of the newest one."""
    counts: dict[str, int] = {}
    newest: dict[str, str] = {}
    cursor: str | None = ""
    while cursor is not None:
        page = await client.get(f"/v1/leads?limit={PAGE_LIMIT}" + (f"&cursor={cursor}" if cursor else ""))
        for lead in page["data"]:
            counts[lead["stage"]] = counts.get(lead["stage"], 0) + 1
            newest.setdefault(lead["stage"], lead["id"])
        cursor = page["next"]
    return counts, newest


async def run_concurrently(
    work: Callable[[T], Awaitable[None]], items: Iterable[T], concurrency: int = CONCURRENCY
) -> None:
    """Run `work` for the items, started in order, `concurrency` at a time; the first failure cancels the rest."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())
