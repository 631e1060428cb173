"""Every door by which an erased person may come back, and every door at which the lead's former ids are asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.api import Api
from tests.confirmations.test_confirm import link
from tests.contract.contract import AUTHENTICATED
from tests.contract.test_tenants import harmless
from tests.erasure.people import erase, finish, where
from tests.imports.lists import make_lists, process_lists, table
from tests.merging.steps import faults, merged
from tests.submissions.sender import make_sender, process

EMAIL = "ada.lovelace@engine.example"
PERSON = {"email": EMAIL, "full_name": "Ada Lovelace", "phone": "+40721555123"}
NEEDLES = ["ada.lovelace", "lovelace", "721555123"]
IDENTIFY = {"type": "identify", "messageId": "m-1", "userId": "u-1", "traits": {"email": EMAIL, "name": "Ada Lovelace"}}
TRACK = {
    "type": "track",
    "event": "Demo Requested",
    "messageId": "m-2",
    "userId": "u-1",
    "properties": {"plan": "of Ada Lovelace"},
    "context": {"traits": {"email": EMAIL}},
}
SENT: dict[str, list[dict[str, Any]]] = {
    "generic": [PERSON],
    "html-form": [PERSON],
    "zapier": [{**PERSON, "id": "z-1"}],
    "segment": [IDENTIFY, TRACK],
    "rudderstack": [IDENTIFY, TRACK],
}


async def erased(api: Api, **more: Any) -> dict[str, Any]:
    lead = await api.lead(**PERSON, **more)
    await erase(api, lead)
    api.clock.ahead += timedelta(seconds=5)
    return lead


@pytest.mark.parametrize("preset", SENT)
async def test_a_source_of_any_kind_stores_nothing_of_an_erased_person(api: Api, preset: str) -> None:
    sender = await make_sender(api, preset, overrides={"verify": [], "open_without_secrets": True})
    for body in SENT[preset]:
        assert (await sender.post(body)).status_code in (200, 202)
        await process(api)
    (lead,) = (await api.get("/v1/leads"))["data"]
    await erase(api, lead)
    api.clock.ahead += timedelta(seconds=5)
    for body in SENT[preset]:
        for _ in range(2):  # the second one is a retry of the provider
            assert (await sender.post(body)).status_code in (200, 202)
            await process(api)
    assert await where(api, NEEDLES) == []
    assert (await api.get("/v1/leads"))["data"] == []


async def test_a_form_that_nobody_could_read_is_suppressed_when_it_is_replayed_after_the_erasure(api: Api) -> None:
    await erased(api)
    sender = await make_sender(api, "typeform", overrides={"verify": []})
    body = "email=ada.lovelace%40engine.example&name=Ada+Lovelace"
    made = await sender.post_and_process(body, Content_Type="application/x-www-form-urlencoded")
    assert made["state"] == "quarantined"
    fields = {"email": "item.email", "full_name": "item.name"}
    fix = {"verify": [], "parse": {"formats": ["form"]}, "items": "[body]", "fields": fields}
    assert (await api.call("PATCH", f"/v1/sources/{sender.source['id']}", {"overrides": fix})).status_code == 200
    assert (await api.call("POST", f"/v1/submissions/{made['id']}/replay")).status_code == 202
    await process(api)
    again = await sender.submission(made["id"])
    assert [item["verdict"] for item in again["items"]] == ["suppressed"]
    assert (await api.get("/v1/leads"))["data"] == []
    assert await where(api, NEEDLES) == []


async def test_the_link_of_a_double_opt_in_gives_an_erased_person_nothing(api: Api) -> None:
    sender = await make_sender(api, defaults={"double_opt_in": {"purposes": ["email_marketing"]}})
    made = await sender.post_and_process({**PERSON, "newsletter": "yes"})
    url = await link(api)
    await erase(api, {"id": made["items"][0]["lead_id"]})
    opened = await api.client.get(url, headers={"Accept": "application/json"})
    assert (opened.status_code, opened.json()["code"]) == (410, "erased")
    assert await where(api, [*NEEDLES, url]) == []


async def test_a_list_whose_rows_wait_while_the_person_is_erased_stores_nothing_of_them(api: Api) -> None:
    lead, lists = await api.lead(**PERSON), await make_lists(api)
    rows = (("email", "full_name", "phone"), (EMAIL, "Ada Lovelace", "+40721555123"), ("grace@navy.example", "G H", ""))
    dry = await lists.send(table(*rows), dry_run="true", headers={"Idempotency-Key": "dry-1"})
    assert dry.status_code == 200, dry.text
    made = await lists.post(table(*rows), consent="email_marketing", consent_evidence="a fair")
    await erase(api, lead, steps=False)
    await process_lists(api)
    assert [one["verdict"] for one in await lists.rows(made)] == ["suppressed", "lead"]
    await finish(api)
    assert await where(api, NEEDLES) == []
    errors = await api.call("GET", f"/v1/imports/{made['id']}/errors")
    assert errors.status_code == 200
    assert not any(one in errors.text.lower() for one in NEEDLES)
    assert await where(api, ["grace@navy"]) != []


async def test_a_row_that_was_refused_is_looked_for_and_its_file_of_errors_names_nobody(api: Api) -> None:
    lead, lists = await api.lead(**PERSON), await make_lists(api)
    rows = (("email", "full_name", "notes"), ("", "A. L.", f"mail {EMAIL}"), ("", "G. H.", "mail grace@navy.example"))
    made = await lists.post(table(*rows))
    await process_lists(api)
    before = (await api.call("GET", f"/v1/imports/{made['id']}/errors")).text
    await erase(api, lead)
    after = (await api.call("GET", f"/v1/imports/{made['id']}/errors")).text
    assert (EMAIL in before, EMAIL in after) == (True, False)
    assert ("grace@navy" in before, "grace@navy" in after) == (True, True)
    assert await where(api, NEEDLES) == []


async def test_former_ids_of_an_erased_person_answer_410_at_every_door(api: Api) -> None:
    manager = await api.user("manager")
    first, second, third = [await api.lead(email=f"ada{n}@engine.example", full_name="Ada Lovelace") for n in range(3)]
    other = await api.lead()
    await merged(api, first, second, manager)
    await merged(api, second, third, manager)
    await erase(api, third)
    wrong = {}
    for operation in AUTHENTICATED:
        if "{lead_id}" not in operation.path or operation.path.endswith("/erasure"):
            continue
        body = {"into": other["id"]} if operation.path.endswith("/merge") else harmless(operation)
        for n, lead in enumerate((first, second, third)):
            headers = {"Idempotency-Key": f"key-{n}"} if operation.method == "POST" else {}
            path = operation.at(lead_id=lead["id"])
            answer = await api.call(operation.method, path, body, actor=manager, headers=headers)
            if (answer.status_code, answer.json().get("code")) != (410, "erased"):
                wrong[f"{operation} {n}"] = (answer.status_code, answer.text[:200])
    assert wrong == {}
    for lead in (first, second, third):
        into = await api.call("POST", f"/v1/leads/{other['id']}/merge", {"into": lead["id"]}, actor=manager)
        assert (into.status_code, into.json()["code"]) == (422, "target_unavailable")
        again = await api.call("POST", f"/v1/leads/{lead['id']}/erasure", {"reason": "other"})
        assert (again.status_code, again.json()["lead_id"]) == (202, third["id"])
        read = await api.get(f"/v1/leads/{lead['id']}/erasure")
        assert set(read["lead_ids"]) == {first["id"], second["id"], third["id"]}
    assert await faults(api) == []


async def test_no_list_of_what_waits_has_an_erased_lead_and_the_report_of_ages_counts_it(api: Api) -> None:
    window = {"from": api.ago(days=1)[:10], "to": api.ago(days=-1)[:10]}
    empty = await api.get("/v1/reports/ageing", params=window)
    lead = await api.lead(**PERSON, company="Engine")
    other = await api.lead(email="ada@home.example", full_name="Ada Lovelace", company="Engine")
    lists = ("/v1/leads", "/v1/duplicates")
    assert [lead["id"] in str(await api.get(path)) for path in lists] == [True, True]
    before = await api.get("/v1/reports/ageing", params=window)
    assert before["groups"] != empty["groups"]
    await erase(api, lead)
    assert [lead["id"] in str(await api.get(path)) for path in lists] == [False, False]
    assert other["id"] in str(await api.get("/v1/leads"))
    assert (await api.get("/v1/reports/ageing", params=window))["groups"] == before["groups"]
