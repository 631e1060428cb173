"""Ingest: verification, responses, and commit before the response."""

import base64
import hmac
import json
from typing import Any

import asyncpg
import pytest

from app import metrics
from app.submissions.ingest import preferred_wait, prefers_html
from tests.api import Api
from tests.submissions.sender import count, make_sender, person, typeform_signature

FORM = "application/x-www-form-urlencoded"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


async def test_a_submission_is_committed_before_its_202(api: Api, dsn: str) -> None:
    sender = await make_sender(api)
    answer = await sender.post(person())
    second = await asyncpg.connect(dsn)
    try:
        stored = await second.fetchval("SELECT state FROM submissions")
    finally:
        await second.close()
    assert answer.status_code == 202
    assert answer.json() == {"submission": {"id": answer.json()["submission"]["id"], "state": "received"}}
    assert stored == "received"


async def test_a_signed_post_is_202_and_a_wrong_signature_is_401_and_nothing_is_stored(api: Api) -> None:
    sender = await make_sender(api, "typeform")
    body = json.dumps({"form_response": {"token": "t1", "answers": []}}).encode()
    forged = await sender.post(body, Typeform_Signature=typeform_signature(body, "another-secret"))
    missing = await sender.post(body)
    assert [forged.status_code, missing.status_code] == [401, 401]
    assert await count(api, "SELECT count(*) FROM submissions") == 0
    assert (await sender.post(body, Typeform_Signature=typeform_signature(body))).status_code == 202


async def test_an_unknown_key_and_a_wrong_signature_get_the_same_answer(api: Api) -> None:
    sender = await make_sender(api, "typeform")
    wrong = await sender.post(b"<secret>&x", Origin="https://a.example")
    unknown = await api.client.post(
        "/v1/ingest/" + "x" * 43, content=b"<secret>&x", headers={"Origin": "https://a.example"}
    )
    impossible = await api.client.post("/v1/ingest/%00%FF", content=b"x")
    assert wrong.status_code == unknown.status_code == impossible.status_code == 401
    assert wrong.json() == unknown.json() == impossible.json()
    assert wrong.json()["code"] == "signature_invalid"
    different = {"x-request-id"}
    assert {k: v for k, v in wrong.headers.items() if k not in different} == {
        k: v for k, v in unknown.headers.items() if k not in different
    }
    assert "secret" not in wrong.text


async def test_refusals_are_counted_by_reason(api: Api) -> None:
    before = metrics.REFUSED.labels("unknown_key")._value.get()
    await api.client.post("/v1/ingest/" + "y" * 43, content=b"x")
    assert metrics.REFUSED.labels("unknown_key")._value.get() == before + 1


async def test_a_source_without_its_secret_refuses_every_request(api: Api) -> None:
    sender = await make_sender(api, "typeform", secrets={})
    assert sender.source["missing_secrets"] == ["signing"]
    assert (await sender.post(b"{}", Typeform_Signature=typeform_signature(b"{}", ""))).status_code == 401


async def test_two_secrets_are_valid_while_one_is_rotated(api: Api) -> None:
    sender = await make_sender(api, "typeform", secrets={"signing": ["old", "new"]})
    for secret in ("old", "new"):
        assert (await sender.post(b"{}", Typeform_Signature=typeform_signature(b"{}", secret))).status_code == 202


async def test_a_disabled_source_is_503_and_stores_nothing(api: Api) -> None:
    sender = await make_sender(api)
    await api.call("PATCH", f"/v1/sources/{sender.source['id']}", {"enabled": False})
    for answer in (await sender.post(person()), await api.client.get(sender.path)):
        assert answer.status_code == 503
        assert answer.json()["code"] == "source_disabled"
        assert int(answer.headers["retry-after"]) > 0
    assert await count(api, "SELECT count(*) FROM submissions") == 0


async def test_an_archived_source_answers_like_an_unknown_key_and_its_submissions_stay(api: Api) -> None:
    sender = await make_sender(api)
    made = await sender.post_and_process(person())
    archived = await api.call("DELETE", f"/v1/sources/{sender.source['id']}")
    assert archived.status_code == 200
    assert (await sender.post(person())).status_code == 401
    assert (await sender.submission(made["id"]))["items"][0]["verdict"] == "lead"
    assert (await api.get(f"/v1/sources/{sender.source['id']}"))["archived_at"]


async def test_headers_and_queries_are_stored_without_their_secrets(api: Api) -> None:
    rules = [{"kind": "token", "in": "query", "name": "secret"}, {"kind": "token", "in": "header", "name": "X-Door"}]
    sender = await make_sender(api, overrides={"verify": rules}, secrets={"token": "s3cret-value"})
    answer = await api.client.post(
        f"{sender.path}?utm_source=a%20b&secret=s3cret-value",
        json=person(),
        headers={
            "Authorization": "Basic s3cret-value",
            "Cookie": "s3cret-value",
            "X-Api-Key": "s3cret-value",
            "X-Door": "s3cret-value",
            "User-Agent": "Forms/1.0",
        },
    )
    raw = await api.get(f"/v1/submissions/{answer.json()['submission']['id']}/raw")
    assert raw["headers"]["user-agent"] == "Forms/1.0"
    assert raw["query"] == "utm_source=a%20b"
    assert "s3cret" not in json.dumps(raw)
    assert await count(api, "SELECT count(*) FROM submissions WHERE headers::text || query LIKE '%s3cret%'") == 0


VERIFIED: dict[str, Any] = {
    "overrides": {"verify": [{"kind": "token", "in": "header", "name": "X-Api-Key"}]},
    "secrets": {"token": "t-1"},
}


async def test_prefer_wait_returns_the_items(api: Api) -> None:
    sender = await make_sender(api, **VERIFIED)
    answer = await sender.post(person(), X_Api_Key="t-1", Prefer="respond-async, wait=10")
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=10"
    assert answer.json()["submission"]["items"][0]["verdict"] == "lead"


async def test_prefer_wait_is_202_when_processing_does_not_end_in_time(api: Api) -> None:
    sender = await make_sender(api, **VERIFIED)
    async with api.app.state.engine.begin() as tx:
        await tx.command("LOCK TABLE submission_items IN SHARE MODE")
        answer = await sender.post(person(), X_Api_Key="t-1", Prefer="wait=1")
    assert answer.status_code == 202
    assert answer.json()["submission"]["state"] == "received"


@pytest.mark.parametrize(
    ("prefer", "seconds"), [("wait=3", 3), ("WAIT = 4", 4), ("wait=99", 10), ("wait=x", 0), ("", 0), ("await=3", 0)]
)
def test_the_wait_is_at_most_ten_seconds(prefer: str, seconds: int) -> None:
    assert preferred_wait(prefer) == seconds


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("*/*", False),
        ("", False),
        ("application/json", False),
        ("application/json, text/html;q=0.5", False),
        ("text/html;q=x", False),
    ],
)
def test_a_browser_is_recognised_by_its_accept_header(accept: str, html: bool) -> None:
    assert prefers_html(accept) is html


async def test_a_browser_is_redirected_to_the_thank_you_page_and_a_script_gets_json(api: Api) -> None:
    sender = await make_sender(api, "html-form", defaults={"thank_you_url": "https://www.acme.example/thanks"})
    browser = await sender.post("email=a%40nordsoft.example", Content_Type=FORM, Accept=BROWSER)
    script = await sender.post("email=b%40nordsoft.example", Content_Type=FORM, Accept="application/json")
    assert (browser.status_code, browser.headers["location"]) == (303, "https://www.acme.example/thanks")
    assert script.status_code == 202


async def test_a_redirect_url_in_the_form_is_followed_only_when_its_host_is_allowed(api: Api) -> None:
    body = "oid=1&last_name=Pop&email=c%40nordsoft.example&retURL=https%3A%2F%2Fwww.example.com%2Fthanks.html"
    closed = await make_sender(api, "salesforce-web-to-lead")
    allowed = await make_sender(
        api, "salesforce-web-to-lead", overrides={"respond": {"allow_hosts": ["www.example.com"]}}
    )
    away = await allowed.post(body.replace("www.example.com", "evil.example"), Content_Type=FORM, Accept=BROWSER)
    there = await allowed.post(body, Content_Type=FORM, Accept=BROWSER)
    assert (await closed.post(body, Content_Type=FORM, Accept=BROWSER)).status_code == 202
    assert away.status_code == 202
    assert (there.status_code, there.headers["location"]) == (302, "https://www.example.com/thanks.html")


async def test_a_page_may_post_from_the_allowed_origins_only(api: Api) -> None:
    everybody = await make_sender(api)
    one = await make_sender(api, defaults={"allowed_origins": ["https://www.acme.example"]})
    point = await make_sender(api, defaults={"allowed_origins": ["https://www.acme.example.:8443"]})
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for sender, origin, allowed in (
        (everybody, "https://x.example", "*"),
        (one, "https://www.acme.example", "https://www.acme.example"),
        (one, "https://x.example", None),
        (one, "https://www.acme.example.", "https://www.acme.example."),
        (point, "https://www.acme.example:8443", "https://www.acme.example:8443"),
    ):
        preflight = await api.client.options(sender.path, headers={"Origin": origin, **asked})
        posted = await sender.post(person(), Origin=origin)
        assert preflight.status_code == 204
        assert preflight.headers.get("access-control-allow-origin") == allowed
        assert posted.headers.get("access-control-allow-origin") == allowed
        assert "access-control-allow-credentials" not in preflight.headers
    assert "POST" in preflight.headers["access-control-allow-methods"]
    elsewhere = await api.client.options("/v1/sources", headers={"Origin": "https://x.example", **asked})
    assert "access-control-allow-origin" not in elsewhere.headers


async def test_get_and_head_of_an_ingest_url_are_200_and_a_get_with_a_form_is_405(api: Api) -> None:
    sender = await make_sender(api)
    assert (await api.client.get(sender.path)).status_code == 200
    assert (await api.client.head(sender.path)).status_code == 200
    assert (await api.client.get(sender.path + "?email=a%40nordsoft.example")).status_code == 405
    assert (await api.client.get("/v1/ingest/" + "z" * 43)).status_code == 401


async def test_a_handshake_echoes_the_challenge(api: Api) -> None:
    handshake = {"kind": "echo", "param": "hub.challenge", "token_param": "hub.verify_token"}
    sender = await make_sender(api, overrides={"handshake": handshake}, secrets={"verify_token": "v"})
    right = await api.client.get(sender.path, params={"hub.challenge": "<b>1</b>", "hub.verify_token": "v"})
    wrong = await api.client.get(sender.path, params={"hub.challenge": "1", "hub.verify_token": "w"})
    assert (right.status_code, right.text) == (200, "<b>1</b>")
    assert right.headers["content-type"].startswith("text/plain")
    assert wrong.status_code == 401
    assert await count(api, "SELECT count(*) FROM submissions") == 0


async def test_a_challenge_is_answered_with_the_signing_secret_when_it_is_the_only_one(api: Api) -> None:
    handshake = {"kind": "hmac_echo", "param": "challengeCode", "answer": "{hmac}"}
    sender = await make_sender(api, overrides={"handshake": handshake}, secrets={"signing": "client-secret"})
    answer = await api.client.get(sender.path, params={"challengeCode": "890e4665"})
    assert (answer.status_code, answer.text) == (200, hmac.new(b"client-secret", b"890e4665", "sha256").hexdigest())
    assert sender.source["missing_secrets"] == []
    without = await make_sender(api, overrides={"handshake": handshake}, secrets={})
    assert (await api.client.get(without.path, params={"challengeCode": "1"})).status_code == 401
    assert without.source["missing_secrets"] == ["signing"]


async def test_a_document_may_set_the_response(api: Api) -> None:
    sender = await make_sender(api, overrides={"respond": {"status": 200, "body": {"status": "ok"}}})
    answer = await sender.post(person())
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_body_over_the_limit_is_413(api: Api) -> None:
    sender = await make_sender(api)
    assert (await sender.post(b"x" * (1024 * 1024 + 1))).status_code == 413


async def test_a_response_names_the_lead_and_its_stage_when_it_waits_for_them(api: Api) -> None:
    body = {"id": "{lead_id}", "stage": "{stage}", "text": "{verdict} of {submission_id}"}
    waiting = await make_sender(api, overrides={"respond": {"status": 200, "wait_s": 5, "body": body}})
    answer = await waiting.post(person())
    said = answer.json()
    assert answer.status_code == 200
    lead = await api.get(f"/v1/leads/{said['id']}")
    assert said["stage"] == lead["stage"]
    [item] = (await waiting.submission(said["text"].removeprefix("lead of ")))["items"]
    assert item["lead_id"] == said["id"]
    nobody = (await waiting.post({"budget": "10k"})).json()
    assert (nobody["id"], nobody["stage"], nobody["text"][:11]) == (None, None, "quarantined")


async def test_a_response_that_does_not_wait_names_the_submission_only(api: Api) -> None:
    sender = await make_sender(api, overrides={"respond": {"body": {"s": "{submission_id}", "l": "{lead_id}"}}})
    said = (await sender.post(person())).json()
    assert said["s"].startswith("sub_")
    assert said["l"] is None


@pytest.mark.parametrize("appended", ["/v1/batch", "/", "/v1/identify", "/a/b/c"])
async def test_what_follows_the_key_in_the_path_is_ignored(api: Api, appended: str) -> None:
    sender = await make_sender(api, overrides={"handshake": {"kind": "ok"}})
    path = sender.path + appended
    assert (await api.client.post(path, json=person())).status_code == 202
    assert [(await api.client.request(one, path)).status_code for one in ("GET", "HEAD", "OPTIONS")] == [200, 200, 204]
    unknown = "/v1/ingest/" + "q" * 43 + appended
    assert [(await api.client.request(one, unknown)).status_code for one in ("POST", "GET")] == [401, 401]


@pytest.mark.parametrize("path", ["/v1/ingest/", "/v1/ingest//v1/batch", "/v1/ingest"])
async def test_a_path_without_a_key_is_not_found(api: Api, path: str) -> None:
    assert (await api.client.post(path, json=person())).status_code == 404


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize(
    ("rule", "secrets", "headers"),
    [
        ({"kind": "token", "name": "X-Api-Key"}, {"token": "tök-é"}, {"X-Api-Key": "tök-é"}),
        (
            {"kind": "token", "name": "Authorization", "prefix": "Bearer "},
            {"token": "ключ"},
            {"Authorization": "Bearer ключ"},
        ),
        ({"kind": "basic"}, {"basic": "usér:wörd"}, {"Authorization": "usér:wörd"}),
    ],
)
async def test_a_secret_in_a_header_may_have_letters_beyond_ascii(
    api: Api, encoding: str, rule: dict[str, Any], secrets: dict[str, str], headers: dict[str, str]
) -> None:
    sender = await make_sender(api, overrides={"verify": [rule]}, secrets=secrets)
    ((name, value),) = headers.items()
    sent = value.encode(encoding if "ключ" not in value else "utf-8")
    for written, status in ((sent, 202), (sent[:-1], 401), (b"another", 401)):
        shown = b"Basic " + base64.b64encode(written) if rule["kind"] == "basic" else written
        answer = await api.client.post(
            sender.path, content=b"{}", headers=[(name.encode(), shown), (b"content-type", b"application/json")]
        )
        assert answer.status_code == status, (written, answer.text)
