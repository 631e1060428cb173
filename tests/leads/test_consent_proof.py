"""An entry of the consent log says who agreed to which text, when, from where, and by which link."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from sqlalchemy import text

from app.settings import Settings
from tests.api import Api, running
from tests.confirmations.test_confirm import link as confirm_link
from tests.confirmations.test_withdraw import link_of
from tests.merging.steps import merged, unmerged
from tests.submissions.sender import make_sender

MARKETING = "email_marketing"
TEXT = "Yes, Nordsoft may send me news by e-mail. I can withdraw at any time."
ASKED = {"purpose": MARKETING, "expr": "item.news", "text": f"'{TEXT}'", "version": "'2026-03'"}
FORM = {"email": "ana@nordsoft.example", "name": "Ana Pop", "news": "yes"}
BEHIND = {"X_Forwarded_For": "198.51.100.1, 203.0.113.7"}
STORED = text("SELECT client_address FROM submissions")


async def log_of(api: Api, lead: str, **query: Any) -> list[dict[str, Any]]:
    return list((await api.get(f"/v1/leads/{lead}/consents", params=query))["log"])


def trusting(settings: Settings) -> Settings:
    return settings.model_copy(update={"trusted_proxies": Settings(trusted_proxies="127.0.0.0/8").trusted_proxies})


async def test_a_form_proves_its_consent_by_text_version_source_submission_and_address(settings: Settings) -> None:
    async with running(trusting(settings)) as api:
        form = await make_sender(api, overrides={"consent": [ASKED]})
        made = await form.post_and_process(FORM, **BEHIND)
        (entry,) = await log_of(api, made["items"][0]["lead_id"])
    assert entry == {
        "purpose": MARKETING,
        "state": "given",
        "text": TEXT,
        "text_version": "2026-03",
        "text_sha256": hashlib.sha256(TEXT.encode()).hexdigest(),
        "channel": form.source["name"],
        "source_id": form.source["id"],
        "submission_id": made["id"],
        "client_address": "203.0.113.7",
        "actor": {"id": None, "kind": "service", "role": "service"},
        "confirmation_id": None,
        "withdrawal_link_id": None,
        "bought": False,
        "occurred_at": entry["occurred_at"],
        "recorded_at": entry["recorded_at"],
    }


@pytest.mark.parametrize(
    "overrides",
    [
        {"verify": [{"kind": "token", "in": "header", "name": "X-Key"}]},  # a server passes the form on
        {"consent": []},
    ],
)
async def test_no_address_is_kept_of_a_server_and_of_a_form_that_asks_for_no_consent(
    settings: Settings, overrides: dict[str, Any]
) -> None:
    async with running(trusting(settings)) as api:
        secrets = {"token": "the-key-of-the-server"} if "verify" in overrides else {}
        form = await make_sender(api, overrides={"consent": [ASKED], **overrides}, secrets=secrets)
        made = await form.post_and_process(FORM, X_Key="the-key-of-the-server", **BEHIND)
        log = await log_of(api, made["items"][0]["lead_id"])
        async with api.app.state.engine.connect() as tx:
            (stored,) = (await tx.execute(STORED)).scalars()
    assert [one["client_address"] for one in log] == [None] * len(log)
    assert stored is None


async def test_the_entry_that_a_link_makes_names_the_request_and_keeps_text_and_version(api: Api) -> None:
    rule = {"double_opt_in": {"purposes": [MARKETING]}}
    form = await make_sender(api, overrides={"consent": [ASKED]}, defaults=rule)
    made = await form.post_and_process(FORM)
    lead = made["items"][0]["lead_id"]
    await api.client.get(await confirm_link(api))
    pending, given = await log_of(api, lead)
    assert (pending["state"], given["state"], given["channel"]) == ("pending", "given", "double_opt_in")
    assert pending["confirmation_id"] == given["confirmation_id"]
    assert given["confirmation_id"].startswith("cnf_")
    assert given["client_address"] == "127.0.0.1"
    for name in ("text", "text_version", "text_sha256", "source_id", "submission_id"):
        assert given[name] == pending[name] is not None


async def test_a_form_that_asks_nobody_again_names_no_request(api: Api) -> None:
    form = await make_sender(api, overrides={"consent": [ASKED]}, defaults={"double_opt_in": {"purposes": [MARKETING]}})
    first = await form.post_and_process(FORM)
    await form.post_and_process({**FORM, "message": "again"})
    log = await log_of(api, first["items"][0]["lead_id"])
    assert [one["confirmation_id"] is None for one in log] == [False, True]


async def test_a_withdrawal_names_its_link_and_of_two_links_the_one_that_was_used(api: Api) -> None:
    lead = await api.lead()
    path = f"/v1/leads/{lead['id']}"
    given = {"consents": [{"purpose": MARKETING, "state": "given"}]}
    assert (await api.call("PUT", f"{path}/consents", given)).status_code == 200
    await link_of(api, lead)
    second = await api.post(f"{path}/withdrawal-links", {"purposes": [MARKETING]})
    assert (await api.client.post(second["withdraw_url"])).status_code == 200
    last = (await log_of(api, lead["id"]))[-1]
    assert (last["state"], last["withdrawal_link_id"]) == ("withdrawn", second["id"])
    assert (last["client_address"], last["confirmation_id"]) == ("127.0.0.1", None)


@pytest.mark.parametrize("door", ["PUT", "POST"])
async def test_who_records_a_consent_by_hand_is_named_with_the_address_of_the_person(api: Api, door: str) -> None:
    sales = await api.user("sdr")
    said = {"purpose": "phone", "state": "given", "text": "On the phone", "text_version": "script 4"}
    said |= {"client_address": "[2001:DB8::7]"}
    lead = await api.lead(email="ana@nordsoft.example")
    path = f"/v1/leads/{lead['id']}/consents"
    body: dict[str, Any] = {"consents": [said]}
    if door == "POST":
        path, body = "/v1/leads", {"fields": {"email": "ana@nordsoft.example"}, **body}
    assert (await api.call(door, path, body, actor=sales)).status_code == 200
    (entry,) = await log_of(api, lead["id"])
    assert (entry["text_version"], entry["client_address"]) == ("script 4", "2001:db8::7")
    assert (entry["actor"]["id"], entry["actor"]["kind"]) == (sales, "human")


@pytest.mark.parametrize("address", ["localhost", "203.0.113", "203.0.113.256", "1.2.3.4, 5.6.7.8", "::g", " "])
async def test_an_address_that_is_none_is_refused_and_named(api: Api, address: str) -> None:
    lead = await api.lead()
    said = [{"purpose": "phone", "state": "given"}, {"purpose": "phone", "state": "given", "client_address": address}]
    refused = await api.call("PUT", f"/v1/leads/{lead['id']}/consents", {"consents": said})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "consents.1.client_address")
    assert await log_of(api, lead["id"]) == []


async def test_put_answers_what_it_has_added_and_get_gives_the_whole_log_in_pages(api: Api) -> None:
    lead, other = await api.lead(), await api.lead()
    path = f"/v1/leads/{lead['id']}/consents"
    for n in range(5):
        said = [{"purpose": f"purpose_{n}", "state": "given"}, {"purpose": "phone", "state": "given"}]
        answer = await api.call("PUT", path, {"consents": said})
        assert [one["purpose"] for one in answer.json()["log"]] == [f"purpose_{n}", "phone"]
    whole = await api.get(path)
    assert ([one["purpose"] for one in whole["log"]][::2], whole["next"]) == ([f"purpose_{n}" for n in range(5)], None)
    for limit, sizes in ((3, [3, 3, 3, 1]), (5, [5, 5]), (10, [10])):
        pages: list[list[dict[str, Any]]] = []
        cursor = None
        while not pages or cursor:
            page = await api.get(path, params={"limit": limit, **({"cursor": cursor} if cursor else {})})
            pages, cursor = [*pages, page["log"]], page["next"]
        assert [len(one) for one in pages] == sizes
        assert [entry for one in pages for entry in one] == whole["log"]
    first = await api.get(path, params={"limit": 1})
    for where, cursor in ((f"/v1/leads/{other['id']}/consents", first["next"]), (path, "nonsense")):
        refused = await api.call("GET", where, params={"cursor": cursor})
        assert (refused.status_code, refused.json()["code"]) == (422, "cursor_invalid")


async def test_what_somebody_unknown_withdrew_names_its_form_and_not_who_enters_the_address_later(api: Api) -> None:
    sender = await make_sender(
        api,
        overrides={
            "route": [{"when": "item.stop", "do": "consent"}],
            "consent": [{**ASKED, "expr": "item.stop", "if_yes": "withdrawn"}],
        },
    )
    made = await sender.post_and_process({"stop": "yes", "email": "ana@nordsoft.example"})
    lead = await api.lead(email="other@nordsoft.example")
    sales, change = await api.user("manager"), {"fields": {"email": "ana@nordsoft.example"}}
    assert (await api.call("PATCH", f"/v1/leads/{lead['id']}", change, actor=sales)).status_code == 200
    (entry,) = await log_of(api, lead["id"])
    assert (entry["state"], entry["text_version"], entry["submission_id"]) == ("withdrawn", "2026-03", made["id"])
    assert (entry["actor"]["kind"], entry["client_address"]) == ("service", None)


async def test_a_withdrawal_that_an_unmerge_gives_to_both_leads_is_the_same_proof_for_both(api: Api) -> None:
    lead, other = await api.lead(), await api.lead()
    await merged(api, lead, other)
    said = {"purpose": MARKETING, "state": "withdrawn", "text_version": "7", "client_address": "203.0.113.7"}
    assert (await api.call("PUT", f"/v1/leads/{other['id']}/consents", {"consents": [said]})).status_code == 200
    await unmerged(api, lead)
    assert (await log_of(api, lead["id"])) == (await log_of(api, other["id"])) != []
