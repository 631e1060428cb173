"""After an unmerge each person has what came through their own identities, as if the merge had never been."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from sqlalchemy import text

from tests.api import Api
from tests.merging.steps import Lead, faults, merged, unmerged
from tests.submissions.sender import Sender, make_sender

MARKETING = "email_marketing"


class Pair:
    """Two people with leads of their own; forms, requests and activities come through their addresses."""

    def __init__(self, api: Api, sender: Sender, opt_in: Sender, name: str) -> None:
        self.api, self.sender, self.opt_in, self.name = api, sender, opt_in, name
        self.leads: list[Lead] = []
        self.links: dict[int, str] = {}

    def email(self, who: int) -> str:
        return f"{'ab'[who]}-{self.name}@nordsoft.example"

    async def begin(self) -> None:
        for who in (0, 1):
            self.leads.append(await self.api.lead(email=self.email(who), full_name=f"{['Ana', 'Ion'][who]} Pop"))

    async def form(self, who: int, n: int, **said: Any) -> None:
        body = {"email": self.email(who), "id": f"{self.name}-{n}", **said}
        await self.sender.post_and_process(body)

    async def step(self, kind: str, who: int, n: int) -> None:
        email, api = self.email(who), self.api
        match kind:
            case "form":
                await self.form(who, n, utm_source=f"s{n}", message=f"form {n}")
            case "a form twice":
                await self.form(who, n, utm_source=f"s{n}")
                await self.form(who, n, utm_source=f"s{n}")
            case "revision":
                await self.form(who, n, utm_source=f"s{n}")
                await self.form(who, n, utm_source=f"s{n}", email_marketing="no", city=f"City {n}")
            case "given" | "refused":
                await self.form(who, n, email_marketing="yes" if kind == "given" else "no")
            case "field":
                await self.form(who, n, company=f"Company {n}", question=f"answer {n}")
            case "identity":
                await self.form(who, n, external_ids={"crm": f"{self.name}-{n}"}, phone=f"+4072200{1000 + n}")
            case "request":
                said = [{"purpose": "phone", "state": random.Random(n).choice(("given", "refused"))}]
                body = {"fields": {"email": email, "industry": f"i{n}"}, "consents": said, "custom": {"seats": n}}
                await api.post("/v1/leads", body, status=200)
            case "activity":
                one = {"email": email, "type": "webinar", "activity_key": f"act-{n}"}
                await api.post("/v1/activities", {"activities": [one]})
            case "asked":
                body = {"email": email, "id": f"{self.name}-{n}", "newsletter": "yes"}
                await self.opt_in.post_and_process(body)
                self.links[who] = await newest_link(api)
            case "confirmed":
                if who not in self.links:
                    await self.step("asked", who, n)
                assert (await api.client.get(self.links[who])).status_code == 200

    async def shown(self, who: int) -> dict[str, Any]:
        """What the lead has, without ids, times, and the name of the pair."""
        path = f"/v1/leads/{self.leads[who]['id']}"
        lead = await self.api.get(path)
        assert lead["id"] == self.leads[who]["id"]
        log = (await self.api.get(f"{path}/consents"))["log"]
        listed = (await self.api.get("/v1/submissions", params={"lead_id": lead["id"], "limit": 200}))["data"]
        fields = lead["fields"] | {"phone": None}
        found = {
            "fields": fields,
            "custom": lead["custom"],
            "consents": lead["consents"],
            "log": sorted((one["purpose"], one["state"]) for one in log),
            "attribution": lead["attribution"],
            "identities": sorted((one["kind"], one["value"]) for one in lead["identities"]),
            "activities": sorted(
                one["activity_key"]
                for one in (await self.api.get(f"{path}/activities?limit=200"))["data"]
                if one["activity_key"].startswith(("act-", self.name))
            ),
            "submissions": sorted(item["verdict"] for one in listed for item in one["items"]),
            "score": lead["score"]["engagement"],
            "journeys": len((await self.api.get(f"{path}/journeys"))["data"]),
        }
        return dict(json.loads(json.dumps(found).replace(self.name, "PAIR")))


async def newest_link(api: Api) -> str:
    newest = "WHERE type = 'lead.consent_requested' ORDER BY seq DESC LIMIT 1"
    query = f"SELECT data::jsonb ->> 'confirm_url' FROM events {newest}"
    async with api.app.state.engine.connect() as tx:
        return str((await tx.execute(text(query))).scalar_one())


KINDS = ("form", "a form twice", "revision", "given", "refused", "field", "identity", "request", "activity")
# A person is asked at most once an hour, also where that was the other one; so these come alone.
ALONE = ("asked", "confirmed")


async def two_pairs(api: Api) -> tuple[Pair, Pair]:
    sender = await make_sender(api)
    rule = {"double_opt_in": {"purposes": [MARKETING], "valid_hours": 24, "ask": "given"}}
    opt_in = await make_sender(api, defaults=rule)
    pairs = Pair(api, sender, opt_in, "pone"), Pair(api, sender, opt_in, "ptwo")
    for pair in pairs:
        await pair.begin()
    return pairs


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_came_before_and_after_the_merge_is_where_it_would_be_without_it(api: Api, seed: int) -> None:
    chance, manager = random.Random(seed), await api.user("manager")
    pairs = await two_pairs(api)
    into = chance.choice((0, 1))
    n = 0
    for phase in ("before", "merged", "after"):
        if phase == "merged":
            await merged(api, pairs[0].leads[1 - into], pairs[0].leads[into], manager)
        if phase == "after":
            await unmerged(api, pairs[0].leads[1 - into], manager)
        for _ in range({"before": 4, "merged": 12, "after": 3}[phase]):
            n += 1
            kind, who = chance.choice(KINDS), chance.choice((0, 1))
            for pair in pairs:
                await pair.step(kind, who, n)
    for who in (0, 1):
        assert await pairs[0].shown(who) == await pairs[1].shown(who), (seed, who)
    assert await faults(api) == []


@pytest.mark.parametrize("kind", [*KINDS, *ALONE])
@pytest.mark.parametrize("of_merged", [True, False], ids=["of the merged", "of the other"])
async def test_what_came_while_they_were_merged_goes_to_whom_it_came_through(
    api: Api, kind: str, of_merged: bool
) -> None:
    manager = await api.user("manager")
    pairs = await two_pairs(api)
    await merged(api, pairs[0].leads[1], pairs[0].leads[0], manager)
    for pair in pairs:
        await pair.step(kind, int(of_merged), 7)
    await unmerged(api, pairs[0].leads[1], manager)
    for who in (0, 1):
        assert await pairs[0].shown(who) == await pairs[1].shown(who), who
    assert await faults(api) == []


@pytest.mark.parametrize("state", ["refused", "withdrawn", "given"])
async def test_a_refusal_of_which_nobody_knows_whose_it_is_is_both_s(api: Api, state: str) -> None:
    manager = await api.user("manager")
    kept, gone, third = [await api.lead(email=f"p{n}@nordsoft.example") for n in range(3)]
    await merged(api, gone, kept, manager)
    await merged(api, kept, third, manager)
    said = {"consents": [{"purpose": MARKETING, "state": state}]}
    assert (await api.call("PUT", f"/v1/leads/{third['id']}/consents", said)).status_code == 200
    await unmerged(api, kept, manager)
    await unmerged(api, gone, manager)
    shown = [(await api.reload(one))["consents"].get(MARKETING, "unknown") for one in (third, kept, gone)]
    assert shown == [state] * (1 if state == "given" else 3) + ["unknown"] * (2 if state == "given" else 0)


async def test_what_came_through_the_first_of_a_chain_of_merges_goes_back_all_the_way(api: Api) -> None:
    manager, sender = await api.user("manager"), await make_sender(api)
    leads = [await api.lead(email=f"p{n}@nordsoft.example") for n in range(3)]
    await merged(api, leads[0], leads[1], manager)
    await merged(api, leads[1], leads[2], manager)
    body = {"email": "p0@nordsoft.example", "email_marketing": "no", "company": "First", "id": "x1"}
    await sender.post_and_process(body)
    assert (await api.reload(leads[2]))["consents"][MARKETING] == "refused"
    await unmerged(api, leads[1], manager)
    await unmerged(api, leads[0], manager)
    after = [await api.reload(lead) for lead in leads]
    assert [lead["consents"].get(MARKETING, "unknown") for lead in after] == ["refused", "unknown", "unknown"]
    assert [lead["fields"].get("company") == "First" for lead in after] == [True, False, False]


async def test_a_link_that_was_mailed_before_the_merge_confirms_for_the_one_whom_it_was_mailed_to(api: Api) -> None:
    manager = await api.user("manager")
    pair, _ = await two_pairs(api)
    await pair.step("asked", 1, 1)
    await merged(api, pair.leads[1], pair.leads[0], manager)
    await pair.step("confirmed", 1, 2)
    assert (await api.reload(pair.leads[0]))["consents"][MARKETING] == "given"
    await unmerged(api, pair.leads[1], manager)
    assert [(await api.reload(lead))["consents"].get(MARKETING, "unknown") for lead in pair.leads] == [
        "unknown",
        "given",
    ]


ANSWERS = {"yes": "given", "no": "refused", "perhaps": "unknown"}


async def answer(sender: Sender, n: int, said: str) -> None:
    """Sends a form of the person with an answer; the form asks for another purpose too."""
    await sender.post_and_process({"email": f"p{n}@nordsoft.example", MARKETING: said})


@pytest.mark.parametrize("late", ["yes", "no", "perhaps"])
@pytest.mark.parametrize("early", [None, "yes", "no", "perhaps"])
@pytest.mark.parametrize("of_merged", [True, False], ids=["of the merged", "of the other"])
async def test_a_purpose_is_after_an_unmerge_known_only_of_those_who_were_asked(
    api: Api, early: str | None, late: str, of_merged: bool
) -> None:
    """`early`: what the other person than the one who answers late had answered before the merge."""
    manager, sender = await api.user("manager"), await make_sender(api)
    kept, gone = [await api.lead(email=f"p{n}@nordsoft.example") for n in range(2)]
    who, other = (gone, kept) if of_merged else (kept, gone)
    if early is not None:
        await answer(sender, int(not of_merged), early)
    await merged(api, gone, kept, manager)
    await answer(sender, int(of_merged), late)
    await unmerged(api, gone, manager)
    expected = [{} if said is None else {MARKETING: ANSWERS[said], "process": "unknown"} for said in (late, early)]
    assert [(await api.reload(lead))["consents"] for lead in (who, other)] == expected
    assert await faults(api) == []


async def test_an_unmerge_takes_back_the_open_questions_that_the_merge_had_brought(api: Api) -> None:
    manager, leads = await api.user("manager"), []
    for n, purposes in enumerate(([MARKETING], ["sms_marketing"], [])):
        consents = [{"purpose": purpose, "state": "unknown"} for purpose in purposes]
        leads.append(await api.post("/v1/leads", {"fields": {"email": f"p{n}@nordsoft.example"}, "consents": consents}))
    await merged(api, leads[0], leads[2], manager)
    await merged(api, leads[1], leads[2], manager)
    assert (await api.reload(leads[2]))["consents"] == {MARKETING: "unknown", "sms_marketing": "unknown"}
    for lead in leads[:2]:
        await unmerged(api, lead, manager)
    shown = [(await api.reload(lead))["consents"] for lead in leads]
    assert shown == [{MARKETING: "unknown"}, {"sms_marketing": "unknown"}, {}]
