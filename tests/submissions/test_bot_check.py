"""The check of a form by a service that tells people from bots, with a service of the test's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest

from app.settings import Settings
from app.sources.bot_check import check_request, read_answer
from app.sources.preset import make_document
from app.sources.request import RawRequest
from app.submissions.check import LEASE, check_batch
from tests.api import Api, running
from tests.ports import reserved_port
from tests.submissions.sender import Sender, count, make_sender, process
from tests.waiting import until
from tests.webhooks.receivers import Connection, receiver

FORM = "application/x-www-form-urlencoded"
NOON = datetime(2026, 8, 17, 12, tzinfo=UTC)
SECRET, TOKEN = "the-secret-of-the-service", "token-of-the-visitor"


@dataclass
class Service:
    """A stand-in: it says yes to TOKEN, once, as the real ones do."""

    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    status: int = 200
    body: bytes | None = None
    before: Callable[[Connection], Awaitable[None]] | None = None

    async def serve(self, connection: Connection) -> None:
        while True:
            headers, raw = await connection.request()
            assert headers["content-type"] == FORM
            self.asked.append({name: values[0] for name, values in parse_qs(raw.decode()).items()})
            if self.before is not None:
                await self.before(connection)
            body = self.body if self.body is not None else json.dumps(self.answer()).encode()
            await connection.answer(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (self.status, len(body), body))

    def answer(self) -> dict[str, Any]:
        asked = self.asked[-1]
        if asked["secret"] != SECRET:
            return {"success": False, "error-codes": ["invalid-input-secret"]}
        if asked["response"] != TOKEN:
            return {"success": False, "error-codes": ["invalid-input-response"]}
        if sum(one == asked for one in self.asked) > 1:
            return {"success": False, "error-codes": ["timeout-or-duplicate"]}
        return {"success": True, "challenge_ts": "2026-08-17T12:00:00Z", "hostname": "www.acme.example"}


@asynccontextmanager
async def service() -> AsyncIterator[Service]:
    made = Service()
    async with receiver(made.serve) as server:
        made.url = server.url
        yield made


async def make_form(api: Api, url: str, secret: str | None = SECRET) -> Sender:
    rule = {"url": url, "field": "my-captcha-response"}
    secrets = {} if secret is None else {"bot_check": secret}
    return await make_sender(api, "html-form", overrides={"bot_check": rule}, secrets=secrets)


async def submit(sender: Sender, token: str | None, **values: str) -> Any:
    sent = {"email": "ana@nordsoft.example", **values, **({"my-captcha-response": token} if token is not None else {})}
    return await sender.post(urlencode(sent), Content_Type=FORM)


async def checked(api: Api, seconds: float = 60) -> int:
    state = api.app.state
    return await check_batch(state.engine, state.keyring, state.egress, api.now, seconds)


async def only_submission(api: Api) -> Any:
    (one,) = (await api.get("/v1/submissions"))["data"]
    return await api.get(f"/v1/submissions/{one['id']}")


async def test_a_right_token_makes_a_lead_and_is_not_kept(api: Api) -> None:
    async with service() as stand_in:
        sender = await make_form(api, stand_in.url)
        answer = await submit(sender, TOKEN)
        assert await process(api) == 0, "nothing is processed before it is checked"
        assert await checked(api) == 1
    await process(api)
    shown = await only_submission(api)
    assert answer.status_code == 202
    assert stand_in.asked == [{"secret": SECRET, "response": TOKEN}]
    assert (shown["bot_check"], shown["items"][0]["verdict"]) == ("passed", "lead")
    assert shown["items"][0]["mapped"]["flags"] == []
    assert TOKEN not in json.dumps([shown, await api.get(f"/v1/submissions/{shown['id']}/raw")])
    assert await count(api, f"SELECT count(*) FROM submissions WHERE convert_from(body, 'UTF8') LIKE '%{TOKEN}%'") == 0


@pytest.mark.parametrize("token", ["forged", "", None, "x" * 5_000])
async def test_a_wrong_or_missing_token_is_spam_that_a_person_can_review(api: Api, token: str | None) -> None:
    async with service() as stand_in:
        sender = await make_form(api, stand_in.url)
        answer = await submit(sender, token)
        await checked(api)
        assert len(stand_in.asked) == (1 if token == "forged" else 0)
    await process(api)
    shown = await only_submission(api)
    assert answer.status_code == 202
    assert (shown["bot_check"], shown["items"][0]["verdict"]) == ("failed", "spam")
    assert shown["items"][0]["mapped"]["flags"] == ["bot_check_failed"]
    await api.call("POST", f"/v1/submissions/{shown['id']}/verdict", {"verdict": "not_spam"})
    await process(api)
    assert (await only_submission(api))["items"][0]["verdict"] == "lead"


async def hang(connection: Connection) -> None:
    await connection.hang()


async def reset(connection: Connection) -> None:
    connection.reset()


@pytest.mark.parametrize(
    ("status", "body", "before"),
    [
        (200, None, hang),
        (200, None, reset),
        (500, b"", None),
        (503, b'{"success": true}', None),
        (302, b'{"success": true}', None),
        (200, b"", None),
        (200, b"<html>", None),
        (200, b"[]", None),
        (200, b'{"success": "yes"}', None),
        (200, b'{"success": true, "filler": "' + b"x" * 2_000, None),
    ],
)
async def test_a_service_that_is_slow_or_down_or_talks_nonsense_leaves_a_lead_that_is_flagged(
    api: Api, status: int, body: bytes | None, before: Callable[[Connection], Awaitable[None]] | None
) -> None:
    async with service() as stand_in:
        stand_in.status, stand_in.body, stand_in.before = status, body, before
        sender = await make_form(api, stand_in.url)
        answer = await submit(sender, TOKEN)
        await checked(api, seconds=0.3 if before is hang else 60)
    await process(api)
    shown = await only_submission(api)
    assert answer.status_code == 202
    assert (shown["bot_check"], shown["items"][0]["verdict"]) == ("unverified", "lead")
    assert shown["items"][0]["mapped"]["flags"] == ["unverified"]


async def test_a_service_that_nobody_runs_and_a_secret_that_is_missing_or_wrong_leave_a_lead(api: Api) -> None:
    async with service() as stand_in:
        with reserved_port() as port:
            nobody = await make_form(api, f"http://127.0.0.1:{port}/")
        without = await make_form(api, stand_in.url, None)
        wrong = await make_form(api, stand_in.url, "another-secret")
        assert without.source["missing_secrets"] == ["bot_check"]
        for n, sender in enumerate((nobody, without, wrong)):
            await submit(sender, TOKEN, email=f"{n}@nordsoft.example")
        assert await checked(api) == 3
    await process(api)
    shown = (await api.get("/v1/submissions"))["data"]
    assert {(one["bot_check"], one["items"][0]["verdict"]) for one in shown} == {("unverified", "lead")}


async def test_the_service_is_reached_by_the_rules_of_webhooks_only(settings: Settings) -> None:
    async with service() as stand_in, running(settings.model_copy(update={"allowed_targets": ()})) as api:
        sender = await make_form(api, "https://a.example/verify")
        rule = {"bot_check": {"url": stand_in.url, "field": "my-captcha-response"}}
        refused = await api.call("PATCH", f"/v1/sources/{sender.source['id']}", {"overrides": rule})
        assert [one["code"] for one in refused.json()["errors"]] == ["target_refused"]
        await sender.store(rule)
        await submit(sender, TOKEN)
        await checked(api)
        assert stand_in.asked == []
        await process(api)
        assert (await only_submission(api))["bot_check"] == "unverified"


async def test_every_visitor_is_answered_the_same_and_at_once(api: Api) -> None:
    async with service() as stand_in:
        stand_in.before = hang
        sender = await make_form(api, stand_in.url)
        answers = [await submit(sender, token) for token in (TOKEN, "forged", None)]
    assert {(one.status_code, one.json()["submission"]["state"]) for one in answers} == {(202, "received")}


async def test_a_token_is_asked_about_once_though_the_process_dies_or_two_of_them_run(api: Api) -> None:
    async with service() as stand_in:
        sender = await make_form(api, stand_in.url)
        for n in range(12):
            await submit(sender, TOKEN, email=f"{n}@nordsoft.example")
        found = await asyncio.gather(*(checked(api) for _ in range(4)))
        assert (sum(found), len(stand_in.asked)) == (12, 12)

        stand_in.before = hang
        await submit(sender, TOKEN, email="last@nordsoft.example")
        dying = asyncio.create_task(checked(api))
        await until(lambda: len(stand_in.asked) == 13)
        dying.cancel()
        await asyncio.wait({dying})
        stand_in.before = None
        assert await checked(api) == 0, "it is claimed for a while"
        api.clock.ahead += 2 * LEASE
        assert await checked(api) == 1
        assert len(stand_in.asked) == 13
    await process(api)
    newest = (await api.get("/v1/submissions"))["data"][0]
    assert (newest["bot_check"], newest["items"][0]["verdict"]) == ("unverified", "lead")


async def test_a_running_service_checks_and_processes_by_itself(settings: Settings) -> None:
    async with service() as stand_in, running(settings, roles=("work",)) as api:
        answer = await submit(await make_form(api, stand_in.url), TOKEN)
        path = f"/v1/submissions/{answer.json()['submission']['id']}"
        shown = await api.get(path)
        while shown["state"] == "received":
            await asyncio.sleep(0.02)
            shown = await api.get(path)
    assert (shown["bot_check"], shown["items"][0]["verdict"]) == ("passed", "lead")


async def test_a_source_that_no_longer_has_a_check_releases_what_waits(api: Api) -> None:
    async with service() as stand_in:
        sender = await make_form(api, stand_in.url)
        await submit(sender, TOKEN)
        change = {"overrides": {}, "secrets": {"bot_check": None}}
        assert (await api.call("PATCH", f"/v1/sources/{sender.source['id']}", change)).status_code == 200
        await checked(api)
        assert stand_in.asked == []
    await process(api)
    assert (await only_submission(api))["items"][0]["verdict"] == "lead"


@pytest.mark.parametrize(
    ("rule", "field_name"),
    [
        ({"url": "nonsense", "field": "f"}, "overrides.bot_check.url"),
        ({"url": "ftp://a.example/", "field": "f"}, "overrides.bot_check.url"),
        ({"url": "https://a.example/"}, "overrides.bot_check.field"),
        ({"url": "https://a.example/", "field": ""}, "overrides.bot_check.field"),
        ({"url": "https://a.example/", "field": "f", "provider": "x"}, "overrides.bot_check.provider"),
    ],
)
async def test_a_faulty_check_is_refused_with_its_place(api: Api, rule: dict[str, str], field_name: str) -> None:
    body = {"name": "x", "preset": "html-form", "overrides": {"bot_check": rule}}
    refused = await api.call("POST", "/v1/sources", body)
    assert refused.status_code == 422
    assert [error["field"] for error in refused.json()["errors"]] == [field_name]


@pytest.mark.parametrize(
    ("codes", "outcome"),
    [
        (["invalid-input-response"], "failed"),
        (["missing-input-response"], "failed"),
        (["expired-input-response"], "failed"),
        (["timeout-or-duplicate"], "failed"),
        ([], "failed"),
        (None, "failed"),
        ("nonsense", "failed"),
        (["missing-input-secret"], "unverified"),
        (["invalid-input-secret"], "unverified"),
        (["not-using-dummy-secret"], "unverified"),
        (["sitekey-secret-mismatch"], "unverified"),
        (["bad-request"], "unverified"),
        (["internal-error"], "unverified"),
        (["invalid-input-response", "internal-error"], "unverified"),
    ],
)
def test_a_visitor_fails_only_if_the_answer_is_about_the_token(codes: object, outcome: str) -> None:
    assert read_answer(200, json.dumps({"success": False, "error-codes": codes})) == outcome
    assert read_answer(200, json.dumps({"success": True, "error-codes": codes})) == "passed"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"email=a%40b.example&t=%C3%A9+%26"),
        ("application/json", '{"email": "a@b.example", "t": "é &"}'.encode()),
        (
            "multipart/form-data; boundary=x",
            '--x\r\nContent-Disposition: form-data; name="t"\r\n\r\né &\r\n--x--\r\n'.encode(),
        ),
    ],
)
def test_the_token_is_found_in_every_kind_of_body(content_type: str, body: bytes) -> None:
    document = make_document("html-form", {"bot_check": {"url": "https://a.example/", "field": "t"}})
    request = RawRequest("POST", {"content-type": content_type}, "", body, NOON)
    wanted = check_request(document, {"bot_check": ["new", "old"]}, request)
    assert wanted == urlencode({"secret": "new", "response": "é &"}).encode()
