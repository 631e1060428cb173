"""A mapping that is too costly is refused in a dry run and quarantined in processing, and others are served."""

import threading
from typing import Any

import pytest

from app.sources import mapping
from app.sources.budget import QUICK_STEPS
from tests.api import Api
from tests.submissions.sender import Sender, count, make_sender, person, process

# The value doubles in each step.
BOMB = "to_string(item.a" + " | [@,@]" * 25 + ")"
OVERRIDES = {"fields": {"message": BOMB}}
# Within the budget, but with several hundred thousand steps.
LONG = {"fields": {"message": "length(item.rows[?length(to_array(@)[*].[@, @][].[@, @][]) == `1`])"}}
ROWS = [[1]] * 4_000


async def dry_run(sender: Sender, body: Any) -> Any:
    return await sender.api.call("POST", f"/v1/sources/{sender.source['id']}/dry-run", {"body": body})


async def test_a_dry_run_of_a_costly_mapping_is_a_422_that_names_the_expression(api: Api) -> None:
    sender = await make_sender(api, overrides=OVERRIDES)
    answer = await dry_run(sender, person(a="x"))
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "mapping_too_costly")
    [fault] = problem["errors"]
    assert (fault["field"], fault["code"]) == ("/fields/message", "mapping_too_costly")
    assert "larger than" in fault["detail"]
    named = await make_sender(api, overrides={"external_ids": {"crm:id": BOMB}})
    assert (await dry_run(named, person(a="x"))).json()["errors"][0]["field"] == "/external_ids/crm:id"
    items = await make_sender(api, overrides={**OVERRIDES, "items": "body.rows"})
    second = await dry_run(items, {"rows": [person(), person(a="x")]})
    assert second.status_code == 422, "an item without the member is mapped, the next one is not"


async def test_a_costly_submission_is_quarantined_and_can_be_replayed_after_the_mapping_is_corrected(api: Api) -> None:
    sender = await make_sender(api, overrides=OVERRIDES)
    made = await sender.post_and_process(person(a="x"))
    [item] = made["items"]
    assert (made["state"], item["verdict"], item["reason"]) == ("quarantined", "quarantined", "mapping_too_costly")
    [unmet] = item["mapped"]["unmet"]
    assert unmet["criterion"] == "mapping_too_costly"
    assert unmet["have"].startswith("/fields/message: ")
    assert await count(api, "SELECT count(*) FROM events WHERE type = 'submission.quarantined'") == 1
    await api.call("PATCH", f"/v1/sources/{sender.source['id']}", {"overrides": {}})
    await api.call("POST", f"/v1/submissions/{made['id']}/replay")
    await process(api)
    assert (await sender.submission(made["id"]))["items"][0]["verdict"] == "lead"


async def test_a_costly_submission_does_not_hold_up_those_of_other_sources(api: Api) -> None:
    costly, other = await make_sender(api, overrides=OVERRIDES), await make_sender(api)
    for _ in range(5):
        await costly.post(person(a="x"))
        await other.post(person())
    assert await process(api) == 10
    assert await count(api, "SELECT count(*) FROM leads") == 5
    assert await count(api, "SELECT count(*) FROM submissions WHERE state = 'quarantined'") == 5


async def test_a_long_mapping_of_a_small_body_does_not_block_the_event_loop(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, map_request = await make_sender(api, overrides=LONG), mapping.map_request
    on_loop: list[bool] = []

    def mapped(*given: Any) -> Any:
        on_loop.append(threading.current_thread() is threading.main_thread())
        return map_request(*given)

    monkeypatch.setattr(mapping, "map_request", mapped)
    assert (await dry_run(sender, person(rows=ROWS[:999]))).status_code == 200
    assert on_loop == [True, False], f"what takes more than {QUICK_STEPS} steps is begun anew in a thread"
    made = await sender.post_and_process(person(rows=ROWS))
    assert made["items"][0]["verdict"] == "lead"


async def test_a_redirect_that_is_too_costly_gets_the_plain_response(api: Api) -> None:
    respond = {"redirect": "body.a" + " | [@,@]" * 25, "allow_hosts": ["acme.example"]}
    sender = await make_sender(api, "html-form", overrides={"respond": respond})
    answer = await sender.post(b"email=ana%40nordsoft.example&a=x", Content_Type="application/x-www-form-urlencoded")
    assert answer.status_code == 202
    assert await count(api, "SELECT count(*) FROM submissions") == 1


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"fields": {"email": "a" + "|a" * 1_500}}, "fields.email"),
        ({"fields": {"email": "a" + "==a" * 1_000}}, "fields.email"),
        ({"fields": {"email": "a" + "[]" * 1_500}}, "fields.email"),
        ({"fields": {"email": "(" * 1_900 + "a" + ")" * 1_900}}, "fields.email"),
        ({"fields": {"email": "[" * 150 + "a" + "]" * 150}}, "fields.email"),
        ({"fields": {"email": "&a"}}, "fields.email"),
        ({"custom": "{x: &a}"}, "custom"),
        ({"custom": "not_null(&a)"}, "custom"),
        ({"verify": [{"kind": "basic"}] * 11}, "verify"),
        ({"verify": [{"kind": "hmac", "header": "X", "signed": "{body}{body}"}]}, "verify.0.signed"),
        ({"verify": [{"kind": "hmac", "header": "X", "signed": "{body}{body:ascii_json}"}]}, "verify.0.signed"),
        ({"verify": [{"kind": "hmac", "header": "X", "signed": "{url}" * 101}]}, "verify.0.signed"),
        ({"handshake": {"kind": "echo", "param": "c", "answer": "{challenge}" * 100}}, "handshake.answer"),
        ({"handshake": {"kind": "echo", "param": "c", "answer": {str(n): "" for n in range(21)}}}, "handshake.answer"),
        ({"parse": {"formats": ["json"] * 5}}, "parse.formats"),
        ({"parse": {"drop": ["a"] * 51}}, "parse.drop"),
        ({"parse": {"decode_json": ["a"] * 51}}, "parse.decode_json"),
        ({"occurred_at": {"expr": "item.at", "formats": ["%d" * 11]}}, "occurred_at.formats.0"),
        ({"occurred_at": {"expr": "item.at", "formats": ["%d" + "." * 100]}}, "occurred_at.formats.0"),
        ({"occurred_at": {"expr": "item.at", "formats": [f"%Y{n}" for n in range(6)]}}, "occurred_at.formats"),
        ({"custom_omit": ["a"] * 201}, "custom_omit"),
        ({"title": "x" * 65_536}, ""),
        ({"respond": {"body": {str(n): "x" * 1_000 for n in range(70)}}}, ""),
    ],
)
async def test_a_document_that_asks_for_too_much_is_refused_when_it_is_saved(
    api: Api, overrides: dict[str, Any], field: str
) -> None:
    answer = await api.call("POST", "/v1/sources", {"name": "x", "preset": "generic", "overrides": overrides})
    assert (answer.status_code, answer.json()["code"]) == (422, "mapping_has_faults"), answer.text
    places = [fault["field"] for fault in answer.json()["errors"]]
    assert all(place.startswith(f"overrides.{field}".rstrip(".")) for place in places), places


@pytest.mark.parametrize("deep", ['{"a":' * 40 + "1" + "}" * 40, "[" * 40 + "]" * 40])
async def test_a_document_that_is_nested_too_deeply_is_refused(api: Api, deep: str) -> None:
    body = '{"name": "x", "preset": "generic", "overrides": {"respond": {"body": ' + deep + "}}}"
    headers = {"Authorization": f"Bearer {api.key}", "Content-Type": "application/json"}
    answer = await api.client.post("/v1/sources", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


async def test_a_chain_of_many_alternatives_is_one_level(api: Api) -> None:
    alternatives = " || ".join(f"item.a{n}" for n in range(200))
    sender = await make_sender(api, overrides={"fields": {"company": alternatives + " || item.company"}})
    made = await sender.post_and_process(person(company="Nordsoft"))
    assert made["items"][0]["mapped"]["fields"]["company"] == "Nordsoft"
