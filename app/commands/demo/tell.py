"""Telling the stories to a service: forms, activities, people's steps. Each lead in order, many side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from app.commands.demo.doors import Doors
from app.commands.demo.forms import SOURCES, form_fill, signed
from app.commands.demo.plan import Activity, ActivityKind, Step, Story, Who
from app.settings import CannotStart

T = TypeVar("T")
Advance = Callable[[int], None]

SIDE_BY_SIDE: Final = 24
MOST_ACTIVITIES: Final = 500
MOST_ROWS: Final = 200
SECRET: Final = "demo-signing-secret"  # noqa: S105 - of invented forms
TEAM: Final[tuple[tuple[Who, str], ...]] = (
    ("marketing", "Mira Lang"),
    ("marketing", "Tudor Pop"),
    ("sdr", "Sofia Dumitru"),
    ("sdr", "Jonas Berg"),
    ("sdr", "Leila Haddad"),
    ("sdr", "Carlos Reyes"),
    ("ae", "Andrei Ene"),
    ("ae", "Petra Vogel"),
    ("ae", "Nia Okafor"),
    ("manager", "Helga Brandt"),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the stories play: the people by role, the sources by name as (id, address)."""

    people: dict[Who, list[str]]
    sources: dict[str, tuple[str, str]]
    leads: dict[str, str] = field(default_factory=dict)  # story key → lead_id


async def prepare(doors: Doors, seed: int) -> Stage:
    """The company's people and its three sources."""
    people: dict[Who, list[str]] = {"marketing": [], "sdr": [], "ae": [], "manager": []}
    for role, name in TEAM:
        address = f"{name.lower().replace(' ', '.')}.{seed}@demo.example"
        made = await doors.post("/v1/users", {"name": name, "email": address, "role": role}, passing="already_exists")
        if "id" not in made:
            raise CannotStart(f"this tenant has the demo with --seed {seed} already: choose another seed")
        people[role].append(made["id"])
    sources = {}
    for name, body in SOURCES.items():
        made = await doors.post("/v1/sources", {"name": f"Demo {name}", "secrets": {"signing": SECRET}, **body})
        sources[name] = made["id"], f"/v1/ingest/{made['key']}"
    return Stage(people, sources)


async def submit(doors: Doors, stage: Stage, stories: Sequence[Story], advance: Advance) -> None:
    """Every form fill, signed as its provider signs, in the order in which they came; some are delivered twice."""
    public = doors.of("")

    async def post(story: Story) -> None:
        body = form_fill(story)
        for _ in range(2 if story.twice else 1):
            await public.send("POST", stage.sources[story.source][1], body, signed(story, body, SECRET))
        advance(1)

    await together(post, stories)


async def find(doors: Doors, stage: Stage, stories: Sequence[Story], advance: Advance) -> None:
    """Waits until the forms are processed, and learns which lead each of them made."""
    wanted = {story.key for story in stories}
    for source_id, _ in stage.sources.values():
        cursor = ""
        while True:
            page = await doors.get(f"/v1/submissions?source_id={source_id}&limit={MOST_ROWS}{cursor}")
            waiting = any(row["state"] == "received" for row in page["data"])
            items = [item for row in page["data"] for item in row["items"]]
            new = {one["submission_key"]: one["lead_id"] for one in items if one["lead_id"] is not None}
            advance(len((new.keys() & wanted) - stage.leads.keys()))
            stage.leads.update(new)
            if waiting:
                await asyncio.sleep(0.5)
            elif page["next"] is None:
                break
            else:
                cursor = f"&cursor={page['next']}"
    if missing := wanted - stage.leads.keys():
        raise CannotStart(f"{len(missing)} of {len(wanted)} forms made no lead: see GET /v1/submissions")


async def act(doors: Doors, stage: Stage, stories: Sequence[Story], kind: ActivityKind, advance: Advance) -> None:
    """Activities of one kind, five hundred at once; those of one lead stay together."""

    async def post(batch: list[dict[str, Any]]) -> None:
        await doors.post("/v1/activities", {"activities": batch})
        advance(len(batch))

    told = (
        [_activity(stage, story, n, one) for n, one in enumerate(story.activities) if one.kind == kind]
        for story in stories
    )
    await together(post, _batches(told), side_by_side=2)


def _activity(stage: Stage, story: Story, number: int, activity: Activity) -> dict[str, Any]:
    return {
        "lead_id": stage.leads[story.key],
        "type": activity.type,
        "kind": activity.kind,
        "occurred_at": activity.at,
        "activity_key": f"{story.key}-{number}",
    }


def _batches(groups: Iterable[list[T]]) -> Iterator[list[T]]:
    batch: list[T] = []
    for group in groups:
        if len(batch) + len(group) > MOST_ACTIVITIES:
            yield batch
            batch = []
        batch = batch + group
    if batch:
        yield batch


async def walk(doors: Doors, stage: Stage, stories: Sequence[Story], advance: Advance) -> None:
    """What people did: transitions, conversions, deals; each under its name, at its time."""

    async def live(story: Story) -> None:
        deal = ""
        for n, step in enumerate(story.steps):
            deal = await _take(doors, stage, story, step, deal, f"{story.key}-{n}") or deal
            advance(1)

    await together(live, [story for story in stories if story.steps])


async def _take(doors: Doors, stage: Stage, story: Story, step: Step, deal: str, once: str) -> str:
    """One step; the id of the opportunity that it made, if it made one."""
    team = stage.people[step.who]
    actor = team[int(story.key.rpartition("-")[2]) % len(team)]
    body = {**step.body, "occurred_at": step.at}
    lead = f"/v1/leads/{stage.leads[story.key]}"
    if step.kind == "conversion":
        made = await doors.post(f"{lead}/conversion", body, actor=actor, once=once)
        return str(made["conversion"]["opportunity"]["id"])
    if step.kind == "opportunity":
        await doors.post(f"/v1/opportunities/{deal}/transitions", body, actor=actor)
        return ""
    # Where the interest is fresh enough even now, the policy was faster than marketing.
    passing = "already_in_stage" if step.body["action"] == "qualify" else ""
    await doors.post(f"{lead}/transitions", body, actor=actor, passing=passing)
    return ""


async def count(doors: Doors) -> tuple[dict[str, int], dict[str, str]]:
    """How many leads stand in each stage, and the newest lead of each."""
    counts: dict[str, int] = {}
    newest: dict[str, str] = {}
    cursor: str | None = ""
    while cursor is not None:
        page = await doors.get(f"/v1/leads?limit={MOST_ROWS}" + (f"&cursor={cursor}" if cursor else ""))
        for lead in page["data"]:
            counts[lead["stage"]] = counts.get(lead["stage"], 0) + 1
            newest.setdefault(lead["stage"], lead["id"])
        cursor = page["next"]
    return counts, newest


async def together(work: Callable[[T], Awaitable[None]], items: Iterable[T], side_by_side: int = SIDE_BY_SIDE) -> None:
    """The work of every item, begun in their order, so many at once; the first that fails ends it all."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(side_by_side):
            group.create_task(worker())
