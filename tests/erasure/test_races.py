"""An erasure at the same time as something else about the person: both end, and nothing that names the person stays."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.retention.run import run_due
from tests.api import Api
from tests.conversion.steps import BANT, convert, converted, moved, mql
from tests.erasure.people import REASON, finish, where
from tests.merging.steps import faults, merged
from tests.submissions.sender import Sender, make_sender, process

ROUNDS = 2


@dataclass
class Scene:
    """One person who is to be erased, somebody else, and who works on them."""

    api: Api
    sender: Sender
    n: int
    manager: str
    ae: str
    lead: dict[str, Any]
    twin: dict[str, Any]
    contact: str = ""
    deal: str = ""

    @property
    def name(self) -> str:
        return f"Quarzby{self.n}q"

    @property
    def email(self) -> str:
        return f"zq{self.n}@quarz{self.n}.example"

    @property
    def fields(self) -> dict[str, Any]:
        return {"email": self.email, "full_name": f"Zoltan {self.name}", "phone": f"+40721557{self.n:03}"}

    @property
    def needles(self) -> list[str]:
        return [self.name, f"zq{self.n}@", f"721557{self.n:03}"]

    @property
    def path(self) -> str:
        return f"/v1/leads/{self.lead['id']}"

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return await self.api.call(method, path, body, actor=self.manager, **options)


Rival = Callable[[Scene], Awaitable[Any]]


async def form(on: Scene) -> None:
    await on.sender.post({**on.fields, "message": f"I am {on.name}"})
    await process(on.api)


async def processed_later(on: Scene) -> None:
    """A form that was accepted before the erasure and is processed beside it."""
    await process(on.api)


async def post_lead(on: Scene) -> httpx.Response:
    return await on.ask("POST", "/v1/leads", {"fields": on.fields}, headers={"Idempotency-Key": f"again-{on.email}"})


async def activity(on: Scene) -> httpx.Response:
    body = {"type": "webinar", "email": on.email, "activity_key": on.email, "properties": {"of": on.name}}
    return await on.ask("POST", "/v1/activities", {"activities": [body]})


async def patch(on: Scene) -> httpx.Response:
    return await on.ask("PATCH", on.path, {"fields": {"last_name": on.name, "message": on.name}})


async def patch_contact(on: Scene) -> httpx.Response:
    return await on.ask("PATCH", f"/v1/contacts/{on.contact}", {"last_name": on.name})


async def patch_deal(on: Scene) -> httpx.Response:
    return await on.ask("PATCH", f"/v1/opportunities/{on.deal}", {"name": "Deal of theirs"})


async def advance_deal(on: Scene) -> httpx.Response:
    body = {"action": "advance", "to": "proposal", "note": "sent to them"}
    return await on.ask("POST", f"/v1/opportunities/{on.deal}/transitions", body)


async def transition(on: Scene) -> httpx.Response:
    return await on.api.ask(on.lead, "recycle", on.manager, note=f"{on.name} has no time", reason_code="timing")


async def conversion(on: Scene) -> httpx.Response:
    return await convert(on.api, on.lead, on.ae, {"opportunity": {"name": f"Deal with {on.name}"}})


async def revert(on: Scene) -> httpx.Response:
    return await on.ask("POST", f"{on.path}/conversion/revert", {"reason_code": "mistake"})


async def merge_in(on: Scene) -> httpx.Response:
    return await on.ask("POST", f"/v1/leads/{on.twin['id']}/merge", {"into": on.lead["id"]})


async def merge_away(on: Scene) -> httpx.Response:
    return await on.ask("POST", f"{on.path}/merge", {"into": on.twin["id"]})


async def unmerge(on: Scene) -> httpx.Response:
    return await on.ask("POST", f"/v1/leads/{on.twin['id']}/unmerge")


async def erase_again(on: Scene) -> httpx.Response:
    return await on.ask("POST", f"{on.path}/erasure", REASON)


async def export(on: Scene) -> httpx.Response:
    return await on.ask("GET", f"{on.path}/export")


async def export_identity(on: Scene) -> httpx.Response:
    return await on.ask("POST", "/v1/exports", {"identity": {"email": on.email}})


async def consent(on: Scene) -> httpx.Response:
    said = [{"purpose": "email_marketing", "state": "given", "text": f"I, {on.name}, agree"}]
    return await on.ask("PUT", f"{on.path}/consents", {"consents": said})


async def retention(on: Scene) -> None:
    while await run_due(on.api.app.state.engine, on.api.now + timedelta(days=100)):
        pass


OF_A_CONVERTED = {patch_contact, patch_deal, advance_deal, revert}
RIVALS: list[Rival] = [
    *(form, processed_later, post_lead, activity, patch, transition, conversion, consent),
    *(merge_in, merge_away, unmerge, erase_again, export, export_identity, retention),
    *(patch_contact, patch_deal, advance_deal, revert),
]


async def scene(api: Api, sender: Sender, n: int, rival: Rival, people: dict[str, str]) -> Scene:
    """The person with what the rival needs: a lead in stage sql, a merge, or a conversion."""
    made = Scene(api, sender, n, people["manager"], people["ae"], {}, {})
    made.lead = await mql(api, **made.fields)
    made.twin = await api.lead(email=f"twin{n}@other{n}.example", full_name="Grace Hopper")
    if rival is unmerge:
        await merged(api, made.twin, made.lead, made.manager)
    if rival is conversion or rival in OF_A_CONVERTED:
        await moved(api, made.lead, "accept", made.manager)
        await moved(api, made.lead, "confirm", made.ae, bant=BANT)
    if rival in OF_A_CONVERTED:
        order = {"opportunity": {"name": f"Deal with {made.name}"}, "account": {"mode": "create"}}
        done = await converted(api, made.lead, made.ae, order)
        made.contact, made.deal = done["contact"]["id"], done["opportunity"]["id"]
    if rival is processed_later:
        assert (await sender.post({**made.fields, "message": f"I am {made.name}"})).status_code == 202
    return made


@pytest.mark.parametrize("rival", RIVALS, ids=lambda one: one.__name__)
async def test_an_erasure_beside_anything_else_leaves_nothing_of_the_person(api: Api, rival: Rival) -> None:
    people = {role: await api.user(role) for role in ("manager", "ae")}
    sender = await make_sender(api)
    alone, *scenes = [await scene(api, sender, n, rival, people) for n in range(1 + ROUNDS)]
    told = await rival(alone)
    assert told is None or told.status_code < 300, f"it is possible where nobody is erased: {told.text}"
    assert (await erase_again(alone)).status_code == 202
    for n, on in enumerate(scenes):
        api.clock.ahead += timedelta(seconds=5)
        both = [erase_again(on), rival(on)]
        first, second = await asyncio.gather(*(both if n % 2 else reversed(both)))
        erased, told = (first, second) if n % 2 else (second, first)
        assert erased.status_code == 202, erased.text
        assert told is None or told.status_code < 500, told.text
        for lead in (on.lead, *([on.twin] if on.twin["id"] in erased.json()["lead_ids"] else [])):
            assert (await api.call("GET", f"/v1/leads/{lead['id']}")).status_code == 410
    await process(api)
    await finish(api)
    assert await where(api, [needle for on in (alone, *scenes) for needle in on.needles]) == []
    assert await faults(api) == []
