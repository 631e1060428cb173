"""/v1/sources: create, read without secrets, change with If-Match, archive, dry run; /v1/presets."""

import asyncio
import base64
import json

from app.sources.preset import preset_names
from tests.api import Api
from tests.submissions.sender import count, make_sender, person

TYPEFORM = {"name": "Demo", "preset": "typeform", "secrets": {"signing": "test-secret-1"}}


async def test_a_new_source_has_a_random_key_and_an_ingest_url(api: Api) -> None:
    answer = await api.call("POST", "/v1/sources", TYPEFORM)
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/sources/{made['id']}"
    assert len(made["key"]) >= 32
    assert made["ingest_url"] == f"{api.app.state.settings.address}/v1/ingest/{made['key']}"
    assert (made["name"], made["preset"], made["overrides"], made["defaults"], made["enabled"]) == (
        "Demo",
        "typeform",
        {},
        {},
        True,
    )
    other = await api.post("/v1/sources", TYPEFORM)
    assert other["key"] != made["key"]


async def test_secrets_are_never_shown_and_are_stored_encrypted(api: Api) -> None:
    answer = await api.call("POST", "/v1/sources", TYPEFORM)
    shown = await api.call("GET", f"/v1/sources/{answer.json()['id']}")
    listed = await api.call("GET", "/v1/sources")
    for one in (answer, shown, listed):
        assert "test-secret-1" not in one.text
    assert shown.json()["secret_names"] == ["signing"]
    assert shown.json()["missing_secrets"] == []
    assert await count(api, "SELECT count(*) FROM sources WHERE secrets LIKE 'v1.%'") == 1
    assert await count(api, "SELECT count(*) FROM sources WHERE secrets LIKE '%test-secret%'") == 0


async def test_a_patch_merges_secrets_by_name(api: Api) -> None:
    made = await api.post("/v1/sources", {"name": "x", "preset": "formstack", "secrets": {"signing": "a"}})
    path = f"/v1/sources/{made['id']}"
    changed = await api.call("PATCH", path, {"secrets": {"signing": ["c", "d"], "token": "e"}})
    assert changed.json()["secret_names"] == ["signing", "token"]
    emptied = await api.call("PATCH", path, {"secrets": {"signing": None, "other": None, "token": None}})
    assert (emptied.json()["secret_names"], emptied.json()["missing_secrets"]) == ([], [])


async def test_a_mapping_with_faults_is_refused_and_the_problem_lists_the_path_of_each(api: Api) -> None:
    overrides = {"fields": {"email": "item.", "shoe_size": "item.x"}, "route": [{"when": "`true`", "do": "dance"}]}
    answer = await api.call("POST", "/v1/sources", {"name": "x", "preset": "generic", "overrides": overrides})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "mapping_has_faults")
    places = {fault["field"] for fault in problem["errors"]}
    assert {"overrides.fields.email", "overrides.fields.shoe_size", "overrides.route.0.do"} <= places
    made = await api.post("/v1/sources", {"name": "x", "preset": "generic"})
    patched = await api.call("PATCH", f"/v1/sources/{made['id']}", {"overrides": overrides})
    assert (patched.status_code, patched.json()["code"]) == (422, "mapping_has_faults")
    assert (await api.get(f"/v1/sources/{made['id']}"))["overrides"] == {}


async def test_an_invalid_member_is_a_422_that_names_the_field(api: Api) -> None:
    for members, field in (
        ({"preset": "carrier-pigeon"}, "preset"),
        ({"preset": "generic", "nonsense": 1}, "nonsense"),
        ({"preset": "generic", "defaults": {"region": "Romania"}}, "defaults.region"),
        ({"preset": "generic", "defaults": {"thank_you_url": "javascript:alert(1)"}}, "defaults.thank_you_url"),
        ({"preset": "generic", "defaults": {"thank_you_url": "https://"}}, "defaults.thank_you_url"),
        ({"preset": "generic", "defaults": {"allowed_origins": ["acme.example/path"]}}, "defaults.allowed_origins.0"),
        ({"preset": "generic", "secrets": {"signing": ""}}, "secrets.signing"),
    ):
        answer = await api.call("POST", "/v1/sources", {"name": "x", **members})
        assert answer.status_code == 422, members
        assert any(fault["field"].startswith(field) for fault in answer.json()["errors"]), answer.json()


async def test_a_change_takes_effect_at_once_and_a_stale_if_match_is_refused(api: Api) -> None:
    sender = await make_sender(api)
    path = f"/v1/sources/{sender.source['id']}"
    made = await api.call("GET", path)
    assert (await sender.post(person())).status_code == 202
    changed = await api.call(
        "PATCH", path, {"enabled": False, "name": "Off"}, headers={"If-Match": made.headers["etag"]}
    )
    assert changed.status_code == 200
    assert changed.headers["etag"] != made.headers["etag"]
    assert (await sender.post(person())).status_code == 503
    stale = await api.call("PATCH", path, {"enabled": True}, headers={"If-Match": made.headers["etag"]})
    assert stale.status_code == 412
    assert (await api.get(path))["name"] == "Off"
    assert (await api.call("PATCH", path, {"name": None})).status_code == 422


async def test_an_archived_source_can_be_read_but_not_changed(api: Api) -> None:
    made = await api.post("/v1/sources", TYPEFORM)
    path = f"/v1/sources/{made['id']}"
    first, second = await api.call("DELETE", path), await api.call("DELETE", path)
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert (await api.get(path))["enabled"] is False
    assert made["id"] not in [one["id"] for one in (await api.get("/v1/sources"))["data"]]
    assert (await api.call("PATCH", path, {"enabled": True})).status_code == 409


async def test_the_built_in_source_cannot_be_renamed_or_archived(api: Api) -> None:
    builtin = next(one for one in (await api.get("/v1/sources"))["data"] if one["builtin"])
    path = f"/v1/sources/{builtin['id']}"
    assert (await api.call("DELETE", path)).json()["code"] == "in_use"
    assert (await api.call("PATCH", path, {"name": "mine"})).status_code == 409
    assert (await api.call("PATCH", path, {"defaults": {"region": "RO"}})).status_code == 200


async def test_reading_requires_leads_read_and_writing_requires_admin(api: Api) -> None:
    reader = (await api.post("/v1/keys", {"name": "r", "scopes": ["leads:read"]}))["secret"]
    made = await api.post("/v1/sources", TYPEFORM)
    path = f"/v1/sources/{made['id']}"
    assert (await api.call("GET", path, key=reader)).status_code == 200
    assert (await api.call("POST", path + "/dry-run", {"body": "{}"}, key=reader)).status_code == 200
    for method, where, body in (
        ("POST", "/v1/sources", TYPEFORM),
        ("PATCH", path, {}),
        ("DELETE", path, None),
        ("POST", path + "/replay", {}),
    ):
        answer = await api.call(method, where, body, key=reader)
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), (method, where)


async def test_a_source_of_another_tenant_is_not_found(api: Api) -> None:
    made = await api.post("/v1/sources", TYPEFORM)
    other = (await api.post("/v1/tenants", {"name": "globex"}))["key"]["secret"]
    path = f"/v1/sources/{made['id']}"
    for method, where, body in (
        ("GET", path, None),
        ("PATCH", path, {"name": "x"}),
        ("DELETE", path, None),
        ("POST", path + "/dry-run", {"body": "{}"}),
        ("POST", path + "/replay", {}),
    ):
        answer = await api.call(method, where, body, key=other)
        assert (answer.status_code, answer.json()["code"]) == (404, "source_not_found"), (method, where)
    assert (await api.get("/v1/submissions?source_id=" + made["id"], key=other))["data"] == []


async def test_every_preset_is_listed_with_its_full_document(api: Api) -> None:
    listed = (await api.get("/v1/presets"))["data"]
    assert [one["preset"] for one in listed] == list(preset_names())
    typeform = await api.get("/v1/presets/typeform")
    assert typeform in listed
    assert typeform["verify"][0]["header"] == "Typeform-Signature"
    missing = await api.call("GET", "/v1/presets/..%2Fsecrets")
    assert missing.status_code == 404
    assert (await api.call("GET", "/v1/presets/nonsense")).json()["code"] == "preset_not_found"


async def test_a_dry_run_shows_the_items_and_writes_nothing(api: Api) -> None:
    sender = await make_sender(api, defaults={"region": "RO", "source": "fair"})
    path = f"/v1/sources/{sender.source['id']}/dry-run"
    form = {
        "email": "Ana@Nordsoft.example",
        "phone": "0787 546 854",
        "shoe": "38",
        "submission_id": "k1",
        "newsletter": "no",
        "occurred_at": "2026-08-17T09:00:00Z",
    }
    before = await count(api, "SELECT (SELECT count(*) FROM leads) + (SELECT count(*) FROM submissions)")
    for body in (
        {"body": form},
        {"body": json.dumps(form), "headers": {"Content-Type": "application/json"}},
        {"body_base64": base64.b64encode(json.dumps(form).encode()).decode()},
        {"query": form},
    ):
        [item] = (await api.post(path, body, status=200))["items"]
        assert item["verdict"] == "lead"
        assert item["submission_key"] == "k1"
        assert item["fields"]["phone"] == "+40787546854"
        assert item["raw"]["phone"] == "0787 546 854"
        assert item["custom"] == {"shoe": "38"}
        assert item["attribution"]["source"] == "fair"
        assert {"purpose": "email_marketing", "state": "refused", "text": None} in item["consent"]
        assert item["occurred_at"] == "2026-08-17T09:00:00Z"
        assert item["unmet"] == []
    [nobody] = (await api.post(path, {"body": {"name": "Nobody"}}, status=200))["items"]
    assert (nobody["verdict"], nobody["unmet"][0]["criterion"]) == ("quarantined", "identity")
    assert (await api.call("POST", path, {"body_base64": "?"})).status_code == 422
    after = await count(api, "SELECT (SELECT count(*) FROM leads) + (SELECT count(*) FROM submissions)")
    assert before == after


async def test_the_defaults_of_a_source_take_precedence_over_those_of_its_document(api: Api) -> None:
    overrides = {"defaults": {"region": "PL", "source": "document", "medium": "form"}}
    own = {"region": "RO", "source": "fair", "thank_you_url": "https://acme.example/"}
    sender = await make_sender(api, overrides=overrides, defaults=own)
    asked = {"body": {"email": "a@nordsoft.example", "phone": "0787 546 854"}}
    [item] = (await api.post(f"/v1/sources/{sender.source['id']}/dry-run", asked, status=200))["items"]
    assert item["fields"]["phone"] == "+40787546854"
    assert item["attribution"] == {"source": "fair", "medium": "form"}


async def test_a_large_dry_run_does_not_block_the_event_loop(api: Api) -> None:
    made = await api.post("/v1/sources", {"name": "Lists", "preset": "generic", "overrides": {"items": "body"}})
    rows = [{"email": f"u{n}@nordsoft{n}.example", "full_name": "Anna Z", "company": "Nordsoft"} for n in range(1_000)]
    asked = asyncio.create_task(api.post(f"/v1/sources/{made['id']}/dry-run", {"body": rows}, status=200))
    turns = 0
    while not asked.done():
        await asyncio.sleep(0)
        turns += 1
    assert len((await asked)["items"]) == 1_000
    assert turns > 1_000, "mapping runs in a thread; on the event loop there would be only dozens of turns"
