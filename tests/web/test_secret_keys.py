"""A secret key that is missing is found at the start and later, is named, and costs no lead, no answer, no delivery."""

from __future__ import annotations

import ast
import asyncio
import base64
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from app.database import across
from app.database.sealed import SEALED, keys_in_use, missing_keys, require_keys, reseal
from app.keyring import KeyRing
from app.settings import CannotStart
from app.sources import known
from app.sources.secrets import FIELD
from tests.api import Api
from tests.commands.test_administration import baton
from tests.submissions.sender import SECRET, Sender, count, make_sender, person, typeform_signature
from tests.waiting import until

APP = Path(__file__).parents[2] / "app"
[SOURCES] = [column for column in SEALED if column.table.name == "sources"]
HOOK = "http://127.0.0.1:9/hook"
BROKER = {"url": "nats://127.0.0.1:9", "credentials": {"token": "t"}, "headers": {"X-Team": "sales"}}
OLD, OTHER = bytes(range(32)), bytes(32)  # OLD is the key `test` of the fixture `settings`
LOST = {"no key of that id": {"new": OTHER}, "another key of that id": {"test": OTHER}}
TEXTS = text(
    "SELECT table_name, column_name FROM information_schema.columns c JOIN information_schema.tables t"
    " USING (table_schema, table_name) WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
)


async def source(api: Api) -> None:
    await make_sender(api, "typeform")


async def subscription(api: Api) -> None:
    await api.post("/v1/subscriptions", {"url": HOOK})


async def headers(api: Api) -> None:
    """A subscription whose secret is sealed anew, so that only its headers need the key."""
    await api.post("/v1/subscriptions", {"url": HOOK, "headers": {"X-Team": "sales"}})
    await execute(api, "DELETE FROM lanes")
    await execute(api, "UPDATE subscriptions SET secrets = '[]'")


async def ed25519_key(api: Api) -> None:
    """A subscription of which only the ed25519 key needs the key."""
    await api.post("/v1/subscriptions", {"url": HOOK, "ed25519": True})
    await execute(api, "DELETE FROM lanes")
    await execute(api, "UPDATE subscriptions SET secrets = '[]'")


async def credentials(api: Api) -> None:
    """A subscription of a broker whose secret is sealed anew, so that only its credentials need the key."""
    await api.post("/v1/subscriptions", {name: value for name, value in BROKER.items() if name != "headers"})
    await execute(api, "DELETE FROM lanes")
    await execute(api, "UPDATE subscriptions SET secrets = '[]'")


async def rotated_secret(api: Api) -> None:
    """A subscription whose newest secret is sealed under another key than the one before."""
    made = await api.post("/v1/subscriptions", {"url": HOOK})
    with_keys(api, {"new": OTHER, "test": OLD})
    await api.post(f"/v1/subscriptions/{made['id']}/secret", {}, status=200)


async def stored_answer(api: Api) -> None:
    await api.post("/v1/accounts", {"name": "Nordsoft"}, headers={"Idempotency-Key": "once"})


async def erasure(api: Api) -> None:
    """The salt of a tenant's suppressed identities, and what the worker still looks for."""
    lead = await api.lead()
    await api.post(f"/v1/leads/{lead['id']}/erasure", {"reason": "person_asked"}, status=202)


KINDS: dict[str, Callable[[Api], Awaitable[None]]] = {
    each.__name__: each
    for each in (source, subscription, headers, ed25519_key, credentials, rotated_secret, stored_answer, erasure)
}


def with_keys(api: Api, keys: dict[str, bytes]) -> None:
    """The application as another process would be, which was started with these keys."""
    api.app.state.keyring = api.app.state.engine.keyring = KeyRing(keys)
    known._found.clear()


async def execute(api: Api, statement: str) -> None:
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text(statement))


async def in_use(api: Api, keys: dict[str, bytes]) -> dict[str, bool]:
    async with api.app.state.engine.connect() as tx:
        return await keys_in_use(tx, KeyRing(keys))


async def resealed(api: Api, keys: dict[str, bytes]) -> list[Any]:
    return [page async for page in reseal(api.app.state.engine, KeyRing(keys))]


# --- the list of what is sealed


async def test_every_column_that_holds_something_sealed_is_in_the_list(api: Api) -> None:
    await source(api)
    await api.post("/v1/subscriptions", {**BROKER, "ed25519": True})
    await stored_answer(api)
    await erasure(api)
    async with api.app.state.engine.connect() as tx:
        columns = [(row.table_name, row.column_name) for row in await tx.execute(TEXTS)]
        found = set()
        for table, column in columns:
            holds = text(f"SELECT 1 FROM {table} t WHERE CAST(t.{column} AS text) ~ 'v1[.]test[.]' LIMIT 1")
            if (await tx.execute(holds)).all():
                found.add((table, column))
    assert found == {(column.table.name, column.name) for column in SEALED}


def test_only_modules_of_listed_columns_seal() -> None:
    """Whoever seals something new adds its column to the list, and its module here."""
    calls = {
        path.relative_to(APP).as_posix()
        for path in APP.glob("**/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "seal"
        and path.name != "keyring.py"
    }
    sealing = {"sources/secrets.py", "web/idempotency.py", "webhooks/secrets.py", "webhooks/subscribe.py"}
    sealing |= {"webhooks/credentials.py"}
    sealing |= {"erasure/erase.py", "leads/suppression.py"}
    assert calls - {"sources/change.py"} == sealing  # it calls the function of sources/secrets.py
    assert len(SEALED) == len(sealing) + 1  # webhooks/secrets.py seals two columns


# --- the start, /readyz, doctor


@pytest.mark.parametrize("keys", LOST.values(), ids=LOST)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_missing_key_is_found_and_named_whatever_it_sealed(api: Api, kind: str, keys: dict[str, bytes]) -> None:
    await KINDS[kind](api)
    async with api.app.state.engine.connect() as tx:
        assert await missing_keys(tx, api.app.state.keyring) == []
        assert "test" in await missing_keys(tx, KeyRing(keys))
    with pytest.raises(CannotStart, match=r"\btest\b.*BATON_SECRET_KEYS") as refused:
        await require_keys(api.app.state.engine, KeyRing(keys))
    assert "\n" not in str(refused.value)
    assert (await api.client.get("/readyz")).status_code == 200
    with_keys(api, keys)
    answer = await api.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["codes"] == ["secret_keys_missing"]
    [problem] = answer.json()["problems"]
    assert re.search(r"\btest\b.*BATON_SECRET_KEYS", problem)


@pytest.mark.parametrize("keys", [*LOST.values(), {}])
async def test_where_nothing_is_sealed_any_keys_will_do(api: Api, keys: dict[str, bytes]) -> None:
    await make_sender(api, secrets={})
    await require_keys(api.app.state.engine, KeyRing(keys))
    with_keys(api, keys)
    assert (await api.client.get("/readyz")).status_code == 200


async def test_one_altered_value_among_sound_ones_does_not_stop_a_service_whose_keys_are_right(api: Api) -> None:
    for _ in range(3):
        await source(api)
    first = "(SELECT id FROM sources WHERE secrets IS NOT NULL ORDER BY id LIMIT 1)"
    await execute(api, f"UPDATE sources SET secrets = left(secrets, -8) || 'AAAAAAA=' WHERE id = {first}")
    await require_keys(api.app.state.engine, api.app.state.keyring)
    assert await in_use(api, {"test": OLD}) == {"test": True}


async def test_every_key_id_of_many_stored_answers_is_found(api: Api) -> None:
    keys = {f"k{n}": bytes([n] * 32) for n in range(5)}
    for kid, key in keys.items():
        with_keys(api, {kid: key})
        for n in range(3):
            await api.post("/v1/accounts", {"name": "x"}, headers={"Idempotency-Key": f"{kid}-{n}"})
    assert await in_use(api, keys) == dict.fromkeys(keys, True)
    assert await in_use(api, {**keys, "k3": OTHER, "k9": OTHER}) == {**dict.fromkeys(keys, True), "k3": False}


async def test_serve_refuses_and_doctor_names_the_missing_keys_in_a_sentence(api: Api) -> None:
    await source(api)
    refused = await baton(api, "serve", "--port", "0", status=2)  # the helper's key is `k1`
    assert refused.count("\n") == 1
    assert "keys that are not there, or not the same: test; put the file secret_keys" in refused
    assert "not the same: test;" in await baton(api, "doctor", status=1)


# --- the ingest endpoint


RULES: dict[str, dict[str, Any]] = {
    "hmac": {"preset": "typeform"},
    "token": {"overrides": {"verify": [{"kind": "token", "in": "header", "name": "X-T"}]}, "secrets": {"token": "s"}},
    "basic": {"overrides": {"verify": [{"kind": "basic"}]}, "secrets": {"basic": "user:password"}},
}


TOKEN = {"kind": "token", "in": "header", "name": "X-T"}


@pytest.mark.parametrize("keys", LOST.values(), ids=LOST)
@pytest.mark.parametrize("rule", RULES)
async def test_a_source_whose_secret_cannot_be_decrypted_answers_503_and_accepts_when_the_key_is_back(
    api: Api, rule: str, keys: dict[str, bytes]
) -> None:
    sender = await make_sender(api, **RULES[rule])
    body = b'{"form_response": {"token": "t1", "answers": []}}'
    basic = "Basic " + base64.b64encode(b"user:password").decode()
    right = {"Typeform_Signature": typeform_signature(body), "X_T": "s", "Authorization": basic}
    with_keys(api, keys)
    for sent in (right, {}, {"Typeform_Signature": typeform_signature(body, "forged")}):
        answer = await sender.post(body, **sent)
        assert (answer.status_code, answer.json()["code"]) == (503, "secret_keys_missing")
        assert int(answer.headers["retry-after"]) > 0
    assert await count(api, "SELECT count(*) FROM submissions") == 0
    with_keys(api, {"test": OLD})
    assert (await sender.post(body)).status_code == 401
    assert (await sender.post(body, **right)).status_code == 202


@pytest.mark.parametrize("kind", ["echo", "hmac_echo"])
async def test_a_handshake_that_needs_the_secret_is_503_too(api: Api, kind: str) -> None:
    shake = {"kind": kind, "param": "challenge", **({"token_param": "token"} if kind == "echo" else {})}
    name = "verify_token" if kind == "echo" else "signing"
    sender = await make_sender(api, overrides={"handshake": {**shake, "secret": name}}, secrets={name: "s"})
    params = {"challenge": "c", "token": "s"}
    assert (await api.client.get(sender.path, params=params)).status_code == 200
    with_keys(api, {"new": OTHER})
    answer = await api.client.get(sender.path, params=params)
    assert (answer.status_code, answer.json()["code"]) == (503, "secret_keys_missing")


async def test_a_source_that_is_open_without_secrets_is_not_open_while_they_cannot_be_decrypted(api: Api) -> None:
    sender = await make_sender(api, overrides={"verify": [TOKEN], "open_without_secrets": True}, secrets={"token": "s"})
    with_keys(api, {"new": OTHER})
    answer = await sender.post(person())
    assert (answer.status_code, answer.json()["code"]) == (503, "secret_keys_missing")
    with_keys(api, {"test": OLD})
    assert [(await sender.post(person(), X_T=token)).status_code for token in ("", "s")] == [401, 202]


async def test_what_needs_no_secret_goes_on_and_other_refusals_stay_as_they_are(api: Api) -> None:
    plain = await make_sender(api)  # the preset `generic` verifies nothing
    off = await make_sender(api, "typeform")
    await api.call("PATCH", f"/v1/sources/{off.source['id']}", {"enabled": False})
    with_keys(api, {"new": OTHER})
    assert (await plain.post(person())).status_code == 202
    assert (await off.post(person())).json()["code"] == "source_disabled"
    assert (await api.client.post("/v1/ingest/" + "q" * 43, json=person())).status_code == 401
    assert (await api.client.options(plain.path, headers={"Origin": "https://a.example"})).status_code == 204


async def test_a_source_says_that_its_secrets_cannot_be_decrypted_and_no_change_loses_them(api: Api) -> None:
    sender = await make_sender(api, "typeform")
    path = f"/v1/sources/{sender.source['id']}"
    assert sender.source["secrets_readable"] is True
    with_keys(api, {"new": OTHER})
    for shown in (await api.get(path), *(s for s in (await api.get("/v1/sources"))["data"] if s["id"] in path)):
        assert (shown["secrets_readable"], shown["secret_names"], shown["missing_secrets"]) == (False, [], [])
    renamed = await api.call("PATCH", path, {"name": "Renamed"})
    assert (renamed.status_code, renamed.json()["secrets_readable"]) == (200, False)
    refused = await api.call("PATCH", path, {"secrets": {"token": "t"}})
    assert (refused.status_code, refused.json()["code"]) == (503, "secret_keys_missing")
    with_keys(api, {"test": OLD})
    assert (await api.get(path))["secret_names"] == ["signing"]


@pytest.mark.parametrize("keys", LOST.values(), ids=LOST)
async def test_a_stored_answer_that_cannot_be_decrypted_is_503_and_never_executed_again(
    api: Api, keys: dict[str, bytes]
) -> None:
    head, body = {"Idempotency-Key": "once"}, {"name": "Nordsoft"}
    made = await api.post("/v1/accounts", body, headers=head)
    with_keys(api, keys)
    answer = await api.call("POST", "/v1/accounts", body, headers=head)
    assert (answer.status_code, answer.json()["code"]) == (503, "secret_keys_missing")
    assert int(answer.headers["retry-after"]) > 0
    other = await api.call("POST", "/v1/accounts", {"name": "x"}, headers=head)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    with_keys(api, {"test": OLD})
    assert await api.post("/v1/accounts", body, headers=head) == made
    assert await count(api, "SELECT count(*) FROM accounts") == 1


# --- baton secrets reseal


NEW = {"new": OTHER, "test": OLD}


async def fill(api: Api) -> tuple[Sender, str, dict[str, Any]]:
    """Something sealed of every kind: a source, a subscription with two secrets, and a stored answer."""
    sender = await make_sender(api, "typeform")
    made = await api.post("/v1/subscriptions", {**BROKER, "ed25519": True})
    await api.post(f"/v1/subscriptions/{made['id']}/secret", {}, status=200)
    await stored_answer(api)
    await erasure(api)
    return sender, made["id"], made


async def test_after_a_reseal_everything_opens_with_the_new_key_alone_and_means_the_same(api: Api) -> None:
    sender, subscription_id, before = await fill(api)
    account = await api.post("/v1/accounts", {"name": "Nordsoft"}, headers={"Idempotency-Key": "once"})
    secrets = await api.get(f"/v1/subscriptions/{subscription_id}")
    pages = await resealed(api, NEW)
    assert sum(page.resealed for page in pages) == len(SEALED)
    assert await in_use(api, NEW) == {"new": True}
    with_keys(api, {"new": OTHER})
    body = b'{"form_response": {"token": "t1", "answers": []}}'
    assert (await sender.post(body, Typeform_Signature=typeform_signature(body, SECRET))).status_code == 202
    assert await api.post("/v1/accounts", {"name": "Nordsoft"}, headers={"Idempotency-Key": "once"}) == account
    ping = await api.post(f"/v1/subscriptions/{subscription_id}/ping", None, status=200)
    assert ping["error"] == "connect_failed", "it was signed, and nobody listens"
    assert await api.get(f"/v1/subscriptions/{subscription_id}") == secrets, "no version rises"
    assert before["version"] == 1
    assert sum(page.resealed for page in await resealed(api, NEW)) == 0


@pytest.mark.parametrize("stop_after", range(len(SEALED) + 2))
async def test_a_reseal_that_is_stopped_at_any_row_leaves_all_readable_and_is_finished_by_the_next(
    api: Api, stop_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(across, "PAGE", 1)
    await fill(api)
    await source(api)
    pages = reseal(api.app.state.engine, KeyRing(NEW))
    for _ in range(stop_after):
        await anext(pages)
    await pages.aclose()
    assert all((await in_use(api, NEW)).values())
    await resealed(api, NEW)
    assert await in_use(api, NEW) == {"new": True}


async def test_the_command_says_what_it_did_and_when_the_old_key_may_go(api: Api) -> None:
    await fill(api)
    without = await baton(api, "secrets", "reseal", keys={"new": OTHER}, status=1)
    assert f"0 encrypted under new, {len(SEALED)} cannot be decrypted" in without
    assert "Secrets are still encrypted under test: add that key" in without
    done = await baton(api, "secrets", "reseal", keys=NEW)
    assert f"{len(SEALED)} encrypted under new, 0 cannot be decrypted" in done
    assert "Nothing is encrypted under test any more: remove it" in done
    assert await in_use(api, {"new": OTHER}) == {"new": True}


async def test_the_command_says_that_the_old_key_stays_while_a_process_still_encrypts_with_it(api: Api) -> None:
    await fill(api)
    async with api.app.state.engine.connect() as tx:
        old = (await tx.execute(text("SELECT secrets FROM sources WHERE secrets IS NOT NULL"))).scalar_one()
    await execute(
        api,
        "CREATE FUNCTION write_old() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN UPDATE sources SET secrets = '{old}' WHERE secrets IS NOT NULL; RETURN NULL; END $$",
    )
    await execute(api, "CREATE TRIGGER olds AFTER UPDATE ON subscriptions EXECUTE FUNCTION write_old()")
    said = await baton(api, "secrets", "reseal", keys=NEW, status=1)
    assert "Secrets are still encrypted under test: keep it, start every process with new as its first key" in said
    await execute(api, "DROP TRIGGER olds ON subscriptions")
    assert "Nothing is encrypted under test any more" in await baton(api, "secrets", "reseal", keys=NEW)


async def test_a_secret_that_is_changed_meanwhile_is_not_lost(api: Api) -> None:
    sender = await make_sender(api, "typeform")
    async with api.app.state.engine.begin() as tx:
        [row] = [row for row in await across.sealed_page(tx, SOURCES, "new", []) if row.stored]
        changed = await api.call("PATCH", f"/v1/sources/{sender.source['id']}", {"secrets": {"signing": "changed"}})
        assert changed.status_code == 200
        anew = KeyRing(NEW).reseal(row.tenant_id, row.id, FIELD, row.stored)
        assert not await across.write_sealed(tx, SOURCES, row, anew)
    assert sum(page.resealed for page in await resealed(api, NEW)) == 1
    with_keys(api, {"new": OTHER})
    assert (await sender.post(b"{}", Typeform_Signature=typeform_signature(b"{}", "changed"))).status_code == 202


async def test_a_reseal_waits_for_a_change_in_progress_and_skips_its_row(api: Api) -> None:
    sender = await make_sender(api, "typeform")
    async with api.app.state.engine.begin() as tx:
        change = "UPDATE sources SET secrets = NULL WHERE secrets IS NOT NULL"
        await tx.execute(text(change))
        pages = asyncio.create_task(resealed(api, NEW))
        await until(lambda: is_waiting(api), "the reseal waits for the row")
    assert sum(page.resealed for page in await pages) == 0
    assert (await api.get(f"/v1/sources/{sender.source['id']}"))["missing_secrets"] == ["signing"]


async def is_waiting(api: Api) -> bool:
    return await count(api, "SELECT count(*) FROM pg_locks WHERE NOT granted") > 0


async def test_a_value_that_cannot_be_decrypted_is_left_as_it_is_and_its_row_is_named(api: Api) -> None:
    sender, *_ = await fill(api)
    await execute(api, "UPDATE sources SET secrets = left(secrets, -8) || 'AAAAAAA=' WHERE secrets IS NOT NULL")
    before = await count(api, "SELECT hashtext(secrets) FROM sources WHERE secrets IS NOT NULL")
    [named] = [row for page in await resealed(api, NEW) for row in page.unreadable]
    assert len(named.split()) == 2
    assert await count(api, f"SELECT count(*) FROM sources WHERE id = '{named.split()[1]}'") == 1
    assert await count(api, "SELECT hashtext(secrets) FROM sources WHERE secrets IS NOT NULL") == before
    assert await in_use(api, NEW) == {"new": True, "test": False}
    assert sender.source["secrets_readable"]
