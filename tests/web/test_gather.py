"""Requests of one verb that arrive together share a transaction, and nobody notices (docs/decisions/0031)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import Response
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from app.database import transaction
from app.database.transaction import Tx
from app.events.sequence import sequence
from app.ids import new_id
from app.policy.facts import Actor
from app.settings import Settings
from app.web.auth import Caller
from app.web.gather import MAX_BATCH, SLOW_FLIGHT_SECONDS, WORTH_SHARING, Member, Queue, Verb, Waiting
from tests.api import Api, running
from tests.conversion.steps import convert, sql_lead
from tests.waiting import until


class Commits:
    """Counts commits, and holds those that follow until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = self.done = 0
        self.open = asyncio.Event()
        self.open.set()
        self.commit = transaction._commit
        monkeypatch.setattr(transaction, "_commit", self)

    async def __call__(self, tx: Tx) -> None:
        self.begun += 1
        await self.open.wait()
        await self.commit(tx)
        self.done += 1

    @contextmanager
    def held(self) -> Iterator[None]:
        self.open.clear()
        try:
            yield
        finally:
            self.open.set()


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Commits:
    return Commits(monkeypatch)


def waiting_requests(api: Api, verb: str) -> int:
    return sum(len(queue.waiting) for (name, _), queue in api.app.state.gatherer._queues.items() if name == verb)


async def together(
    api: Api, commits: Commits, verb: str, first: Awaitable[Any], calls: Sequence[Callable[[], Awaitable[Any]]]
) -> list[Any]:
    """Sends the calls while the commit of `first`, a request of the same verb, is held: they form the next batch."""
    with commits.held():
        begun = commits.begun
        flying = asyncio.ensure_future(first)
        await until(lambda: commits.begun == begun + 1, "the first request is at its commit")
        sent = []
        for n, call in enumerate(calls, 1):
            sent.append(asyncio.ensure_future(call()))
            await until(lambda n=n: waiting_requests(api, verb) == n, "the request waits")  # type: ignore[misc]
    await flying
    return list(await asyncio.gather(*sent))


def act(api: Api, lead: dict[str, Any], key: str, **members: Any) -> Awaitable[httpx.Response]:
    headers = {"Idempotency-Key": members.pop("idempotency")} if "idempotency" in members else None
    body = {"type": "page_view", "activity_key": key, **members}
    return api.call("POST", f"/v1/leads/{lead['id']}/activities", body, headers=headers)


async def test_requests_that_arrive_during_a_flight_share_the_next_transaction(api: Api, commits: Commits) -> None:
    leads = [await api.lead() for _ in range(6)]
    before = commits.done
    calls = [lambda lead=lead: act(api, lead, "k") for lead in leads[1:]]
    answers = await together(api, commits, "record_activity", act(api, leads[0], "k"), calls)
    assert [answer.status_code for answer in answers] == [201] * 5
    assert [answer.json()["lead_id"] for answer in answers] == [lead["id"] for lead in leads[1:]]
    assert commits.done == before + 2


async def test_requests_about_one_lead_follow_each_other_in_order_of_arrival(api: Api, commits: Commits) -> None:
    first, lead = await api.lead(), await api.lead()
    before = commits.done
    calls = [lambda n=n: act(api, lead, f"k{n}") for n in range(4)]
    answers = await together(api, commits, "record_activity", act(api, first, "k"), calls)
    assert [answer.status_code for answer in answers] == [201] * 4
    assert commits.done == before + 5
    log = (await api.get(f"/v1/leads/{lead['id']}/activities"))["data"]
    assert [one["activity_key"] for one in reversed(log) if one["type"] == "page_view"] == [f"k{n}" for n in range(4)]


async def test_a_refusal_and_a_fault_of_the_database_touch_only_their_own_request(api: Api, commits: Commits) -> None:
    leads = [await api.lead() for _ in range(5)]
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("ALTER TABLE activities ADD CONSTRAINT no_curse CHECK (type <> 'curse')"))
    unknown = {"id": "lead_01h455vb4pex5vsknk084sn02q"}
    calls: list[Callable[[], Awaitable[httpx.Response]]] = [
        lambda: act(api, leads[1], "a"),
        lambda: act(api, unknown, "b"),
        lambda: act(api, leads[2], "c", type="curse"),
        lambda: act(api, leads[3], "d", occurred_at=api.ago(hours=-3)),
        lambda: act(api, leads[4], "e"),
    ]
    answers = await together(api, commits, "record_activity", act(api, leads[0], "z"), calls)
    assert [answer.status_code for answer in answers] == [201, 404, 500, 422, 201]
    seen = [(await api.get(f"/v1/leads/{lead['id']}/activities"))["data"] for lead in leads]
    assert [any(one["type"] == "page_view" for one in log) for log in seen] == [True, True, False, False, True]


async def test_a_key_that_is_repeated_among_waiting_requests_works_once(api: Api, commits: Commits) -> None:
    first, lead, other = [await api.lead() for _ in range(3)]
    calls: list[Callable[[], Awaitable[httpx.Response]]] = [
        lambda: act(api, lead, "a", idempotency="same"),
        lambda: act(api, lead, "a", idempotency="same"),
        lambda: act(api, other, "b", idempotency="same"),
    ]
    one, again, different = await together(api, commits, "record_activity", act(api, first, "z"), calls)
    assert (one.status_code, again.status_code, again.headers["idempotency-replayed"]) == (201, 201, "true")
    assert again.content == one.content
    assert (different.status_code, different.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_caller_that_gives_up_while_it_waits_leaves_no_trace_and_holds_nobody(
    api: Api, commits: Commits
) -> None:
    first, gone, lead = [await api.lead() for _ in range(3)]
    with commits.held():
        begun = commits.begun
        flying = asyncio.ensure_future(act(api, first, "z"))
        await until(lambda: commits.begun == begun + 1)
        leaving = asyncio.ensure_future(act(api, gone, "a"))
        staying = asyncio.ensure_future(act(api, lead, "b"))
        await until(lambda: waiting_requests(api, "record_activity") == 2)
        leaving.cancel()
        await asyncio.wait([leaving])
    assert [(await flying).status_code, (await staying).status_code] == [201, 201]
    log = (await api.get(f"/v1/leads/{gone['id']}/activities"))["data"]
    assert "page_view" not in [one["type"] for one in log]


async def test_what_is_in_flight_is_done_although_its_caller_gives_up(api: Api, commits: Commits) -> None:
    lead = await api.lead()
    with commits.held():
        begun, done = commits.begun, commits.done
        leaving = asyncio.ensure_future(act(api, lead, "a", idempotency="mine"))
        await until(lambda: commits.begun == begun + 1)
        leaving.cancel()
        await asyncio.wait([leaving])
    await until(lambda: commits.done == done + 1)
    again = await act(api, lead, "a", idempotency="mine")
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")


async def test_the_flight_of_one_tenant_does_not_hold_the_requests_of_another(api: Api, commits: Commits) -> None:
    lead = await api.lead()
    made = await api.post("/v1/tenants", {"name": "other", "policy": "waterfall"})
    begun = commits.begun
    commits.open.clear()
    flying = [asyncio.ensure_future(act(api, lead, f"k{n}")) for n in range(5)]
    await until(lambda: commits.begun == begun + 1, "the first request is at its commit")
    await until(lambda: waiting_requests(api, "record_activity") == 4)
    other = asyncio.ensure_future(
        api.call("POST", "/v1/leads", {"fields": {"email": "b@b.example"}}, key=made["key"]["secret"])
    )
    await until(lambda: commits.begun == begun + 2, "the request of the other tenant is at its commit")
    commits.open.set()
    assert (await other).status_code == 201
    assert {(await one).status_code for one in flying} == {201}


async def test_one_person_typed_in_two_ways_in_one_batch_is_one_lead(api: Api, commits: Commits) -> None:
    """The edge compares what was typed, the verb what it reads: the second request goes into a later batch."""

    def create(email: str) -> Callable[[], Awaitable[httpx.Response]]:
        fields = {"email": email, "first_name": "Ana", "last_name": "Pop"}
        return lambda: api.call("POST", "/v1/leads", {"fields": fields})

    calls = [create("ana@nordsoft.ro"), create("b@b.example"), create("<ana@nordsoft.ro>"), create("Ana@Nordsoft.ro")]
    one, other, again, third = await together(api, commits, "create_lead", create("z@z.example")(), calls)
    assert [answer.status_code for answer in (one, other, again, third)] == [201, 201, 200, 200]
    assert one.json()["id"] == again.json()["id"] == third.json()["id"] != other.json()["id"]
    assert [answer.json()["version"] for answer in (one, again, third)] == [1, 2, 3]


async def test_two_people_of_one_company_converted_together_share_the_account(api: Api, commits: Commits) -> None:
    ae = await api.user("ae")
    leads = [await sql_lead(api, ae, company=f"Acme {n // 3}", email=f"p{n}@acme-{n // 3}.example") for n in range(6)]
    calls = [lambda lead=lead: convert(api, lead, ae) for lead in leads[1:]]
    answers = await together(api, commits, "convert", convert(api, leads[0], ae), calls)
    assert [answer.status_code for answer in answers] == [201] * 5, answers[0].text
    accounts = [answer.json()["conversion"]["account"] for answer in answers]
    assert [one["outcome"] for one in accounts] == ["linked", "linked", "created", "linked", "linked"]
    assert len({one["id"] for one in accounts}) == 2
    async with api.app.state.engine.connect() as tx:
        counts = await tx.execute(
            text("SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM contacts), count(*) FROM opportunities")
        )
        assert list(counts.one()) == [2, 6, 6]


PLAIN = ("stage", "version", "fields", "custom", "consents", "flags")


async def photograph(api: Api, key: str, lead_id: str) -> dict[str, Any]:
    """Everything of a lead but ids and instants."""
    path = f"/v1/leads/{lead_id}"
    lead = await api.get(path, key=key)
    acts = (await api.get(f"{path}/activities?limit=200", key=key))["data"]
    steps = (await api.get(f"{path}/transitions", key=key))["data"]
    events = (await api.get(f"{path}/events?limit=200", key=key))["data"]
    return {
        **{name: lead[name] for name in PLAIN if name in lead},
        "score": lead["score"],
        "activities": [
            (one["type"], one["activity_key"]) for one in acts if len(one["activity_key"]) < 9
        ],  # named ones
        "steps": [(one["seq"], one["from"], one["to"], one["action"], one["reason_code"]) for one in steps],
        "events": [(one["type"], one["meta"]["lead_version"]) for one in events],
    }


async def test_two_hundred_parallel_requests_leave_what_they_leave_one_after_the_other(settings: Settings) -> None:
    """Twenty leads, ten requests each: creates of one person, activities, or moves, some of them refused."""

    async def life(api: Api, key: str, *, parallel: bool) -> tuple[list[int], list[dict[str, Any]]]:
        user = (await api.post("/v1/users", {"name": "Sam", "email": "s@s.example", "role": "sdr"}, key=key))["id"]
        fields = {"job_title": "Director", "employees": 120, "industry": "software"}
        ids = [
            (await api.post("/v1/leads", {"fields": {"email": f"p{n}@c{n}.example", **fields}}, key=key))["id"]
            for n in range(20)
        ]
        for lead_id in ids[14:]:
            await api.post(f"/v1/leads/{lead_id}/activities", {"type": "demo_request"}, key=key)
        await api.get("/v1/me", key=key, actor=user)  # known from now on: no request waits for its caller

        def call(n: int, turn: int) -> Awaitable[httpx.Response]:
            if n < 7:
                body = {
                    "fields": {"email": f"p{n}@c{n}.example", "message": f"turn {turn}"},
                    "custom": {f"turn_{turn}": n},
                    "activity": {"type": "form_fill", "activity_key": f"k{turn}"},
                }
                return api.call("POST", "/v1/leads", body, key=key)
            if n < 14:
                body = {"type": ("page_view", "webinar_attended")[turn % 2], "activity_key": f"k{turn % 7}"}
                return api.call("POST", f"/v1/leads/{ids[n]}/activities", body, key=key)
            action = ("accept", "recycle")[turn % 2]
            body = {"action": action, "reason_code": "timing" if turn % 2 else None}
            given = {name: value for name, value in body.items() if value is not None}
            return api.call("POST", f"/v1/leads/{ids[n]}/transitions", given, key=key, actor=user)

        turns = [(n, turn) for turn in range(10) for n in range(20)]
        answers = (
            await asyncio.gather(*(call(*one) for one in turns)) if parallel else [await call(*one) for one in turns]
        )
        while await sequence(api.app.state.engine):
            pass
        return [one.status_code for one in answers], [await photograph(api, key, one) for one in ids]

    async with running(settings.model_copy(update={"max_in_flight": 300})) as api:
        made = [await api.post("/v1/tenants", {"name": f"t{n}", "policy": "waterfall"}) for n in range(2)]
        parallel = await life(api, made[0]["key"]["secret"], parallel=True)
        serial = await life(api, made[1]["key"]["secret"], parallel=False)
        assert parallel == serial
        assert set(parallel[0]) == {200, 201, 409}


@pytest.mark.parametrize(
    ("waiting", "flying", "seconds", "size"),
    [
        (1, 0, 0.1, 1),
        (WORTH_SHARING - 1, 0, 0.1, WORTH_SHARING - 1),
        (WORTH_SHARING, 0, 0.1, WORTH_SHARING // 2),
        (WORTH_SHARING + 1, 0, 0.1, WORTH_SHARING // 2 + 1),
        (WORTH_SHARING, 0, SLOW_FLIGHT_SECONDS, WORTH_SHARING),  # so quick that they follow each other
        (2 * MAX_BATCH + 1, 0, 0.1, MAX_BATCH),
        (9, 20, 0.1, 0),
        (10, 20, 0.1, 10),
        (20, 20, SLOW_FLIGHT_SECONDS, 0),
        (MAX_BATCH + 1, 20, 0.1, MAX_BATCH),
        (0, 0, 0.1, 0),
    ],
)
async def test_two_batches_in_flight_are_about_equal_and_few_requests_wait_for_the_end_of_the_first(
    waiting: int, flying: int, seconds: float, size: int
) -> None:
    loop = asyncio.get_running_loop()
    queue = Queue(flights=1 if flying else 0, flying=flying, seconds=seconds)
    queue.waiting.extend(
        Waiting(None, n, frozenset(), None, loop.create_future())  # type: ignore[arg-type]
        for n in range(waiting)
    )
    assert len(queue.next_batch()) == size
    queue.flights = 2
    assert queue.next_batch() == []


async def test_requests_that_are_read_in_successive_rounds_of_the_event_loop_go_together(api: Api) -> None:
    sizes: list[int] = []

    async def count(tx: Tx, tenant_id: UUID, members: Sequence[Member[int, int]], now: datetime) -> None:
        sizes.append(len(members))
        for one in members:
            one.result = one.wanted

    verb = Verb("count", count, lambda number: Response(str(number)))
    caller = Caller(new_id(), new_id(), "key", frozenset(), Actor(id=None, kind="service", role="service"))

    async def ask(number: int) -> bytes:
        for _ in range(number):
            await asyncio.sleep(0)
        return bytes((await api.app.state.gatherer.ask(verb, caller, number, (), None)).body)

    answers = await asyncio.gather(*map(ask, range(9)))
    assert answers == [str(number).encode() for number in range(9)]
    assert sizes == [9]


about = st.frozensets(st.integers(0, 4), max_size=2)


@given(st.lists(about, max_size=90), st.integers(1, 2))
def test_no_two_requests_in_flight_are_about_the_same_and_the_later_one_never_overtakes(
    requests: list[frozenset[int]], limit: int
) -> None:
    loop = asyncio.new_event_loop()
    waiting = [Waiting(None, n, names, None, loop.create_future()) for n, names in enumerate(requests)]  # type: ignore[arg-type]
    queue = Queue()
    queue.waiting.extend(waiting)
    flown: list[int] = []
    while queue.waiting:
        flights = [batch for _ in range(limit) if (batch := queue.next_batch())]
        assert flights, "what waits can go when nothing is in flight"
        in_flight = [one for batch in flights for one in batch]
        named = [name for one in in_flight for name in one.names]
        assert len(named) == len(set(named))
        assert all(len(batch) <= MAX_BATCH for batch in flights)
        flown += [one.wanted for one in in_flight]
        queue.busy.clear()
    assert sorted(flown) == list(range(len(requests)))
    for name in range(5):
        in_order = [n for n in flown if name in requests[n]]
        assert in_order == sorted(in_order)
    loop.close()
