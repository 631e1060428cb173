"""Two leads of one person become one, with all that both had, once."""

from __future__ import annotations

import pytest

from tests.api import NUMBERS, Api
from tests.merging.steps import Lead, activity_keys, faults, journeys, merged, unmerged, with_activities


async def test_an_activity_that_both_leads_have_counts_once(pipeline_api: Api) -> None:
    api = pipeline_api
    one = await with_activities(api, ("price_list", "s1"), ("webinar", "s2"), email="anna@nordsoft.ro")
    other = await with_activities(api, ("webinar", "s2"), ("case_study", "s3"), email="anna.z@nordsoft.ro")
    assert [lead["score"]["engagement"] for lead in (one, other)] == [30, 25]
    kept = await merged(api, other, one)
    assert (kept["id"], kept["merged_from"], kept["score"]["engagement"]) == (one["id"], other["id"], 45)
    assert [key for key in await activity_keys(api, one) if key.startswith("s")] == ["s1", "s2", "s3"]
    score = await api.get(f"/v1/leads/{one['id']}/score")
    assert sum(row["decayed_points"] for row in score["entries"] if row["ledger"] == "engagement") == 45
    back = await unmerged(api, other)
    assert back["id"] == other["id"]
    assert [(await api.reload(lead))["score"]["engagement"] for lead in (one, other)] == [30, 25]
    assert await faults(api) == []


async def test_reading_the_merged_lead_answers_the_one_that_remained(api: Api) -> None:
    one, other = await api.mql(email="anna@nordsoft.ro"), await api.lead(email="anna.z@nordsoft.ro")
    await merged(api, other, one)
    answer = await api.call("GET", f"/v1/leads/{other['id']}")
    kept = await api.call("GET", f"/v1/leads/{one['id']}")
    assert answer.json() == {**kept.json(), "merged_from": other["id"]}
    assert answer.headers["etag"] == kept.headers["etag"]
    for part in ("activities", "transitions", "score", "journeys", "timeline", "consents", "eligibility"):
        asked = [(await api.call("GET", f"/v1/leads/{lead['id']}/{part}")).json() for lead in (one, other)]
        for each in asked:
            each.pop("as_of", None)
        assert asked[0] == asked[1], part
    assert [lead["id"] for lead in (await api.get("/v1/leads"))["data"]] == [one["id"]]
    assert [lead["id"] for lead in (await api.get("/v1/leads?q=anna.z"))["data"]] == []
    assert [lead["id"] for lead in (await api.get("/v1/leads?email=anna.z@nordsoft.ro"))["data"]] == [one["id"]]


async def test_every_write_to_a_merged_lead_names_the_one_that_remained(api: Api) -> None:
    one, other, third = await api.lead(), await api.lead(), await api.lead()
    manager, ae = await api.user("manager"), await api.user("ae")
    await merged(api, other, one, manager)
    await merged(api, one, third, manager)
    path = f"/v1/leads/{other['id']}"
    bant = {"need": {"status": "confirmed"}}
    for method, end, body in (
        ("PATCH", "", {"fields": {"company": "Acme"}}),
        ("POST", "/activities", {"type": "webinar"}),
        ("PUT", "/bant", bant),
        ("PUT", "/consents", {"consents": [{"purpose": "phone", "state": "given"}]}),
        ("POST", "/transitions", {"action": "disqualify", "reason_code": "no_need"}),
        ("POST", "/conversion", {}),
        ("POST", "/conversion/preview", {}),
        ("POST", "/merge", {"into": third["id"]}),
    ):
        headers = {"Idempotency-Key": f"k{end}"} if method == "POST" else {}
        answer = await api.call(method, path + end, body, actor=ae if "bant" in end else manager, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "lead_merged"), (end, answer.text)
        assert answer.json()["merged_into"] == third["id"], end
    listed = {"activities": [{"type": "webinar", "lead_id": other["id"]}]}
    (result,) = (await api.post("/v1/activities", listed))["data"]
    assert (result["recorded"], result["reason"]) == (False, "lead_merged")


async def test_fields_that_the_lead_has_stay_and_empty_ones_are_filled(api: Api) -> None:
    one = await api.lead(email="anna@nordsoft.ro", company="Nordsoft", first_name="Anna")
    other = await api.lead(email="anna.z@gmail.com", company="Other", phone="+40215550100", job_title="Director")
    await api.call("PATCH", f"/v1/leads/{one['id']}", {"custom": {"seats": 5}})
    await api.call("PATCH", f"/v1/leads/{other['id']}", {"custom": {"seats": 7, "budget": "high"}})
    kept = await merged(api, other, one)
    assert (kept["fields"]["email"], kept["fields"]["company"]) == ("anna@nordsoft.ro", "Nordsoft")
    assert (kept["fields"]["phone"], kept["fields"]["seniority"]) == ("+40215550100", "director")
    assert kept["custom"] == {"seats": 5, "budget": "high"}
    assert kept["phone_status"] == "valid"
    primary = {(one["kind"], one["value"]): one["primary"] for one in kept["identities"]}
    assert primary == {
        ("email", "anna@nordsoft.ro"): True,
        ("email", "anna.z@gmail.com"): False,
        ("phone", "+40215550100"): True,
    }
    again = await api.lead(email="anna.z@gmail.com", industry="software")
    assert (again["id"], again["fields"]["industry"]) == (one["id"], "software")
    await unmerged(api, other)
    shown = [await api.reload(lead) for lead in (one, other)]
    assert [lead["fields"]["phone"] for lead in shown] == [None, "+40215550100"]
    assert [lead["fields"]["seniority"] for lead in shown] == [None, "director"]
    assert [lead["custom"] for lead in shown] == [{"seats": 5}, {"seats": 7, "budget": "high"}]
    assert [[one["value"] for one in lead["identities"]] for lead in shown] == [
        ["anna@nordsoft.ro"],
        ["anna.z@gmail.com", "+40215550100"],
    ]
    assert all(one["primary"] for one in shown[1]["identities"])
    industries = [lead["fields"].get("industry") for lead in shown]
    assert industries == [None, "software"], "what came since goes to the lead through whose address it came"


async def test_a_number_that_only_these_two_had_is_shared_no_more(api: Api) -> None:
    one = await api.lead(email="a@nordsoft.ro", phone="+40215550100", full_name="Anna Pop")
    other = await api.lead(email="b@nordsoft.ro", phone="+40215550100", full_name="Ana Popa")
    assert one["id"] != other["id"]
    assert (await api.reload(one))["phone_status"] == "shared"
    assert (await merged(api, other, one))["phone_status"] == "valid"
    assert (await api.reload(one))["other_names"] == ["Ana Popa"]
    await unmerged(api, other)
    assert [(await api.reload(lead))["phone_status"] for lead in (one, other)] == ["shared", "shared"]
    assert [(await api.reload(lead))["other_names"] for lead in (one, other)] == [[], []]


STAGES = ("suspect", "inquiry", "mql", "sal", "sql", "recycled", "disqualified", "converted")
ORDER = {"suspect": 0, "inquiry": 10, "mql": 20, "sal": 30, "sql": 50, "recycled": 19}


async def lead_in(api: Api, stage: str, people: dict[str, str], **fields: str) -> Lead:
    """A lead that went to the stage by the actions of the policy."""
    if stage == "suspect":
        source = await api.post("/v1/sources", {"name": "list", "preset": "generic", "defaults": {"entry": "suspect"}})
        body = {"fields": {"email": f"suspect{next(NUMBERS)}@bought.example", **fields}, "source_id": source["id"]}
        return dict(await api.post("/v1/leads", body))
    lead = await api.lead(**fields) if stage == "inquiry" else await api.mql(**fields)
    bant = {name: {"status": "confirmed"} for name in ("need", "budget", "timing", "authority")}
    steps: dict[str, list[tuple[str, str, dict[str, object]]]] = {
        "sal": [("accept", "sdr", {})],
        "sql": [("accept", "sdr", {}), ("confirm", "ae", {"bant": bant})],
        "converted": [("accept", "sdr", {}), ("confirm", "ae", {"bant": bant})],
        "recycled": [("recycle", "sdr", {"reason_code": "timing"})],
        "disqualified": [("disqualify", "sdr", {"reason_code": "no_need"})],
    }
    for action, role, members in steps.get(stage, []):
        answer = await api.ask(lead, action, people[role], **members)
        assert answer.status_code == 201, answer.text
    if stage == "converted":
        path = f"/v1/leads/{lead['id']}/conversion"
        await api.post(path, {}, actor=people["ae"], headers={"Idempotency-Key": f"c{lead['id']}"})
    return await api.reload(lead)


@pytest.mark.parametrize("one", STAGES)
async def test_the_journey_that_is_further_goes_on_and_unmerging_restores_both(api: Api, one: str) -> None:
    """Whatever stages two leads are in, and whichever of them remains."""
    people = {role: await api.user(role) for role in ("sdr", "ae", "manager")}
    for other in STAGES:
        kept, gone = [await lead_in(api, stage, people) for stage in (one, other)]
        after = await merged(api, gone, kept, people["manager"])
        assert await faults(api) == [], (one, other)
        present = max((one, other), key=lambda stage: ORDER.get(stage, -1))
        open_stages = [stage for stage in (one, other) if stage in ORDER]
        stage = present if open_stages else other
        # What the other one did is interest of the suspect too.
        engaged = stage == "suspect" and one != other
        assert after["stage"] == ("inquiry" if engaged else stage), (one, other)
        listed = await journeys(api, kept)
        assert [number for number, _ in listed] == [1, 2]
        left = (one, other) if len(open_stages) < 2 else (present, "merged")
        expected = sorted("inquiry" if engaged and name == "suspect" else name for name in left)
        assert sorted(stage for _, stage in listed) == expected, (one, other)
        links = [lead["links"]["opportunity_id"] for lead in (kept, gone)]
        assert after["links"]["opportunity_id"] in (links if any(links) else [None])
        owners = [lead["owner_id"] for lead in (kept, gone)]
        assert (after["owner_id"] is None) == (owners == [None, None])
        await unmerged(api, gone, people["manager"])
        assert await faults(api) == [], (one, other)
        for lead in (kept, gone):
            again = await api.reload(lead)
            same = (
                "stage",
                "journey_no",
                "owner_id",
                "links",
                "fields",
                "identities",
                "score",
                "bant",
                "consents",
                "wake_at",
            )
            was = {**lead, "stage": "inquiry"} if engaged and lead["stage"] == "suspect" else lead
            assert {name: again[name] for name in same} == {name: was[name] for name in same}, (one, other)
