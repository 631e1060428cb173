"""Responses when the database is slow, locked, out of connections or fails at commit; and what is never logged."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from starlette.middleware.base import BaseHTTPMiddleware

from app.database import engine as database
from app.database.engine import POOL_SECONDS, SERVER_SETTINGS
from app.database.transaction import Database, Tx
from app.settings import Settings
from tests.api import Api, running
from tests.contract.service import ADMIN_KEY, service

LOCK_TIMEOUT = SERVER_SETTINGS["lock_timeout"]  # the production value: the fixtures use a longer one


def is_unavailable(answer: httpx.Response) -> bool:
    """Whether it is the 503 with Retry-After."""
    found = answer.status_code, answer.json()["code"], answer.headers.get("retry-after")
    return found == (503, "database_unavailable", "1")


async def run(api: Api, *statements: str) -> None:
    async with api.app.state.engine.begin() as tx:
        for statement in statements:
            await tx.execute(text(statement))


async def test_a_change_of_a_locked_lead_is_a_503_after_the_lock_timeout(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[str] = []
    original = Tx.command

    async def record(tx: Tx, command: str) -> str:
        commands.append(command)
        return await original(tx, command)

    monkeypatch.setitem(SERVER_SETTINGS, "lock_timeout", LOCK_TIMEOUT)
    async with running(settings) as api:
        lead = await api.lead()
        async with api.app.state.engine.begin() as other:
            await other.execute(text("SELECT * FROM leads FOR UPDATE"))
            monkeypatch.setattr(Tx, "command", record)
            answer = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"employees": 5}})
            assert is_unavailable(answer), answer.text
            assert commands == ["BEGIN", "ROLLBACK"], "the transaction is not retried"
        assert (await api.reload(lead))["version"] == lead["version"]
    assert LOCK_TIMEOUT == "2s"


async def test_a_statement_that_takes_too_long_is_a_503(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SERVER_SETTINGS, "statement_timeout", "2s")
    async with running(settings) as api:
        slow = "CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(90); RETURN NEW; END'"
        await run(api, slow, "CREATE TRIGGER naps BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION nap()")
        assert is_unavailable(await api.call("POST", "/v1/accounts", {"name": "Nordsoft"}))
        assert (await api.get("/v1/accounts"))["data"] == []


async def test_a_pool_without_a_free_connection_is_a_503_after_the_pool_timeout_and_recovers(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "POOL_SECONDS", POOL_SECONDS)
    async with running(settings.model_copy(update={"pool_size": 2})) as api:
        engine = api.app.state.engine
        async with engine.connect(), engine.connect():
            assert is_unavailable(await api.call("GET", "/v1/leads"))
        assert (await api.get("/v1/leads"))["data"] == []
    assert POOL_SECONDS == 2


async def test_the_response_is_sent_after_the_commit(api: Api) -> None:
    """The constraint fails at COMMIT: a response sent before it would be a 201 for a lead that does not exist."""
    await run(
        api,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'",
        "CREATE CONSTRAINT TRIGGER refuses AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    answer = await api.call("POST", "/v1/leads", {"fields": {"email": "a@nordsoft.example"}})
    assert answer.status_code == 500
    assert (await api.get("/v1/leads"))["data"] == []


async def test_requests_succeed_after_the_pooled_connections_were_terminated(api: Api) -> None:
    lead = await api.lead()
    await run(api, "SELECT 1")
    async with api.app.state.engine.connect() as other:
        await other.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND datname = current_database()"
            )
        )
    for _ in range(12):
        assert (await api.call("GET", f"/v1/leads/{lead['id']}")).status_code == 200
        assert (await api.call("POST", "/v1/accounts", {"name": "Nordsoft"})).status_code == 201


async def test_all_middleware_is_pure_asgi(api: Api) -> None:
    classes: list[Any] = [each.cls for each in api.app.user_middleware]
    assert classes
    assert not any(isinstance(each, type) and issubclass(each, BaseHTTPMiddleware) for each in classes)
    wrong = [path.name for path in Path(database.__file__).parents[1].glob("**/*.py") if "BaseHTTP" in path.read_text()]
    assert wrong == []


async def test_the_log_has_neither_secrets_nor_personal_data(url: str, engine: Database, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with service(url, log) as client:
        hook = client.post("/v1/subscriptions", json={"url": "http://127.0.0.1:9/hook"}).json()
        key = client.post("/v1/keys", json={"name": "CRM", "scopes": ["leads:read"]}).json()
        source = {"name": "form", "preset": "typeform", "secrets": {"signing": "from-typeform"}}
        form = client.post("/v1/sources", json=source).json()
        person = {
            "fields": {"email": "anna@nordsoft.example", "full_name": "Anna Zvoristeanu", "phone": "+40215550100"}
        }
        assert client.post("/v1/leads", json=person, headers={"Cookie": "session=biscuit"}).status_code == 201
        assert client.post(f"/v1/ingest/{form['key']}", json=person).status_code == 401
        assert client.post("/v1/leads", content=b'{"fields": {"email": "zvoristeanu').status_code in (400, 415)
        async with engine.begin() as tx:
            await tx.execute(text("ALTER TABLE accounts RENAME TO elsewhere"))  # the next request fails and is logged
        broken = client.post("/v1/accounts", json={"name": "Zvoristeanu", "domain": "zvoristeanu.example"})
        assert broken.status_code == 500
    logged = log.read_text()
    assert "request_failed" in logged
    assert broken.headers["x-request-id"] in logged
    assert "Traceback" not in logged
    for word in (ADMIN_KEY, hook["secret"], key["secret"], form["key"], "from-typeform", "btn_", "whsec_", "biscuit"):
        assert word not in logged, word
    for word in ("zvoristeanu", "anna", "nordsoft", "5550100"):
        assert word not in logged.lower(), word
