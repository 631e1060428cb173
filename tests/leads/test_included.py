"""`include=lead`: each event has the lead as of that event, in the same bytes whenever it is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator
from sqlalchemy import text

from app.database.transaction import Tx
from app.events.envelope import envelope
from app.events.sequence import sequence
from app.events.sql import read_log
from app.journeys.refresh import refresh_due
from app.leads.included import include_leads
from tests.api import NUMBERS, Api, MovableClock
from tests.contract.contract import DOCUMENT

BANT = {name: {"status": "confirmed"} for name in ("budget", "authority", "need", "timing")}


class StandingClock(MovableClock):
    """A clock that stands still until the test moves it, so that several transactions may have one instant."""

    def __init__(self, at: datetime) -> None:
        super().__init__()
        self.at = at

    def now(self) -> datetime:
        return self.at + self.ahead


async def included(api: Api, lead: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
    """All events of a lead, each with its lead."""
    await sequence(api.app.state.engine)
    page = await api.get("/v1/events", params={"lead_id": lead["id"], "include": "lead", "limit": 1000, **params})
    return list(page["data"])


async def body_of(api: Api, event: dict[str, Any]) -> bytes:
    """The bytes of one event with its lead."""
    answer = await api.call("GET", f"/v1/events/{event['id']}", params={"include": "lead"})
    assert answer.status_code == 200, answer.text
    return answer.content


class Life:
    """A lead, what GET answered after each of its versions, and the bytes of each event when it was first read."""

    def __init__(self, api: Api, people: dict[str, str], n: int) -> None:
        self.api, self.people, self.n = api, people, n
        self.lead: dict[str, Any] = {}
        self.shown: dict[int, dict[str, Any]] = {}
        self.bodies: dict[str, bytes] = {}

    @property
    def path(self) -> str:
        return f"/v1/leads/{self.lead['id']}"

    async def begin(self) -> None:
        answer = await self.api.post(
            "/v1/leads", {"fields": {"email": f"ada{self.n}@acme{self.n}.example", "company": f"Acme {self.n}"}}
        )
        self.lead = dict(answer)
        await self.look()

    async def patch(self, fields: dict[str, Any], custom: dict[str, Any]) -> None:
        own = {name: value.replace("~", str(self.n)) for name, value in fields.items() if isinstance(value, str)}
        await self.api.call("PATCH", self.path, {"fields": {**fields, **own}, "custom": custom})

    async def arrive(self, more: dict[str, Any]) -> None:
        email = self.lead["fields"]["email"] or f"ada{self.n}@acme{self.n}.example"
        own = {name: f"{value}-{self.n}" for name, value in more.get("external_ids", {}).items()}
        fields = {"email": email, **more.get("fields", {})}
        await self.api.call("POST", "/v1/leads", {**more, "fields": fields, "external_ids": own})

    async def act(self, type_: str, kind: str, days_ago: int) -> None:
        body = {"type": type_, "kind": kind, "occurred_at": self.api.ago(days=days_ago)}
        await self.api.call("POST", f"{self.path}/activities", body)

    async def ask(self, action: str, role: str | None, reason: str | None) -> None:
        body = {"reason_code": reason, "note": "because", "bant": BANT if action in ("confirm", "hand_over") else None}
        if action == "correct":
            body["to"] = "inquiry"
        given = {name: value for name, value in body.items() if value is not None}
        headers = {"Idempotency-Key": f"{self.n}-{self.lead['version']}-{action}"}
        await self.api.ask(self.lead, action, self.people.get(role or ""), headers=headers, **given)

    async def confirm(self, role: str, criteria: list[str]) -> None:
        body = {name: {"status": "confirmed", "evidence": "said so"} for name in criteria}
        await self.api.call("PUT", f"{self.path}/bant", body, actor=self.people[role])

    async def consent(self, purpose: str, state: str) -> None:
        body = {"consents": [{"purpose": purpose, "state": state}]}
        await self.api.call("PUT", f"{self.path}/consents", body)

    async def own(self, role: str | None) -> None:
        await self.api.call("PATCH", self.path, {"owner_id": self.people.get(role or "")})

    async def convert(self, role: str) -> None:
        headers = {"Idempotency-Key": f"{self.n}-{self.lead['version']}-convert"}
        await self.api.call("POST", f"{self.path}/conversion", {}, actor=self.people[role], headers=headers)

    async def wait(self, seconds: int) -> None:
        self.api.clock.ahead += timedelta(seconds=seconds)

    async def refresh(self) -> None:
        await refresh_due(self.api.app.state.engine, self.api.clock.now)

    async def look(self) -> None:
        """What is answered now; the events that are new are read at once."""
        self.lead = await self.api.reload(self.lead)
        assert self.lead["version"] <= max(self.shown, default=0) + 1
        self.shown.setdefault(self.lead["version"], self.lead)
        for event in await included(self.api, self.lead):
            if event["id"] not in self.bodies:
                self.bodies[event["id"]] = await body_of(self.api, event)

    async def check(self) -> None:
        events = await included(self.api, self.lead)
        assert {event["id"] for event in events} == set(self.bodies)
        for event in events:
            version = event["meta"]["lead_version"]
            assert event["data"]["lead"] == self.shown[version]
            assert await body_of(self.api, event) == self.bodies[event["id"]]
            if event["type"] == "lead.updated":
                before, after = self.shown.get(version - 1), self.shown[version]
                assert event["data"]["changes"] == [
                    {"field": name, "from": before and value(before, name), "to": value(after, name)}
                    for name in event["data"]["changed"]
                ]


def value(lead: dict[str, Any], name: str) -> Any:
    if name.startswith("custom."):
        return lead["custom"].get(name.removeprefix("custom."))
    if name.startswith("bant."):
        return lead["bant"][name.removeprefix("bant.")]
    return lead["phone_status"] if name == "phone_status" else lead["fields"][name]


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "email": st.sampled_from(["ada~@acme~.example", "ada~@other~.example", "ada~@gmail.com", "no address", None]),
        "phone": st.sampled_from(["+40 21 555 0100", "+40 722 000 128", "call me", None]),
        "company": st.sampled_from(["Acme", "Acme & Łódź", None]),
        "job_title": st.sampled_from(["Director", "Intern", None]),
        "industry": st.sampled_from(["software", None]),
        "employees": st.sampled_from([1, 120, None]),
        "country": st.sampled_from(["RO", "Germany", None]),
    },
)
ANSWERS = st.dictionaries(
    st.sampled_from(["seats", "a.b", "ä"]),
    st.sampled_from([None, True, 1, 1.0, 0.1, 1e22, -0.0, "1", [1, {"b": 2, "a": None}], {"z": 1, "aa": [], "b": {}}]),
    max_size=2,
)
CONSENTS = st.sampled_from(["given", "refused", "withdrawn", "unknown"])
ARRIVALS = st.fixed_dictionaries(
    {},
    optional={
        "fields": FIELDS.map(lambda fields: {k: v for k, v in fields.items() if k != "email" and v is not None}),
        "custom": ANSWERS,
        "external_ids": st.dictionaries(st.sampled_from(["crm", "crm:eu"]), st.just("1"), max_size=1),
        "attribution": st.dictionaries(st.sampled_from(["source", "campaign"]), st.sampled_from(["x", "y"])),
        "consents": CONSENTS.map(lambda state: [{"purpose": "email_marketing", "state": state}]),
    },
)
PEOPLE = st.sampled_from(["sdr", "ae", "manager"])
ACTIONS = st.sampled_from(
    [
        ("qualify", "marketing", None),
        ("accept", "sdr", None),
        ("confirm", "ae", None),
        ("recycle", "sdr", "timing"),
        ("disqualify", "sdr", "no_budget"),
        ("disqualify", "sdr", "spam"),
        ("reopen", "manager", "other"),
        ("correct", "manager", "other"),
    ]
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("patch"), FIELDS, ANSWERS),
        st.tuples(st.just("arrive"), ARRIVALS),
        st.tuples(
            st.just("act"),
            st.sampled_from(["demo_request", "webinar", "unsubscribe", "call"]),
            st.sampled_from(["interest", "contact_attempt"]),
            st.integers(0, 70),
        ),
        ACTIONS.map(lambda action: ("ask", *action)),
        st.tuples(
            st.just("confirm"), PEOPLE, st.lists(st.sampled_from(sorted(BANT)), min_size=1, max_size=4, unique=True)
        ),
        st.tuples(st.just("consent"), st.sampled_from(["email_marketing", "phone"]), CONSENTS),
        st.tuples(st.just("own"), PEOPLE | st.none()),
        st.tuples(st.just("convert"), PEOPLE),
        st.tuples(st.just("wait"), st.sampled_from([-1, 1, 3600, 20 * 86_400, 100 * 86_400])),
        st.tuples(st.just("refresh")),
    ),
    min_size=1,
    max_size=14,
)
# A life that reaches every stage, since a random one seldom does.
WHOLE_LIFE: list[tuple[Any, ...]] = [
    ("patch", {"job_title": "Director", "industry": "software", "employees": 120}, {"seats": 1}),
    ("act", "demo_request", "interest", 0),
    ("ask", "accept", "sdr", None),
    ("ask", "recycle", "sdr", "timing"),
    ("wait", 3600),
    ("arrive", {"attribution": {"source": "x"}, "external_ids": {"crm": "1"}, "custom": {"seats": 2, "ä": "1"}}),
    ("act", "demo_request", "interest", 0),
    ("wait", 100 * 86_400),
    ("refresh",),
    ("act", "demo_request", "interest", 0),
    ("ask", "accept", "sdr", None),
    ("patch", {"email": "ada~@other~.example", "phone": "+40 21 555 0100"}, {"seats": True}),
    ("confirm", "sdr", ["need", "budget"]),
    ("ask", "confirm", "ae", None),
    ("convert", "ae"),
    ("wait", -1),
    ("arrive", {"attribution": {"campaign": "y"}, "consents": [{"purpose": "phone", "state": "given"}]}),
    ("patch", {"email": None, "company": None}, {"seats": None}),
]


async def live(api: Api, people: dict[str, str], steps: list[tuple[Any, ...]]) -> Life:
    life = Life(api, people, next(NUMBERS))
    await life.begin()
    for name, *members in steps:
        await getattr(life, name)(*members)
        await life.look()
    await life.check()
    return life


async def staff(api: Api) -> dict[str, str]:
    return {role: await api.user(role) for role in ("marketing", "sdr", "ae", "manager")}


def stand_still(api: Api) -> None:
    api.app.state.clock = api.clock = StandingClock(datetime.now(UTC) + timedelta(seconds=1))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_every_event_has_the_lead_that_was_answered_at_its_version(api: Api, data: st.DataObject) -> None:
    stand_still(api)
    people = await staff(api)
    await live(api, people, data.draw(STEPS))


async def test_a_life_through_every_stage_is_told_as_it_was(api: Api) -> None:
    stand_still(api)
    life = await live(api, await staff(api), WHOLE_LIFE)
    stages = {shown["stage"] for shown in life.shown.values()}
    assert stages == {"inquiry", "mql", "sal", "recycled", "sql", "converted"}
    assert life.shown[max(life.shown)]["links"]["opportunity_id"] is not None
    types = {event["type"] for event in await included(api, life.lead)}
    assert {"lead.converted", "lead.below_threshold", "lead.consent_changed", "opportunity.stage_changed"} <= types


@pytest.mark.parametrize("most", [1, 2, 3])
async def test_an_event_has_the_same_lead_whatever_is_read_with_it(api: Api, most: int) -> None:
    stand_still(api)
    life = await live(api, await staff(api), WHOLE_LIFE)
    events = await included(api, life.lead)
    assert len({event["meta"]["transaction"]["id"] for event in events}) < len(events)
    read, page = [], {"next": "earliest", "has_more": True}
    while page["has_more"]:
        page = await api.get(f"/v1/leads/{life.lead['id']}/events?include=lead&limit={most}&after={page['next']}")
        read += page["data"]
    assert read == events
    for type_ in {event["type"] for event in events}:
        assert await included(api, life.lead, types=type_) == [event for event in events if event["type"] == type_]


async def test_what_time_changes_is_stored_once_for_each_version_and_without_nulls(api: Api) -> None:
    await live(api, await staff(api), WHOLE_LIFE)
    async with api.app.state.engine.connect() as tx:
        rows = (await tx.execute(text("SELECT * FROM events WHERE lead_id IS NOT NULL"))).all()
    assert len(rows) > len({(row.lead_id, row.lead_version) for row in rows})
    for row in rows:
        assert (row.lead_computed is not None) == (row.tx_index == row.tx_size), row.type
        assert None not in (row.lead_computed or {}).values()


async def test_each_included_lead_is_a_lead_as_the_document_describes_it(api: Api) -> None:
    lead = await api.mql(phone="+40 21 555 0100")
    schemas = {"components": DOCUMENT["components"]}
    for event in await included(api, lead):
        name = "".join(word.capitalize() for word in event["type"].replace(".", "_").split("_"))
        validator = Draft202012Validator({"$ref": f"#/components/schemas/{name}", **schemas})
        assert list(validator.iter_errors(event["data"])) == []
        assert event["data"]["lead"]["id"] == lead["id"]


async def test_after_an_erasure_an_event_has_no_lead_and_no_values(api: Api) -> None:
    lead = await api.mql(email="anna@nordsoft.example")
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"company": "Nordsoft"}})
    kept = await included(api, await api.lead(email="ion@sudsoft.example"))
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("UPDATE leads SET erased_at = now() WHERE fields ->> 'email' = 'anna@nordsoft.example'"))
    events = await included(api, lead)
    assert [event["type"] for event in events][-1] == "lead.updated"
    for event in events:
        assert (event["data"]["lead"], event["data"]["erased"]) == (None, True)
        assert "changes" not in event["data"]
        body = await body_of(api, event)
        assert b"nordsoft" not in body.lower()
    assert all(event["data"]["lead"] and "erased" not in event["data"] for event in kept)


async def test_a_batch_is_read_in_two_statements_however_many_leads_it_has(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads = [await api.mql() for _ in range(4)]
    await included(api, leads[0])
    counted: list[int] = []
    execute = Tx.execute

    async def count(self: Tx, *arguments: Any) -> Any:
        counted[-1] += 1
        return await execute(self, *arguments)

    monkeypatch.setattr(Tx, "execute", count)
    async with api.app.state.engine.connect() as tx:
        for limit in (1, 5, 50):
            counted.append(0)
            found, _, _ = await read_log(tx, api.tenant_id, 0, limit, None, None)
            assert len({event.lead_id for event in found}) >= limit // 15
            await include_leads(tx, api.tenant_id, found)
    assert counted == [3, 3, 3], "one reads the events, two their leads"


async def test_a_change_that_is_committed_between_the_statements_is_not_in_an_event_of_before(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = await api.lead(company="Nordsoft")
    events = await included(api, lead)
    execute, left = Tx.execute, ["before the second statement", "before the first"]
    async with api.app.state.engine.connect() as tx:
        found, _, _ = await read_log(tx, api.tenant_id, 0, 50, None, None)

        async def change_between(self: Tx, *arguments: Any) -> Any:
            if self is tx and left.pop() == "before the second statement":
                answer = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"company": "Sudsoft"}})
                assert answer.status_code == 200
            return await execute(self, *arguments)

        monkeypatch.setattr(Tx, "execute", change_between)
        read = [orjson.loads(envelope(event)) for event in await include_leads(tx, api.tenant_id, found)]
    assert left == []
    assert read == events


async def test_events_of_the_first_release_have_the_lead_as_of_their_instant(api: Api) -> None:
    lead = await api.mql()
    known = await api.reload(lead)
    api.clock.ahead += timedelta(hours=1)
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"company": "Nordsoft", "employees": 1}})
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("UPDATE events SET lead_computed = NULL"))
    first, *later = await included(api, lead)
    [last] = [event for event in later if event["type"] == "lead.updated"]
    assert first["data"]["lead"]["version"] == 1
    assert first["data"]["lead"]["fields"] == known["fields"]
    assert first["data"]["lead"]["stage"] == "inquiry"
    assert last["data"]["lead"]["fields"]["company"] == "Nordsoft"
    assert "changes" not in last["data"]
    assert last["data"]["lead"]["score"] == (await api.reload(lead))["score"]


async def test_an_event_without_a_lead_stays_as_it_is(api: Api) -> None:
    account = await api.post("/v1/accounts", {"name": "Nordsoft"})
    body = {"name": "Renewal", "account_id": account["id"], "business": "existing"}
    await api.post("/v1/opportunities", body)
    await sequence(api.app.state.engine)
    plain, with_lead = [await api.get("/v1/events", params=params) for params in ({}, {"include": "lead"})]
    assert plain["data"] == with_lead["data"] != []


async def test_the_events_of_one_lead_take_include_too_and_refuse_anything_else(api: Api) -> None:
    lead = await api.mql()
    events = await included(api, lead)
    path = f"/v1/leads/{lead['id']}/events"
    assert (await api.get(path, params={"include": "lead", "limit": 200}))["data"] == events
    assert all("lead" not in event["data"] for event in (await api.get(path))["data"])
    for refused in (path, "/v1/events", f"/v1/events/{events[0]['id']}"):
        for value in ("leads", "", "lead,lead"):
            answer = await api.call("GET", refused, params={"include": value})
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "include"), (refused, value)
