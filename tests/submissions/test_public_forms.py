"""Forms of a web page: what a visitor and a script are answered, which are spam, and what a person says of spam."""

from __future__ import annotations

import asyncio
import hmac
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.api import Api
from tests.submissions.sender import Sender, count, make_sender, process

FORM = "application/x-www-form-urlencoded"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
SITE = "https://www.acme.example"
EXAMPLE = Path(__file__).parents[2] / "examples" / "contact_form.html"


class Fields(HTMLParser):
    """The names and values of a form's fields, and where it is sent."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self.action = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = given["action"]
        elif tag in ("input", "textarea") and given.get("type") != "checkbox":
            self.values[given["name"]] = given.get("value", "")


async def submit(sender: Sender, values: dict[str, Any], accept: str = BROWSER, **headers: str) -> Any:
    return await sender.post(urlencode(values), Content_Type=FORM, Accept=accept, **headers)


async def of_verdict(api: Api, verdict: str) -> list[Any]:
    return list((await api.get(f"/v1/submissions?verdict={verdict}"))["data"])


async def test_the_example_form_makes_a_lead_and_leads_its_visitor_to_the_page_it_names(api: Api) -> None:
    form = Fields(EXAMPLE.read_text())
    sender = await make_sender(
        api,
        "html-form",
        overrides={"respond": {"allow_hosts": ["www.acme.example"]}},
        defaults={"allowed_origins": [SITE]},
    )
    assert form.action == "https://baton.example/v1/ingest/SOURCE_KEY"
    typed = {"name": "Ana Pop", "email": "ana@nordsoft.example", "company": "Nordsoft", "newsletter": "yes"}
    shown_at = str(int(api.now.timestamp() * 1000) - 30_000)
    answer = await submit(sender, {**form.values, **typed, "_ts": shown_at}, Origin=SITE)
    await process(api)
    assert (answer.status_code, answer.headers["location"]) == (303, "https://www.acme.example/thanks")
    (lead,) = (await api.get("/v1/leads"))["data"]
    assert lead["fields"]["full_name"] == "Ana Pop"
    assert lead["consents"]["email_marketing"] == "given"
    assert lead["custom"] == {}, "the fields for Baton are no answers of the visitor"


@pytest.mark.parametrize(
    ("to", "status"),
    [
        ("https://www.acme.example/thanks", 303),
        ("https://evil.example/thanks", 202),
        ("//www.acme.example/thanks", 202),
        ("javascript:alert(1)", 202),
        ("/thanks", 202),
        ("", 202),
    ],
)
async def test_a_page_that_a_form_names_has_to_be_on_an_allowed_host(api: Api, to: str, status: int) -> None:
    sender = await make_sender(api, "html-form", overrides={"respond": {"allow_hosts": ["www.acme.example"]}})
    answer = await submit(sender, {"email": "a@nordsoft.example", "_next": to})
    assert (answer.status_code, answer.headers.get("location")) == (status, to if status == 303 else None)


async def test_a_page_elsewhere_is_replaced_by_the_thank_you_page_of_the_source(api: Api) -> None:
    sender = await make_sender(api, "html-form", defaults={"thank_you_url": f"{SITE}/thanks"})
    answer = await submit(sender, {"email": "a@nordsoft.example", "_next": "https://evil.example/"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{SITE}/thanks")


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (BROWSER, 303),
        ("application/json", 202),
        ("application/json, text/plain, */*", 202),
        ("application/json, text/html;q=0.5", 202),
        ("text/html;q=0.5, application/json;q=0.4", 303),
    ],
)
async def test_who_prefers_json_gets_json_instead_of_a_page(api: Api, accept: str, status: int) -> None:
    sender = await make_sender(api, "html-form", overrides={"respond": {"allow_hosts": ["www.acme.example"]}})
    answer = await submit(sender, {"email": "a@nordsoft.example", "_next": f"{SITE}/thanks"}, accept)
    assert answer.status_code == status
    assert status == 303 or answer.json()["submission"]["state"] == "received"


@pytest.mark.parametrize(("accept", "status"), [(BROWSER, 303), ("*/*", 202), ("application/json", 202)])
async def test_a_plain_text_form_of_a_page_makes_a_lead_and_leads_its_visitor_on(
    api: Api, accept: str, status: int
) -> None:
    sender = await make_sender(api, "html-form", defaults={"thank_you_url": f"{SITE}/thanks"})
    body = b"email=a+b@nordsoft.example\r\nname=Ana Pop\r\ncompany=A & B = C\r\ncsrf_token=x\r\n"
    answer = await sender.post(body, Content_Type="text/plain", Accept=accept)
    assert answer.status_code == status
    await process(api)
    (lead,) = (await api.get("/v1/leads"))["data"]
    assert [lead["fields"][name] for name in ("email", "company")] == ["a+b@nordsoft.example", "A & B = C"]


SPAM: list[tuple[dict[str, str], dict[str, str], str]] = [
    ({"_gotcha": "x"}, {}, "honeypot"),
    ({"baton_trap": "http://x.example"}, {}, "honeypot"),
    ({"_ts": "NOW"}, {}, "too_fast"),
    ({"message": "https://a.example https://b.example"}, {}, "too_many_links"),
    ({"email": "a@mailinator.com"}, {}, "disposable_address"),
    ({}, {"Origin": "https://evil.example"}, "origin_not_allowed"),
]


@pytest.mark.parametrize(("values", "headers", "flag"), SPAM)
async def test_spam_is_kept_with_its_reason_makes_no_lead_and_is_answered_like_the_rest(
    api: Api, values: dict[str, str], headers: dict[str, str], flag: str
) -> None:
    sender = await make_sender(api, "html-form", defaults={"allowed_origins": [SITE], "thank_you_url": SITE})
    stamped = {name: str(int(api.now.timestamp())) if value == "NOW" else value for name, value in values.items()}
    good = await submit(sender, {"email": "good@nordsoft.example"}, Origin=SITE)
    bad = await submit(sender, {"email": "bad@nordsoft.example", **stamped}, **headers)
    await process(api)
    assert (good.status_code, good.headers["location"]) == (bad.status_code, bad.headers["location"])
    (kept,) = await of_verdict(api, "spam")
    shown = await api.get(f"/v1/submissions/{kept['id']}")
    assert shown["items"][0]["mapped"]["flags"] == [flag]
    assert shown["items"][0]["mapped"]["fields"]["email"] == stamped.get("email", "bad@nordsoft.example")
    assert [lead["fields"]["email"] for lead in (await api.get("/v1/leads"))["data"]] == ["good@nordsoft.example"]


def plain(answer: Any) -> tuple[Any, ...]:
    """What an answer tells, without the ids that each has of its own."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "date")}
    body = answer.json() if answer.content else {"submission": {}}
    return answer.status_code, headers, {**body["submission"], "id": None}, body.keys()


@pytest.mark.parametrize("accept", ["application/json", BROWSER])
@pytest.mark.parametrize(
    ("preset", "secrets"),
    [("html-form", {}), ("generic", {}), ("elementor", {}), ("webflow", {})],
)
async def test_who_proves_no_secret_learns_nothing_by_waiting_for_the_items(
    api: Api, preset: str, secrets: dict[str, str], accept: str
) -> None:
    sender = await make_sender(api, preset, secrets=secrets, defaults={"thank_you_url": SITE})
    known = {"email": "known@nordsoft.example", "name": "Ana Pop"}
    await submit(sender, known, accept)
    await process(api)
    forms = [
        known,
        {**known, "message": "again"},
        {"email": "new@nordsoft.example"},
        {"email": "bot@nordsoft.example", "_gotcha": "x"},
        {"email": "a@mailinator.com", "message": "https://a.example https://b.example"},
        {"message": "nobody"},
        {},
    ]
    expected = plain(await submit(sender, {"email": "first@nordsoft.example"}, accept))
    answers = [await submit(sender, form, accept, Prefer="wait=5") for form in forms]
    assert [plain(answer) for answer in answers] == [expected] * len(forms)
    assert await count(api, "SELECT count(*) FROM submissions WHERE state = 'received'") == len(forms) + 1, (
        "nothing is processed before the answer, whose time would tell the verdict"
    )


VERIFIED: dict[str, tuple[dict[str, Any], str, dict[str, str]]] = {
    "token": ({"kind": "token", "in": "header", "name": "X-Api-Key"}, "t-1", {"X-Api-Key": "t-1"}),
    "basic": ({"kind": "basic"}, "me:pass", {"Authorization": "Basic bWU6cGFzcw=="}),
    "signing": ({"kind": "hmac", "header": "X-Signature", "signed": "fixed"}, "s-1", {"X-Signature": "HMAC"}),
}


@pytest.mark.parametrize("secret", VERIFIED)
@pytest.mark.parametrize("open_without", [True, False])
async def test_who_proves_a_secret_may_wait_for_the_items(api: Api, secret: str, open_without: bool) -> None:
    rule, value, headers = VERIFIED[secret]
    signature = hmac.digest(b"s-1", b"fixed", "sha256").hex()
    sent = {name: signature if text == "HMAC" else text for name, text in headers.items()}
    overrides = {"verify": [rule], "open_without_secrets": open_without}
    sender = await make_sender(api, "html-form", overrides=overrides, secrets={secret: value})
    answer = await submit(sender, {"email": "a@nordsoft.example"}, "application/json", Prefer="wait=5", **sent)
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=5")
    assert answer.json()["submission"]["items"][0]["verdict"] == "lead"
    spam = {"email": "b@nordsoft.example", "_gotcha": "x"}
    answer = await submit(sender, spam, "application/json", Prefer="wait=5", **sent)
    assert (answer.status_code, answer.json()["submission"].keys()) == (202, {"id", "state"})
    assert len(await of_verdict(api, "spam")) == 1


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
@pytest.mark.parametrize("extra", [{}, {"_gotcha": "x"}], ids=["genuine", "spam"])
async def test_who_sends_a_public_form_and_waits_learns_nothing_of_what_became_of_it(
    api: Api, extra: dict[str, str], accept: str
) -> None:
    sender = await make_sender(api, "html-form")
    answers = [
        await submit(sender, {"email": "a@nordsoft.example", **extra}, accept, **more)
        for more in ({}, {"Prefer": "wait=5"})
    ]
    assert len({(one.status_code, one.headers.get("preference-applied")) for one in answers}) == 1
    assert "lead_id" not in answers[1].text


@pytest.mark.parametrize("origin", [SITE, SITE + ".", None])
async def test_an_allowed_origin_or_none_is_no_spam(api: Api, origin: str | None) -> None:
    sender = await make_sender(api, "html-form", defaults={"allowed_origins": [SITE]})
    await submit(sender, {"email": "a@nordsoft.example"}, **({"Origin": origin} if origin else {}))
    await process(api)
    assert await of_verdict(api, "spam") == []


@pytest.mark.parametrize(
    ("allowed", "verdict", "header"),
    [([SITE], "spam", None), ([SITE, "null"], "lead", "null"), (["null"], "lead", "null"), (["*"], "lead", "*")],
)
async def test_a_page_that_hides_its_origin_is_allowed_by_the_name_null_only(
    api: Api, allowed: list[str], verdict: str, header: str | None
) -> None:
    sender = await make_sender(api, "html-form", defaults={"allowed_origins": allowed})
    answer = await submit(sender, {"email": "a@nordsoft.example"}, Origin="null")
    assert (answer.status_code, answer.headers.get("access-control-allow-origin")) == (202, header)
    await process(api)
    assert len(await of_verdict(api, verdict)) == 1


async def test_a_person_says_that_spam_is_none_and_it_becomes_a_lead_once(api: Api) -> None:
    sdr = await api.user("sdr")
    sender = await make_sender(api, "html-form", defaults={"allowed_origins": [SITE]})
    for values, headers, _ in SPAM:
        stamped = {name: "1" if value == "NOW" else value for name, value in values.items()}
        await submit(sender, {"email": f"{len(values)}{len(headers)}@nordsoft.example", **stamped}, **headers)
    await process(api)
    kept = await of_verdict(api, "spam")
    assert len(kept) == 5  # all but the one whose time is long ago
    for one in kept:
        path = f"/v1/submissions/{one['id']}/verdict"
        answers = await asyncio.gather(*(api.call("POST", path, {"verdict": "not_spam"}, actor=sdr) for _ in range(3)))
        assert [answer.status_code for answer in answers] == [202, 202, 202]
    await process(api)
    again = await api.call("POST", f"/v1/submissions/{kept[0]['id']}/verdict", {"verdict": "not_spam"})
    await process(api)
    assert again.status_code == 202
    assert await of_verdict(api, "spam") == []
    shown = await api.get(f"/v1/submissions/{kept[0]['id']}")
    assert shown["items"][0]["verdict"] == "lead"
    assert (shown["review"]["verdict"], shown["review"]["actor"]["id"]) == ("not_spam", sdr)
    activities = await count(api, "SELECT count(*) FROM activities")
    assert activities == await count(api, "SELECT count(*) FROM submissions")


async def test_what_a_rule_of_the_source_calls_spam_can_be_reviewed_too(api: Api) -> None:
    route = [{"when": "item.kind == 'ad'", "do": "spam"}]
    sender = await make_sender(api, overrides={"route": route})
    made = await sender.post_and_process({"email": "a@nordsoft.example", "kind": "ad"})
    await api.call("POST", f"/v1/submissions/{made['id']}/verdict", {"verdict": "not_spam"})
    await process(api)
    assert (await sender.submission(made["id"]))["items"][0]["verdict"] == "lead"


async def test_only_spam_can_be_reviewed(api: Api) -> None:
    sender = await make_sender(api)
    made = await sender.post_and_process({"email": "a@nordsoft.example"})
    path = f"/v1/submissions/{made['id']}/verdict"
    other = await api.call("POST", path, {"verdict": "spam"})
    assert [one["detail"] for one in other.json()["errors"]] == ["write 'not_spam'"]
    no_spam = await api.call("POST", path, {"verdict": "not_spam"})
    unknown = await api.call("POST", "/v1/submissions/sub_01h455vb4pex5vsknk084sn02q/verdict", {"verdict": "not_spam"})
    misspelt = await api.call("POST", path, {"verdict": "ham"})
    assert (no_spam.status_code, no_spam.json()["code"]) == (409, "state_conflict")
    assert (unknown.status_code, misspelt.status_code) == (404, 422)
    assert (await sender.submission(made["id"]))["review"] is None
