"""Models over HTTP, trained by the worker on a tenant's own finished journeys, and the likelihood of a lead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from app.likelihood.train import queue_due, read_cases, train_next
from app.policy.document import Policy
from app.policy.shipped import shipped
from app.settings import Settings
from app.web.pages import write_cursor
from tests.api import Api, running

NEEDED = 40
DAY = timedelta(days=1)


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    async with running(settings) as one:
        yield one


@pytest.fixture
async def sdr(api: Api) -> str:
    return await api.user("sdr")


@pytest.fixture
async def ae(api: Api) -> str:
    return await api.user("ae")


BANT = {name: {"status": "confirmed", "value": "yes"} for name in ("need", "budget", "timing")}


async def won(api: Api, sdr: str, ae: str, **fields: Any) -> dict[str, Any]:
    lead = await api.mql(**fields)
    assert (await api.ask(lead, "accept", sdr)).status_code == 201
    answer = await api.ask(lead, "confirm", ae, bant=BANT)
    assert answer.status_code == 201, answer.text
    return lead


async def lost(api: Api, sdr: str, **fields: Any) -> dict[str, Any]:
    lead = await api.mql(**fields)
    assert (await api.ask(lead, "disqualify", sdr, reason_code="no_budget")).status_code == 201
    return lead


async def history(api: Api, sdr: str, ae: str, good: int = NEEDED, bad: int = NEEDED) -> None:
    """People of Romania became customers, those of Poland did not."""
    await asyncio.gather(*(won(api, sdr, ae, country="RO") for _ in range(good)))
    await asyncio.gather(*(lost(api, sdr, country="PL") for _ in range(bad)))


async def trained(api: Api) -> Any:
    asked = await api.post("/v1/models", None, status=202)
    assert await train_next(api.app.state.engine, api.now) == 1
    return await api.get(f"/v1/models/{asked['version']}")


async def test_a_lead_is_as_likely_as_those_like_it_were_and_says_why(api: Api, sdr: str, ae: str) -> None:
    await history(api, sdr, ae)
    model = await trained(api)
    assert (model["state"], model["cases"], model["base_rate"]) == ("ready", {"good": NEEDED, "bad": NEEDED}, 0.5)
    likely, unlikely = [
        await api.get(f"/v1/leads/{(await api.mql(country=country))['id']}/likelihood") for country in ("RO", "PL")
    ]
    assert likely["probability"] > 0.8 > 0.2 > unlikely["probability"]
    assert likely["lift"] == pytest.approx(likely["probability"] / 0.5, abs=0.01)
    assert {name: likely["raises"][0][name] for name in ("trait", "value")} == {"trait": "country", "value": "ro"}
    assert unlikely["lowers"][0]["value"] == "pl"
    assert likely["model"] == model["version"] == 1
    assert len(likely["raises"]) <= 5


async def test_no_model_is_trained_of_fewer_than_forty_of_a_kind_and_the_answer_says_how_many_are_missing(
    api: Api, sdr: str, ae: str
) -> None:
    await history(api, sdr, ae, good=3, bad=NEEDED)
    answer = await api.call("POST", "/v1/models")
    assert (answer.status_code, answer.json()["code"]) == (409, "cases_missing")
    assert answer.json()["missing"] == {"good": NEEDED - 3}
    lead = await api.mql()
    answer = await api.get(f"/v1/leads/{lead['id']}/likelihood")
    assert (answer["probability"], answer["missing"]) == (None, {"good": NEEDED - 3})
    assert await queue_due(api.app.state.engine, api.now) == 0
    assert await train_next(api.app.state.engine, api.now) == 0


async def test_what_was_recorded_after_the_decision_is_not_learned(api: Api, sdr: str, ae: str) -> None:
    lead = await won(api, sdr, ae, country="RO")
    answer = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"country": "DE", "language": "de"}})
    assert answer.status_code == 200
    await api.add_activity(lead, "webinar")
    async with api.app.state.engine.connect() as tx:
        [case] = await read_cases(tx, api.tenant_id, api.now)
    assert case.good
    assert (case.traits["country"], case.traits["language"]) == ("ro", "none")
    assert (case.traits["activities"], case.points) == ("2", 90)


async def test_open_journeys_and_corrected_milestones_are_no_good_cases(api: Api, sdr: str, ae: str) -> None:
    manager = await api.user("manager")
    await api.mql()
    lead = await won(api, sdr, ae)
    trail = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"]
    members = {"to": "sal", "reason_code": "mistake", "note": "by mistake", "correction_of": trail[-1]["id"]}
    answer = await api.ask(lead, "correct", manager, **members)
    assert answer.status_code == 201, answer.text
    async with api.app.state.engine.connect() as tx:
        assert await read_cases(tx, api.tenant_id, api.now) == []


async def test_a_recycled_journey_is_a_bad_case_after_half_a_year(api: Api, sdr: str) -> None:
    lead = await api.mql()
    assert (await api.ask(lead, "recycle", sdr, reason_code="timing")).status_code == 201
    engine = api.app.state.engine
    for days, count in ((179, 0), (2, 1)):
        api.clock.ahead += DAY * days
        async with engine.connect() as tx:
            cases = await read_cases(tx, api.tenant_id, api.now)
        assert len(cases) == count
    assert not cases[0].good


async def test_the_worker_trains_once_a_day_where_something_ended(api: Api, sdr: str, ae: str) -> None:
    await history(api, sdr, ae)
    engine = api.app.state.engine
    assert await queue_due(engine, api.now) == 1
    assert await train_next(engine, api.now) == 1
    assert await queue_due(engine, api.now) == 0
    api.clock.ahead += DAY * 1.1
    assert await queue_due(engine, api.now) == 0, "nothing has ended since"
    await lost(api, sdr, country="PL")
    api.clock.ahead += DAY * 1.1
    assert await queue_due(engine, api.now) == 1
    assert await asyncio.gather(*(train_next(engine, api.now) for _ in range(3))) in ([1, 0, 0], [0, 1, 0], [0, 0, 1])
    assert [one["version"] for one in (await api.get("/v1/models"))["data"]] == [2, 1]


async def test_a_policy_may_ask_for_a_likelihood(api: Api, sdr: str, ae: str) -> None:
    await history(api, sdr, ae)
    document = shipped("waterfall").model_dump(mode="json", by_alias=True, exclude_unset=True)
    document["conditions"]["mql"] = {"likelihood": {"at_least": 0.6}}
    await api.publish(Policy.model_validate(document, strict=False))
    before = await api.lead(country="RO", job_title="Director", employees=120, industry="software")
    await api.add_activity(before, "demo_request")
    eligible = {one["action"]: one for one in (await api.get(f"/v1/leads/{before['id']}/eligibility"))["actions"]}
    assert eligible["qualify"]["unmet"] == [{"criterion": "likelihood", "have": None, "need": 0.6}]
    await trained(api)
    for country, stage in (("RO", "mql"), ("PL", "inquiry")):
        lead = await api.mql(country=country)
        assert lead["stage"] == stage
        found = await api.get(f"/v1/leads/{lead['id']}/likelihood")
        for step in (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"]:
            kept = {"probability": found["probability"], "model": found["model"]}
            assert step["evidence"].get("likelihood") == (kept if step["to"] == "mql" else None)
    await api.add_activity(before, "demo_request")
    assert (await api.reload(before))["stage"] == "mql"


async def test_models_are_listed_newest_first_and_page_by_page(api: Api, sdr: str, ae: str) -> None:
    await history(api, sdr, ae)
    first, second = await trained(api), await trained(api)
    assert first["sha256"] == second["sha256"], "the same cases give the same model"
    page = await api.get("/v1/models?limit=1")
    assert [one["version"] for one in page["data"]] == [2]
    rest = await api.get(f"/v1/models?limit=1&cursor={page['next']}")
    assert ([one["version"] for one in rest["data"]], rest["next"]) == ([1], None)
    for cursor in ("x", "WzFd", write_cursor(None, "one"), write_cursor(None, 2**40), write_cursor(None, True)):
        answer = await api.call("GET", f"/v1/models?cursor={cursor}")
        assert (answer.status_code, answer.json()["code"]) == (422, "cursor_invalid")


async def test_a_model_that_waits_is_not_queued_twice_and_an_unknown_one_is_not_found(
    api: Api, sdr: str, ae: str
) -> None:
    await history(api, sdr, ae)
    asked = await asyncio.gather(*(api.post("/v1/models", None, status=202) for _ in range(4)))
    assert {one["version"] for one in asked} == {1}
    assert (await api.get("/v1/models/1"))["weights"] is None
    assert (await api.call("GET", "/v1/models/2")).status_code == 404
    assert (await api.call("GET", "/v1/models/0")).status_code in (404, 422)
