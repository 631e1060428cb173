"""Hosts of many people's pages name no company (hosts.yaml)."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from app.matching.company import company_domain
from app.matching.normalize import normalize
from tests.api import Api
from tests.conversion.steps import convert, sql_lead

HOSTS: list[str] = yaml.safe_load(Path(__file__).with_name("hosts.yaml").read_text("utf-8"))


@pytest.mark.parametrize("address", HOSTS)
@pytest.mark.parametrize("field", ["website", "domain"])
def test_a_host_of_many_is_no_domain_and_the_e_mail_decides(address: str, field: str) -> None:
    alone = normalize({"email": "ana@gmail.com", field: address}, {}, None).fields
    beside = normalize({"email": "ana@acme.com", field: address}, {}, None).fields
    assert (alone.get("domain"), beside["domain"]) == (None, "acme.com")


@pytest.mark.parametrize("address", ["https://www.acme.com/x", "shop.acme.co.uk", "https://linktree-agency.com"])
def test_a_host_of_its_own_is_a_domain(address: str) -> None:
    assert company_domain((address,), None, role_mailbox=False) is not None


def test_whoever_has_an_address_at_such_a_host_works_there() -> None:
    assert normalize({"email": "ana@github.com"}, {}, None).fields["domain"] == "github.com"


async def test_the_text_of_the_website_stays(api: Api) -> None:
    lead = await api.lead(email="ana@gmail.com", website="https://linktr.ee/acme")
    assert (lead["fields"]["website"], lead["fields"]["domain"]) == ("https://linktr.ee/acme", None)


async def test_such_a_domain_is_refused_for_accounts_and_in_changes_of_leads(api: Api) -> None:
    account = await api.post("/v1/accounts", {"name": "Acme"})
    lead = await api.lead()
    for address in HOSTS:
        made = await api.call("POST", "/v1/accounts", {"name": "Other", "domain": address})
        changed = await api.call("PATCH", f"/v1/accounts/{account['id']}", {"domain": address})
        led = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"domain": address, "email": "b@acme.com"}})
        assert [answer.status_code for answer in (made, changed, led)] == [422] * 3, address
        assert led.json()["errors"][0]["field"] == "fields.domain"


async def test_two_companies_under_one_host_become_two_accounts(api: Api) -> None:
    ae, made = await api.user("ae"), set()
    for company in ("Nordsoft", "Sudsoft"):
        lead = await sql_lead(api, ae, email=f"ana@{company}.ro", company=company, website="https://linktr.ee/a")
        made.add((await convert(api, lead, ae)).json()["conversion"]["account"]["id"])
    assert len(made) == 2
