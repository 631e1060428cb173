"""Activities in bulk, the consent log, and the timeline and score history of one lead."""

from __future__ import annotations

from tests.api import Api


async def test_activities_are_recorded_on_the_leads_with_their_identities(api: Api) -> None:
    lead = await api.lead(email="a@example.com", job_title="Director", employees=120, industry="software")
    activities = [
        {"email": "A@example.com", "type": "webinar", "activity_key": "w"},
        {"lead_id": lead["id"], "type": "webinar", "activity_key": "w"},
        {"email": "nobody@example.com", "type": "webinar"},
        {"email": "a@example.com", "type": "demo_request"},
    ]
    answers = (await api.post("/v1/activities", {"activities": activities}))["data"]
    assert [one["recorded"] for one in answers] == [True, False, False, True]
    assert answers[2]["reason"] == "person_unknown"
    after = await api.reload(lead)
    assert (after["stage"], after["score"]["engagement"], after["version"]) == ("mql", 50, 2)


async def test_an_activity_names_exactly_one_person(api: Api) -> None:
    body = {"activities": [{"type": "webinar", "email": "a@example.com", "external_id": "crm:1"}]}
    assert (await api.call("POST", "/v1/activities", body)).status_code == 422


async def test_the_consent_log_keeps_every_entry(api: Api) -> None:
    lead = await api.lead()
    path = f"/v1/leads/{lead['id']}/consents"
    for state in ("given", "withdrawn"):
        body = {"consents": [{"purpose": "email_marketing", "state": state}]}
        assert (await api.call("PUT", path, body)).status_code == 200
    shown = await api.get(path)
    assert shown["consents"] == {"email_marketing": "withdrawn"}
    assert [line["state"] for line in shown["log"]] == ["given", "withdrawn"]


async def test_the_timeline_and_the_score_of_the_past_are_readable(api: Api) -> None:
    lead = await api.mql()
    timeline = (await api.get(f"/v1/leads/{lead['id']}/timeline"))["data"]
    assert [one["kind"] for one in timeline].count("transition") == 2
    assert len(timeline) == 4
    past = await api.get(f"/v1/leads/{lead['id']}/score", params={"as_of": lead["created_at"]})
    assert past["engagement"] == 0, "the activity was recorded later"
    assert past["fit"] == 50
