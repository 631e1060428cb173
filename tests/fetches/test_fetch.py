"""The record that a notification names is fetched from a real server, mapped, and becomes a lead; or waits, and why."""

import asyncio
import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from aiohttp import web

from app.database.turn import Turn
from app.fetches.fetch import LEASE, MAX_BYTES, FetchContext, fetch_due
from app.settings import Settings
from app.sources.preset import preset, preset_names
from app.submissions import across
from app.webhooks.egress import Egress, Fetched
from tests.api import Api, running
from tests.fetches.provider import Answer, Provider, provider, record, status
from tests.payloads.samples import Sample, samples
from tests.payloads.test_samples import differences
from tests.submissions.sender import Sender, count, make_sender, process
from tests.waiting import until

ITEM: dict[str, Any] = {
    "fetch": {"url": "{base}/leads/{item.id}?fields=a,b&page={item.page}", "auth": "api", "use": "generic"},
    "route": [{"when": "item.id", "do": "fetch"}],
    "external_ids": {"crm:lead": "item.id"},
    "attribution": {"ad_id": "item.ad"},
}
NOTICE = {"id": "L-1", "page": "p", "ad": "77", "extra": "kept"}
RECORD = {"email": "ana@nordsoft.example", "name": "Ana Țepeș", "campaign": "spring", "budget": "10k"}


def context(api: Api, *schedule: float) -> FetchContext:
    return FetchContext(api.app.state.engine, api.app.state.egress, api.app.state.keyring, schedule or (0, 1, 1))


async def fetch(api: Api, *schedule: float) -> int:
    return await fetch_due(context(api, *schedule), Turn(), api.clock.now)


async def source_of(api: Api, host: Provider, **members: Any) -> Sender:
    fetch = {**ITEM["fetch"], "url": ITEM["fetch"]["url"].replace("{base}", host.url)}
    overrides = {**ITEM, "fetch": fetch}
    return await make_sender(api, overrides=overrides, secrets={"api": "t0ken"}, **members)


async def noticed(sender: Sender, **changes: Any) -> dict[str, Any]:
    return await sender.post_and_process({**NOTICE, **changes})


async def item_of(sender: Sender, made: dict[str, Any]) -> dict[str, Any]:
    [item] = (await sender.submission(made["id"]))["items"]
    return dict(item)


async def test_a_record_becomes_a_lead_with_what_the_notification_said_of_it(api: Api) -> None:
    async with provider(record(RECORD)) as host:
        sender = await source_of(api, host)
        made = await noticed(sender)
        assert [item["verdict"] for item in made["items"]] == ["fetch"]
        assert await fetch(api) == 1
        item = await item_of(sender, made)
        assert (item["verdict"], item["submission_key"]) == ("lead", "L-1")
        lead = await api.get(f"/v1/leads/{item['lead_id']}")
        assert lead["fields"]["email"] == "ana@nordsoft.example"
        assert {(one["kind"], one["namespace"], one["value"]) for one in lead["identities"]} >= {
            ("external", "crm:lead", "L-1")
        }
        first = lead["attribution"]["first"]
        assert (first["ad_id"], first["campaign"]) == ("77", "spring")
        assert (lead["custom"]["extra"], lead["custom"]["budget"]) == ("kept", "10k")
        [(path, headers)] = host.asked
        assert path == "/leads/L-1?fields=a,b&page=p"
        assert headers["authorization"] == "Bearer t0ken"
        assert await fetch(api) == 0


async def test_a_notification_that_comes_again_is_a_duplicate_and_fetches_nothing(api: Api) -> None:
    async with provider(record(RECORD)) as host:
        sender = await source_of(api, host)
        first = await noticed(sender)
        again = await noticed(sender)
        await fetch(api)
        third = await noticed(sender)
        await fetch(api)
        assert len(host.asked) == 1
        assert [one["items"][0]["verdict"] for one in (again, third)] == ["duplicate", "duplicate"]
        assert third["items"][0]["lead_id"] == (await item_of(sender, first))["lead_id"]
        assert await count(api, "SELECT count(*) FROM activities") == 1


@pytest.mark.parametrize(
    "value", ["a/../b", "a?x=1&y=2#z", "@evil.example", "Ł 1", "a%2Fb+c", "444806480922731301", 444806480922731301]
)
async def test_a_value_of_the_notification_changes_nothing_else_of_the_url(api: Api, value: Any) -> None:
    async with provider(record(RECORD)) as host:
        sender = await source_of(api, host)
        await noticed(sender, id=value, page=value)
        await fetch(api)
        path, _, query = host.asked[0][0].partition("?")
        assert [unquote(part) for part in path.split("/")] == ["", "leads", str(value)]
        assert parse_qsl(query) == [("fields", "a,b"), ("page", str(value))]


@pytest.mark.parametrize("value", ["..", ".", "", None])
async def test_a_notification_without_a_value_for_the_url_is_quarantined_with_the_place(api: Api, value: Any) -> None:
    async with provider(record(RECORD)) as host:
        sender = await source_of(api, host)
        made = await noticed(sender, page=value)
        [item] = made["items"]
        assert (item["verdict"], item["reason"]) == ("quarantined", "mapping_failed")
        assert item["mapped"]["unmet"][-1]["criterion"] == "/fetch/url"
        assert await fetch(api) == 0


FAILURES: dict[str, tuple[Answer, str]] = {
    "not found yet": (status(404), "HTTP 404"),
    "forbidden": (status(403), "HTTP 403"),
    "too many": (status(429, Retry_After="1"), "HTTP 429"),
    "down": (status(503), "HTTP 503"),
    "elsewhere": (status(302, Location="http://169.254.169.254/"), "HTTP 302"),
    "too large": (lambda: web.Response(body=b"x" * (MAX_BYTES + 1)), "body_too_large"),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_record_that_cannot_be_had_is_asked_for_again_and_then_becomes_a_lead(api: Api, failure: str) -> None:
    answer, why = FAILURES[failure]
    async with provider(record(RECORD), answer, answer) as host:
        sender = await source_of(api, host)
        made = await noticed(sender)
        for tries in (1, 2):
            await fetch(api)
            item = await item_of(sender, made)
            assert (item["verdict"], item["reason"], len(host.asked)) == ("fetch", "fetch_failed", tries)
            assert item["mapped"]["unmet"][0]["have"] == why
            assert await fetch(api) == 0  # not before its time
            api.clock.ahead += timedelta(minutes=1)
        await fetch(api)
        item = await item_of(sender, made)
        assert (item["verdict"], item["reason"]) == ("lead", None)


async def test_after_the_last_attempt_it_is_quarantined_told_and_can_be_replayed(api: Api) -> None:
    async with provider(record(RECORD), *[status(500)] * 3) as host:
        sender = await source_of(api, host)
        made = await noticed(sender)
        for _ in range(3):
            await fetch(api)
            api.clock.ahead += timedelta(minutes=1)
        item = await item_of(sender, made)
        assert (item["verdict"], item["reason"], item["submission_key"]) == ("quarantined", "fetch_failed", "L-1")
        assert item["mapped"]["custom"]["extra"] == "kept"
        assert (await sender.submission(made["id"]))["state"] == "quarantined"
        told = "SELECT count(*) FROM events WHERE type = 'submission.quarantined'"
        assert await count(api, told) == 1
        assert await fetch(api) == 0
        await api.post(f"/v1/submissions/{made['id']}/replay", None, status=202)
        await process(api)
        await fetch(api)
        assert (await item_of(sender, made))["verdict"] == "lead"
        assert (await sender.submission(made["id"]))["state"] == "processed"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda: web.Response(body=b"<html>", content_type="text/html"), "parse_failed"),
        (lambda: web.Response(body=b"", content_type="application/json"), "parse_failed"),
        (record({"name": "Nobody"}), "identity_required"),
    ],
)
async def test_a_record_that_cannot_be_mapped_is_quarantined_at_once(api: Api, answer: Answer, reason: str) -> None:
    async with provider(answer) as host:
        sender = await source_of(api, host)
        nameless = {**sender.source["overrides"], "external_ids": {}}
        await api.call("PATCH", f"/v1/sources/{sender.source['id']}", {"overrides": nameless})
        made = await noticed(sender)
        await fetch(api)
        item = await item_of(sender, made)
        assert (item["verdict"], item["reason"]) == ("quarantined", reason)


@pytest.mark.parametrize("found", [[], [RECORD, {**RECORD, "email": "b@nordsoft.example"}]])
async def test_an_answer_with_no_record_or_with_several_is_quarantined(api: Api, found: list[Any]) -> None:
    async with provider(record(found)) as host:
        sender = await source_of(api, host)
        made = await noticed(sender)
        await fetch(api)
        item = await item_of(sender, made)
        assert (item["verdict"], item["reason"]) == ("quarantined", "fetch_failed")
        assert item["mapped"]["unmet"][0]["have"] == f"{len(found)} records"


async def test_without_use_the_record_is_mapped_by_the_same_document(api: Api) -> None:
    async with provider(record({**RECORD, "id": "L-1"}), record({"id": "L-1", "page": "p"})) as host:
        sender = await source_of(api, host)
        fetch_again = {**sender.source["overrides"]["fetch"], "use": None}
        route = [{"when": "item.id && !(item.email)", "do": "fetch"}]
        overrides = {**sender.source["overrides"], "fetch": fetch_again, "route": route}
        await api.call("PATCH", f"/v1/sources/{sender.source['id']}", {"overrides": overrides})
        first = await noticed(sender)
        await fetch(api)
        item = await item_of(sender, first)  # the record is again one that has to be fetched
        assert (item["verdict"], item["reason"]) == ("quarantined", "fetch_failed")
        second = await noticed(sender, id="L-2")
        await fetch(api)
        assert (await item_of(sender, second))["verdict"] == "lead"


async def test_other_items_of_the_submission_stay_as_they_are(api: Api) -> None:
    async with provider(record(RECORD)) as host:
        sender = await source_of(api, host)
        sent = json.dumps([NOTICE, {"name": "nobody"}, {"email": "c@nordsoft.example"}])
        made = await sender.post_and_process(sent, Content_Type="application/json")
        assert made["state"] == "quarantined"
        await fetch(api)
        after = await sender.submission(made["id"])
        assert [item["verdict"] for item in after["items"]] == ["lead", "quarantined", "lead"]
        assert after["state"] == "quarantined"


async def test_without_its_secret_nothing_is_asked_and_with_it_all_goes_on(api: Api) -> None:
    async with provider(record(RECORD)) as host:
        sender = await source_of(api, host)
        await api.call("PATCH", f"/v1/sources/{sender.source['id']}", {"secrets": {"api": None}})
        made = await noticed(sender)
        await fetch(api)
        assert host.asked == []
        assert (await item_of(sender, made))["mapped"]["unmet"][0]["have"] == "secret_missing"
        assert (await api.get(f"/v1/sources/{sender.source['id']}"))["missing_secrets"] == ["api"]
        await api.call("PATCH", f"/v1/sources/{sender.source['id']}", {"secrets": {"api": "t0ken"}})
        api.clock.ahead += timedelta(minutes=1)
        await fetch(api)
        assert (await item_of(sender, made))["verdict"] == "lead"


async def test_the_addresses_that_webhooks_may_not_call_are_not_fetched_from(settings: Settings) -> None:
    async with provider(record(RECORD)) as host, running(settings.model_copy(update={"allowed_targets": ()})) as api:
        for base in (host.url, "https://127.0.0.1", "https://localhost", "https://printer"):
            fetch_from = {"url": "https://a.example/leads/{item.id}", "use": "generic"}
            sender = await make_sender(api, overrides={**ITEM, "fetch": fetch_from})
            target = f"{base}/leads/{{item.id}}"
            changed = {"overrides": {**ITEM, "fetch": {**fetch_from, "url": target}}}
            refused = await api.call("PATCH", f"/v1/sources/{sender.source['id']}", changed)
            assert [one["field"] for one in refused.json()["errors"]] == ["overrides.fetch.url"]
            await sender.store(changed["overrides"])
            made = await noticed(sender)
            await fetch(api)
            item = await item_of(sender, made)
            assert item["mapped"]["unmet"][0]["have"] in ("target_refused", "blocked_address", "dns_failed"), base
        assert host.asked == []


async def test_an_attempt_that_died_is_made_again_and_a_late_one_changes_nothing(api: Api) -> None:
    gate = asyncio.Event()

    async with provider(record(RECORD)) as host:
        sender = await source_of(api, host)
        made = await noticed(sender)
        async with api.app.state.engine.begin() as tx:  # a process claims, and dies
            assert len(await across.claim_fetches(tx, Turn(), api.now, api.now + LEASE)) == 1
        assert await fetch(api) == 0
        api.clock.ahead += LEASE + timedelta(seconds=1)
        slow_egress = SlowEgress(api, gate)
        late = asyncio.create_task(
            fetch_due(
                FetchContext(api.app.state.engine, slow_egress, api.app.state.keyring, (0, 1, 1)), Turn(), api.clock.now
            )
        )
        await slow_egress.asked.wait()
        api.clock.ahead += LEASE + timedelta(seconds=1)
        assert await fetch(api, 0, 1, 1, 1, 1) == 1
        before = await item_of(sender, made)
        gate.set()
        assert await late == 1
        await slow_egress.close()
        assert await item_of(sender, made) == before
        assert before["verdict"] == "lead"
        assert await count(api, "SELECT count(*) FROM activities") == 1


class SlowEgress(Egress):
    """An egress whose answer comes when a test says so."""

    def __init__(self, api: Api, gate: asyncio.Event) -> None:
        super().__init__(api.app.state.egress.targets)
        self.gate, self.asked = gate, asyncio.Event()

    async def get(self, url: str, headers: dict[str, str], max_bytes: int) -> Fetched:
        answer = await super().get(url, headers, max_bytes)
        self.asked.set()
        await self.gate.wait()
        return answer


async def test_two_processes_fetch_each_record_once(api: Api) -> None:
    async with provider(record(RECORD)) as host:
        sender = await source_of(api, host)
        for n in range(8):
            await sender.post({**NOTICE, "id": f"L-{n}"})
        await process(api)
        while sum(await asyncio.gather(fetch(api), fetch(api))):
            pass
        assert len(host.asked) == 8
        assert await count(api, "SELECT count(*) FROM submission_items WHERE verdict = 'lead'") == 8
        assert (
            await count(api, "SELECT count(*) FROM leads") == 8 or await count(api, "SELECT count(*) FROM leads") == 1
        )


async def test_the_running_service_fetches_by_itself(settings: Settings) -> None:
    async with provider(record(RECORD), status(503)) as host, running(settings, roles=("work",)) as api:
        sender = await source_of(api, host)
        answer = await sender.post(NOTICE)
        submission_id = answer.json()["submission"]["id"]

        async def is_lead() -> bool:
            items = (await sender.submission(submission_id))["items"]
            return [item["verdict"] for item in items] == ["lead"]

        await until(is_lead)
        assert len(host.asked) == 2


NOTIFYING = [name for name in preset_names() if (preset(name).get("fetch") or {}).get("use")]


def sample_of(name: str, verdict: str) -> Sample:
    return next(
        one for one in samples() if one.preset == name and any(item["disposition"] == verdict for item in one.items)
    )


@pytest.mark.parametrize("name", NOTIFYING)
async def test_each_preset_that_notifies_gets_its_record_from_its_provider(api: Api, name: str) -> None:
    """The notification and the answer are the samples of both presets."""
    document, notice = preset(name)["fetch"], sample_of(name, "fetch")
    answer = sample_of(document["use"], "lead")
    api.clock.ahead += notice.sent_at - api.now
    async with provider(record(json.loads(answer.request().body))) as host:
        url = host.url + "/" + document["url"].split("/", 3)[3]
        overrides = {"fetch": {**document, "url": url}, "verify": []}
        defaults = {"region": answer.entry["default_region"]}
        secrets = {document["auth"]: "t0ken"}
        sender = await make_sender(api, name, overrides=overrides, secrets=secrets, defaults=defaults)
        made = await sender.post_and_process(notice.request().body, Content_Type="application/json")
        fetched = [n for n, item in enumerate(made["items"]) if item["verdict"] == "fetch"]
        assert fetched
        await fetch(api)
        after = await sender.submission(made["id"])
        for place in fetched:
            item, expected = after["items"][place], dict(answer.items[0])
            assert item["verdict"] == "lead"
            assert item["submission_key"] == made["items"][place]["submission_key"]
            expected.pop("submission_id"), expected.pop("external_ids", None)
            faults = [fault for key, value in expected.items() for fault in differences(item["mapped"], key, value)]
            assert faults == []
        assert all("t0ken" in json.dumps(headers) for _, headers in host.asked)


@pytest.mark.parametrize(
    ("fetch", "place"),
    [
        ({"url": "ftp://a.example/x", "use": "generic"}, "fetch.url"),
        ({"url": "https://{item.host}/x", "use": "generic"}, "fetch.url"),
        ({"url": "https://a.example/{item..id}", "use": "generic"}, "fetch.url"),
        ({"url": "https://a.example/{nosuch(item)}", "use": "generic"}, "fetch.url"),
        ({"url": "https://a.example/{item.id}", "use": "nosuch"}, "fetch.use"),
        ({"url": "https://a.example/{item.id}", "header": "a b"}, "fetch.header"),
        ({"url": "https://a.example/{item.id}", "header": "Content-Length"}, "fetch.header"),
        ({"url": "https://a.example/{item.id}", "prefix": "a\r\nb"}, "fetch.header"),
        ({"url": "https://a.example/{item.id}", "headers": {"host": "b"}}, "fetch.headers.host"),
        ({"url": "https://a.example/{item.id}", "headers": {"X-A": "a\nb"}}, "fetch.headers.X-A"),
        ({"url": "https://a.example/{item.id}", "headers": {"a\nb": "x"}}, "fetch.headers"),
    ],
)
async def test_a_fetch_with_a_fault_is_refused_when_it_is_saved(api: Api, fetch: dict[str, Any], place: str) -> None:
    body = {"name": "s", "preset": "generic", "overrides": {"fetch": fetch}}
    answer = await api.call("POST", "/v1/sources", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "mapping_has_faults")
    assert answer.json()["errors"][0]["field"].startswith(f"overrides.{place}")
