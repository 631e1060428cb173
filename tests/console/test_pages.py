"""Each page: with data, of an empty tenant, with hostile names, and for a key without rights."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from itertools import pairwise

import pytest

from app.console.api import AT_ONCE
from app.console.navigation import NAVIGATION
from app.database.engine import make_engine
from app.errors import DatabaseUnavailable, Overloaded
from app.events.partitions import create_partitions
from app.events.sequence import sequence
from app.journeys.refresh import refresh_due
from app.settings import Settings
from app.web.examples import POLICY
from tests.api import Api, running
from tests.console.browser import Browser, Page, logged_in
from tests.console.world import LISTS, fill, pages
from tests.contract.contract import unknown
from tests.contract.world import second_tenant
from tests.ports import reserved_port

LARGEST = 150_000
LONG = "Maximiliane" * 80
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "\u202eevil\u202c \u200fשלום",
    "&lt;b&gt; &amp;",
    LONG,
)


def check_page(page: Page, status: int = 200) -> None:
    """What holds for every page of the console, whatever it shows."""
    assert page.status == status, page.html
    assert page.headers["content-security-policy"].startswith("default-src 'self';")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert len(page.html.encode()) < LARGEST
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("title")) == len(page.all("main")) == 1
    check_headings(page.headings)
    check_scripts(page)
    check_forms(page)
    identifiers = [given["id"] for _, given in page.tags if "id" in given]
    assert len(identifiers) == len(set(identifiers))
    assert all("alt" in image for image in page.all("img"))
    assert all(column.get("scope") in ("col", "row") for column in page.all("th"))


def check_headings(levels: list[int]) -> None:
    """One h1, which comes first; no level is left out on the way down."""
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= before + 1 for before, later in pairwise(levels)), levels


def check_scripts(page: Page) -> None:
    """No script or style in the page itself, and nothing from elsewhere."""
    assert [set(script) for script in page.all("script")] == [{"src", "defer"}]
    assert page.all("style") == []
    for tag, given in page.tags:
        assert not any(name.startswith("on") or name == "style" for name in given), (tag, given)
        for name in ("src", "href", "action", "hx-get", "hx-post"):
            if (target := given.get(name)) is not None:
                assert re.match(r"/console(/|$|\?)|#|\?", target), (tag, name, target)


def check_forms(page: Page) -> None:
    """Each field has a label, and each form that changes something has a token."""
    for form in page.forms:
        labelled = form.ids & page.labels
        assert labelled, form
        assert form.ids - page.labels <= {""}, form  # only a button may have its own text alone
        if form.method == "post":
            assert re.fullmatch("[0-9a-f]{64}", form.fields["form_token"]), form


async def check_pages(browser: Browser, paths: Iterable[str]) -> None:
    for path in paths:
        check_page(await browser.get(path))


async def test_every_page_shows_what_there_is(api: Api) -> None:
    made = await fill(api)
    browser = await logged_in(api)
    await check_pages(browser, pages(made))
    expected = {
        "/console": ("Waits for somebody", "due in", "form", "All 1 subscriptions are served."),
        "/console/leads": ("Anna Zvoristeanu", "Nordsoft", "sal"),
        f"/console/leads/{made['lead_id']}": ("demo request", "inquiry → mql", "accept", "Why not?", "/hook"),
        f"/console/accounts/{made['account_id']}": ("nordsoft.ro", "anna@nordsoft.ro", "Renewal", "create"),
        f"/console/opportunities/{made['opportunity_id']}": ("Renewal", "Nordsoft", "stage"),
        f"/console/sources/{made['source_id']}": ("quarantined", made["quarantined_id"], "Dry run"),
        f"/console/subscriptions/{made['subscription_id']}": ("http://127.0.0.1:9/hook", "Pause", "Lanes 1"),
        f"/console/policies/{made['policy_id']}": ("qualify", "requires: ", "Points for fit"),
    }
    for path, texts in expected.items():
        page = await browser.get(path)
        assert [one for one in texts if one not in page.text] == [], path


async def test_every_page_of_an_empty_tenant_says_that_there_is_nothing(api: Api) -> None:
    browser = await logged_in(await second_tenant(api))
    await check_pages(browser, LISTS)
    assert "No lead waits for anybody." in (await browser.get("/console")).text
    assert "No lead yet." in (await browser.get("/console/leads")).text
    assert "There is no subscription" in (await browser.get("/console/subscriptions")).text
    versions = await browser.get("/console/policies")
    [policy] = [given["href"] for given in versions.all("a") if "/policies/" in (given.get("href") or "")]
    check_page(await browser.get(str(policy)))


async def test_every_entry_of_the_navigation_is_a_page_that_marks_itself(api: Api) -> None:
    browser = await logged_in(api)
    for entry in NAVIGATION:
        page = await browser.get(f"/console{entry.path}")
        marked = [given["href"] for given in page.all("a") if given.get("aria-current") == "page"]
        assert (page.status, marked) == (200, [f"/console{entry.path}"])


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_name_is_text_on_every_page(api: Api, name: str) -> None:
    made = await fill(api)
    changed = {"fields": {"full_name": name, "company": name, "job_title": name}, "custom": {"note": name}}
    answer = await api.call("PATCH", f"/v1/leads/{made['lead_id']}", changed)
    assert answer.status_code == 200, answer.text
    await api.call("PATCH", f"/v1/sources/{made['source_id']}", {"name": name[:100]})
    await api.call("PATCH", f"/v1/users/{made['user_id']}", {"name": name[:100]})
    await api.call("PATCH", f"/v1/accounts/{made['account_id']}", {"name": name[:100], "industry": name[:100]})
    await api.call(
        "PATCH", f"/v1/opportunities/{made['opportunity_id']}", {"name": name[:100], "custom": {name[:60]: name}}
    )
    await api.call("PATCH", f"/v1/contacts/{made['contact_id']}", {"full_name": name[:100], "job_title": name[:100]})
    browser = await logged_in(api)
    await check_pages(browser, pages(made))
    shown = await browser.get(f"/console/leads/{made['lead_id']}")
    stored = (await api.get(f"/v1/leads/{made['lead_id']}"))["fields"]["company"]
    assert stored[:59] in shown.text


@pytest.mark.parametrize("typed", [*HOSTILE, "\x00", "%", "'; DROP TABLE leads; --"])
async def test_whatever_is_searched_for_there_is_a_page(api: Api, typed: str) -> None:
    browser = await logged_in(api)
    for name in ("q", "stage", "owner_id", "temperature", "cursor", "sla"):
        page = Page(await browser.client.get("/console/leads", params={name: typed}))
        check_page(page)
        form = page.form("/console/leads")
        assert set(form.fields) == {"q", "stage", "owner_id", "temperature", "sla"}


SECTIONS = {
    "/console": {"leads:read": 3, "subscriptions": 1, "events:read": 1},
    "/console/leads": {"leads:read": 1},
    "/console/accounts": {"leads:read": 1},
    "/console/pipeline": {"reports:read": 1},
    "/console/sources": {"leads:read": 1},
    "/console/subscriptions": {"subscriptions": 1},
    "/console/policies": {"policy:read": 1},
}


@pytest.mark.parametrize(("path", "lacking"), SECTIONS.items())
async def test_a_key_without_a_scope_sees_why_a_page_is_empty(api: Api, path: str, lacking: dict[str, int]) -> None:
    await fill(api)
    browser = await logged_in(api, "actors:assert")
    page = await browser.get(path)
    check_page(page)
    for scope, times in lacking.items():
        assert page.html.count(f"<code>{scope}</code>") == times, page.text
    assert "Waits for somebody" not in page.text


async def test_a_reader_sees_the_leads_and_is_refused_what_it_may_not_do(api: Api) -> None:
    made = await fill(api)
    browser = await logged_in(api, "leads:read")
    lead = await browser.get(f"/console/leads/{made['lead_id']}")
    check_page(lead)
    assert "Anna Zvoristeanu" in lead.text
    assert "<code>subscriptions</code>" in lead.html
    source = await browser.get(f"/console/sources/{made['source_id']}")
    check_page(source)
    refused = await browser.send(source.form(f"{made['source_id']}/replay"))
    check_page(refused, 403)
    assert "<code>leads:write</code>" in refused.html
    check_page(await browser.get(f"/console/subscriptions/{made['subscription_id']}"), 403)
    check_page(await browser.get(f"/console/policies/{made['policy_id']}"), 403)


async def test_what_does_not_exist_or_is_of_another_tenant_is_a_page_that_says_so(api: Api) -> None:
    made = await fill(api)
    rival = await logged_in(await second_tenant(api))
    places = {"policy": "policies", "opportunity": "opportunities"}
    for kind in ("lead", "account", "opportunity", "source", "subscription", "policy"):
        place = f"/console/{places.get(kind, f'{kind}s')}"
        for written in (made[f"{kind}_id"], unknown(f"{kind}_id"), "nothing", f"{made['lead_id']}%3Flimit=1", "%00"):
            check_page(await rival.get(f"{place}/{written}"), 404)
    check_page(await rival.get("/console/nothing/at/all"), 404)
    assert (await rival.get(f"/console/policies/{made['policy_id']}/diagram")).status == 404


async def test_while_the_database_is_away_a_page_says_so(api: Api) -> None:
    browser, engine = await logged_in(api), api.app.state.engine
    with reserved_port() as port:
        api.app.state.engine = away = make_engine(f"postgresql+asyncpg://nobody@127.0.0.1:{port}/nothing", 1)
        for path in ("/console", "/console/leads", "/console/sources/nothing"):
            page = await browser.get(path)
            check_page(page, 503)
            assert DatabaseUnavailable.title() in page.text
    api.app.state.engine = engine
    await away.dispose()
    check_page(await browser.get("/console"))


async def test_a_long_list_of_leads_is_read_page_by_page(api: Api) -> None:
    for number in range(60):
        await api.lead(full_name=f"Lead {number:02}")
    browser = await logged_in(api)
    first = await browser.get("/console/leads?stage=inquiry")
    [following] = [str(given["href"]) for given in first.all("a") if given.get("rel") == "next"]
    second = await browser.get(following)
    shown = [set(re.findall(r"Lead [0-9]{2}", page.text)) for page in (first, second)]
    assert [len(names) for names in shown] == [50, 10]
    assert len(shown[0] | shown[1]) == 60
    assert "First page" in second.text
    check_page(second)


async def test_two_versions_of_a_policy_stand_side_by_side_and_each_is_drawn(api: Api) -> None:
    made = await fill(api)
    browser = await logged_in(api)
    page = await browser.get(f"/console/policies/{made['policy_id']}")
    [image] = page.all("img")
    drawn = await browser.client.get(str(image["src"]))
    assert (drawn.status_code, drawn.headers["content-type"]) == (200, "image/svg+xml")
    active = (await api.get("/v1/policies/active"))["id"]
    beside = await browser.get(f"/console/policies/{made['policy_id']}?against={active}")
    check_page(beside)
    differences = (await api.get(f"/v1/policies/{made['policy_id']}/diff?against={active}"))["changes"]
    assert len(differences) > 5
    assert all(one["text"][:190] in beside.text for one in differences[:50])


async def test_pages_of_a_large_policy_and_of_a_lead_with_a_long_life_are_cut_and_say_so(api: Api) -> None:
    made = await fill(api)
    rules = [{"id": f"page_{number}", "type": f"visited_{number}", "points": 1} for number in range(100)]
    conditions = {
        f"wanted_{number}": {"field": "custom.wanted", "in": ['"' * 60 + str(word) for word in range(20)]}
        for number in range(150)
    }
    document = {
        **POLICY,
        "name": "large",
        "conditions": conditions,
        "scoring": {**POLICY["scoring"], "engagement": rules},
    }
    policy = await api.post("/v1/policies", document)
    acted = [{"lead_id": made["lead_id"], "type": f"visited_{number}"} for number in range(100)]
    await api.post("/v1/activities", {"activities": acted})
    custom = {f"note {number}": '"<>&' * 200 for number in range(150)}
    answer = await api.call("PATCH", f"/v1/leads/{made['lead_id']}", {"custom": custom})
    assert answer.status_code == 200, answer.text
    browser = await logged_in(api)
    shown = await browser.get(f"/console/policies/{policy['id']}")
    check_page(shown)
    assert "150 in all; the first 50 are shown." in shown.text
    lead = await browser.get(f"/console/leads/{made['lead_id']}")
    check_page(lead)
    assert "earlier lines are left out" in lead.text


async def test_a_recycled_lead_that_is_due_is_shown_until_it_is_taken_up(api: Api) -> None:
    sdr, marketer, lead = await api.user("sdr"), await api.user("marketing"), await api.mql(full_name="Comes Back")
    await api.ask(lead, "recycle", sdr, reason_code="timing", wake_at=api.ago(days=-60))
    browser = await logged_in(api)
    assert "Comes Back" not in (await browser.get("/console")).text
    api.clock.ahead += timedelta(days=60, minutes=1)
    await refresh_due(api.app.state.engine, api.clock.now)
    await create_partitions(api.app.state.engine)
    await sequence(api.app.state.engine)
    await browser.log_in()
    due = await browser.get("/console")
    check_page(due)
    assert "Comes Back" in due.text
    taken = await api.ask(lead, "qualify", marketer, override_reason="they called")
    assert taken.status_code == 201, taken.text
    section = (await browser.get("/console")).html.partition('id="recycled"')[2].partition("</section>")[0]
    assert "Comes Back" not in section


async def test_a_page_takes_at_most_five_slots_of_its_process(settings: Settings) -> None:
    async with running(settings.model_copy(update={"max_in_flight": 1 + AT_ONCE})) as api:
        made = await fill(api)
        browser = await logged_in(api)
        for path in pages(made):
            page = await browser.get(path)
            check_page(page)
            assert Overloaded.title() not in page.text, path


async def test_the_stylesheet_and_the_script_come_from_this_process(api: Api) -> None:
    for name, kind in (("console.css", "text/css"), ("htmx.min.js", "text/javascript"), ("icon.svg", "image/svg+xml")):
        answer = await api.client.get(f"/console/static/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert not re.search(r"url\(|@import|//cdn", answer.text) or name == "htmx.min.js"
    assert "Zero-Clause BSD" in (await api.client.get("/console/static/htmx.LICENSE")).text


async def test_behind_a_path_every_link_begins_with_it(settings: Settings) -> None:
    async with running(settings.model_copy(update={"public_url": "https://crm.example/leads"})) as api:
        page = await Browser(api).get("/console/session")
        links = [given.get(name) for _, given in page.tags for name in ("href", "src", "action") if given.get(name)]
        assert [link for link in links if not str(link).startswith(("/leads/console", "#"))] == []
        cookie = page.headers["set-cookie"]
        assert "Path=/leads/console;" in cookie
        assert cookie.endswith("; Secure")
