"""Each attribute of a stored lead reaches the conditions of the policy, and a change of it is evaluated at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from app.policy.shipped import shipped
from tests.api import Api
from tests.rules.make import altered
from tests.submissions.sender import make_sender

CONDITIONS: dict[str, dict[str, Any]] = {
    "phone_call": {"field": "channel", "is": "phone"},
    "newsletter": {"consent": {"purpose": "email_marketing", "state": ["given"]}},
    "never_asked": {"consent": {"purpose": "partners", "state": ["unknown"]}},
    "new_business": {"field": "business", "is": "new"},
    "wants": {"field": "requirements", "has_word": ["seats"]},
    "seats": {"field": "custom.How many seats?", "at_least": 20},
    "rich": {"field": "bant.budget.amount", "at_least": 5000},
    "euro": {"field": "bant.budget.currency", "is": "eur"},
    "soon": {"field": "bant.timing.due_in_days", "at_most": 30},
    "head": {"field": "rank", "is": "head"},
    "excepted": {"exception": True},
    "persona": {"persona": ["decision_maker"]},
}


def rules_for(conditions: dict[str, dict[str, Any]]) -> Any:
    return altered(
        shipped("waterfall"),
        lambda changed: changed["scoring"].update(
            fit=[{"id": name, "points": 40, "if": condition} for name, condition in conditions.items()]
        ),
    )


async def holding(api: Api, lead: dict[str, Any]) -> set[str]:
    """The rules that hold for the lead; the score that lists filter by has the same sum."""
    known = await api.get(f"/v1/leads/{lead['id']}/score")
    assert (await api.reload(lead))["score"]["fit"] == known["fit"]
    return {entry["rule_id"] for entry in known["entries"] if entry["ledger"] == "fit"}


async def test_conditions_read_every_attribute_of_a_lead(api: Api) -> None:
    await api.publish(rules_for(CONDITIONS))
    lead = await api.lead()
    path = f"/v1/leads/{lead['id']}"
    assert await holding(api, lead) == {"never_asked", "new_business"}
    body = {"fields": {"job_title": "Leiter Einkauf"}, "custom": {"requirements": "20 seats", "How many seats?": 20}}
    assert (await api.call("PATCH", path, body)).status_code == 200
    assert await holding(api, lead) == {"never_asked", "new_business", "head", "wants", "seats"}
    ae, marketing = await api.user("ae"), await api.user("marketing")
    due = (api.now + timedelta(days=30)).date().isoformat()
    bant = {
        "budget": {"status": "confirmed", "amount": {"value": "5000.00", "currency": "EUR"}},
        "timing": {"status": "confirmed", "due_on": due},
    }
    assert (await api.call("PUT", path + "/bant", bant, actor=ae)).status_code == 200
    assert {"rich", "euro", "soon"} <= await holding(api, lead)
    assert (await api.call("PUT", path + "/exception", {"reason": "why"}, actor=marketing)).status_code == 200
    assert {"excepted", "persona"} <= await holding(api, lead)
    consents = [{"purpose": "email_marketing", "state": "given"}, {"purpose": "partners", "state": "refused"}]
    assert (await api.call("PUT", path + "/consents", {"consents": consents})).status_code == 200
    assert set(CONDITIONS) - await holding(api, lead) == {"never_asked", "phone_call"}
    called = await api.post("/v1/leads", {"fields": {"email": "b@b.example"}, "channel": "phone"})
    assert "phone_call" in await holding(api, called)


async def test_the_source_is_the_name_that_it_had_when_the_lead_came(api: Api) -> None:
    sender = await make_sender(api)
    source = await api.get(f"/v1/sources/{sender.source['id']}")
    await api.publish(rules_for({"here": {"field": "source", "is": source["name"]}}))
    made = await sender.post_and_process({"email": "ana@nordsoft.ro"})
    lead = {"id": made["items"][0]["lead_id"]}
    assert await holding(api, lead) == {"here"}
    assert await holding(api, await api.lead()) == set()
    renamed = await api.call("PATCH", f"/v1/sources/{sender.source['id']}", {"name": "Another name"})
    assert renamed.status_code == 200
    assert await holding(api, lead) == {"here"}


async def test_lists_of_free_mail_and_competitors_know_address_and_website(api: Api) -> None:
    def lists(changed: dict[str, Any]) -> None:
        changed["lists"] = {"competitors": ["Rival.com"], "free_mail": ["own-mail.example"]}

    await api.publish(altered(shipped("waterfall"), lists))
    for fields, expected in (
        ({"email": "a@rival.com"}, {"competitor"}),
        ({"email": "A@RIVAL.COM"}, {"competitor"}),
        ({"email": "a@eu.rival.com"}, {"competitor"}),
        ({"email": "a@gmail.com", "website": "https://www.rival.com/team"}, {"competitor", "free_mail"}),
        ({"email": "a@rival.com.example"}, set()),
        ({"email": "a@notrival.com"}, set()),
        ({"email": "b@gmail.com"}, {"free_mail"}),
        ({"email": "b@own-mail.example"}, {"free_mail"}),
        ({"email": "b@nordsoft.ro"}, set()),
    ):
        assert await holding(api, await api.lead(**fields)) == expected, fields


async def test_what_each_user_confirmed_stands_apart(api: Api) -> None:
    lead, sdr, ae = await api.mql(), await api.user("sdr"), await api.user("ae")
    path = f"/v1/leads/{lead['id']}/bant"
    yes = {"need": {"status": "confirmed", "value": "a new tool"}}
    assert (await api.call("PUT", path, yes, actor=sdr)).status_code == 200
    api.clock.ahead += timedelta(days=2)
    assert (await api.call("PUT", path, {"need": {"status": "denied"}}, actor=ae)).status_code == 200
    api.clock.ahead += timedelta(days=1, seconds=1)
    shown = await api.get(path)
    assert (shown["need"]["status"], shown["need"]["confirmed_by"]) == ("denied", ae)
    each = [
        (one["confirmed_by"], one["confirmed_role"], one["status"], one["age_days"])
        for one in shown["need"]["confirmations"]
    ]
    assert each == [(ae, "ae", "denied", 1), (sdr, "sdr", "confirmed", 3)]
    assert shown["budget"] == {"status": "unknown", "value": None, "evidence": None, "confirmations": []}
    again = await api.call("PUT", path, yes, actor=sdr)
    assert [one["age_days"] for one in again.json()["need"]["confirmations"]] == [0, 1], (
        "a user's later row replaces it"
    )
