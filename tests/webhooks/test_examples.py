"""The receivers in examples/, run as processes and served by a running service."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests import node
from tests.api import Api
from tests.ports import reserved_port
from tests.serving import served
from tests.waiting import TIMEOUT_SECONDS, until
from tests.webhooks.conftest import RETRIES, Inbox, inbox


def in_both_languages(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [f"{name}.py", pytest.param(f"{name}.mjs", marks=node.with_node)])


EXAMPLES = Path(__file__).parents[2] / "examples"
LIMITS = {"retry_schedule": RETRIES}
LARGE = {"fields": {"email": "long@b.example", "message": "x" * 9_900}, "custom": {"more": "y" * 20_000}}


@asynccontextmanager
async def example(name: str, port: int, *arguments: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    program = str(node.PROGRAM) if name.endswith(".mjs") else sys.executable
    command = [program, str(EXAMPLES / name), str(port), *arguments]
    environment = {**os.environ, **settings}
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
    try:
        await until(lambda: listens(port), f"{name} listens")
        yield process
    finally:
        process.kill()
        await process.wait()


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def subscribe(api: Api, port: int, **members: Any) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}/"
    return dict(await api.post("/v1/subscriptions", {"url": url, "include": ["lead"], "limits": LIMITS, **members}))


async def forged(port: int) -> list[int]:
    """What is answered to a wrong signature, and to none."""
    body = b'{"id":"evt_x","data":{}}'
    wrong = {
        b"webhook-id": b"evt_x",
        b"webhook-timestamp": str(int(time.time())).encode(),
        b"webhook-signature": "v1,AAAA v1,é".encode("latin-1"),
    }
    async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_SECONDS) as client:
        url = f"http://127.0.0.1:{port}/"
        return [(await client.post(url, content=body, headers=headers)).status_code for headers in (wrong, {})]


async def test_a_chat_is_told_once_who_became_an_mql(delivering: Api) -> None:
    api, down = delivering, [True]
    async with AsyncExitStack() as stack:
        chat = await stack.enter_async_context(inbox(lambda _: 200 if not down else 503))
        port = stack.enter_context(reserved_port())
        made = await subscribe(api, port, types=["lead.stage_changed"])
        settings = {"SECRET": made["secret"], "CHAT_URL": chat.url}
        await stack.enter_async_context(example("announce.py", port, **settings))
        await api.mql(first_name="Anna", last_name="Zvoristeanu", company="Nordsoft")
        await chat.until(lambda box: len(box.got) > 1)  # the chat refuses, so Baton sends the event again
        down.clear()
        await told(chat, 1)
        lead = await api.mql(first_name="Ion")
        await told(chat, 2)
        await api.ask(lead, "accept", await api.user("sdr"))
        await told(chat, 3)
        assert await forged(port) == [401, 401]
    lines = [got.event["text"] for got in chat.ok]
    assert lines[0] == "Anna Z. of Nordsoft is an MQL"
    assert lines[1].startswith("Ion")
    assert lines[1].endswith(" is an MQL")
    assert lines[2].endswith(" is accepted by sales")
    assert len(lines) == 3, "an inquiry is not announced, and nothing twice"


async def told(chat: Inbox, count: int) -> None:
    await chat.until(lambda box: len(box.ok) >= count)


async def test_a_contact_list_follows_every_change_of_a_lead(delivering: Api, tmp_path: Path) -> None:
    api, file = delivering, tmp_path / "contacts.db"
    async with AsyncExitStack() as stack:
        baton = await stack.enter_async_context(served(api.app))
        port = stack.enter_context(reserved_port())
        first = await api.mql(email="anna@nordsoft.example", full_name="Anna Zvoristeanu")
        gone = await api.lead(email="ion@sudsoft.example")
        made = await subscribe(api, port, types=["lead.*"], start="earliest")
        settings = {"SECRET": made["secret"], "BATON": baton, "BATON_KEY": api.key}

        def rows() -> dict[str, Any]:
            with closing(sqlite3.connect(file)) as database:
                return {row[0]: row[1:] for row in database.execute("SELECT * FROM contacts")}

        def row_of(lead: dict[str, Any]) -> tuple[Any, ...]:
            fields = (lead["fields"][name] for name in ("full_name", "email", "phone", "company", "job_title"))
            return lead["version"], lead["stage"], *fields

        async with example("contact_list.py", port, str(file), **settings):
            await until(lambda: rows() == {lead["id"]: row_of(lead) for lead in (first, gone)}, "both are listed")
            assert await forged(port) == [401, 401]
        for lead, fields in ((first, {"email": "az@nordsoft.example"}), (gone, {"company": "Sudsoft"})):
            await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": fields})
        large = await api.post("/v1/leads", LARGE)
        async with api.app.state.engine.begin() as tx:
            await tx.execute(text("UPDATE leads SET erased_at = now() WHERE fields ->> 'company' = 'Sudsoft'"))
        now = {lead["id"]: row_of(await api.reload(lead)) for lead in (first, large)}
        async with example("contact_list.py", port, str(file), **settings):
            await until(lambda: rows() == now, "the list has what happened while it was stopped")


@in_both_languages("verify_ed25519")
async def test_a_receiver_verifies_by_public_keys_alone_also_during_a_rotation(delivering: Api, name: str) -> None:
    api = delivering
    async with AsyncExitStack() as stack:
        port = stack.enter_context(reserved_port())
        made = await subscribe(api, port, ed25519=True)
        path = f"/v1/subscriptions/{made['id']}"
        rotated = await api.post(f"{path}/secret", {"kind": "v1a"}, status=200)
        [new, old] = [key["public_key"] for key in rotated["signing_keys"] if key["kind"] == "v1a"]
        for key in (new, old):
            async with example(name, port, PUBLIC_KEYS=key) as process:
                ping = await api.post(f"{path}/ping", None, status=200)
                assert (ping["delivered"], ping["code"]) == (True, 204)
                assert process.stdout
                assert (await process.stdout.readline()).startswith(b"subscription.ping evt_")
                assert await forged(port) == [401, 401]
        other = await api.post("/v1/subscriptions", {"url": made["url"], "ed25519": True})
        async with example(name, port, PUBLIC_KEYS=f"{new} {old}"):
            assert (await api.post(f"/v1/subscriptions/{other['id']}/ping", None, status=200))["code"] == 401


@pytest.mark.parametrize("format_", ["cloudevents_structured", "cloudevents_binary"])
@in_both_languages("take_cloudevents")
async def test_a_receiver_takes_cloudevents_of_both_modes(delivering: Api, name: str, format_: str) -> None:
    api = delivering
    async with AsyncExitStack() as stack:
        port = stack.enter_context(reserved_port())
        made = await subscribe(api, port, format=format_, types=["lead.captured"], include=[])
        process = await stack.enter_async_context(example(name, port, SECRET=made["secret"]))
        lead = await api.lead()
        assert process.stdout
        line = (await process.stdout.readline()).decode()
        assert line.startswith("lead.captured evt_")
        assert line.split()[2] == lead["id"]
        assert lead["id"] in line.split(" ", 3)[3]
        assert await forged(port) == [401, 401]
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_SECONDS) as client:
            asked = {"WebHook-Request-Origin": "baton.example"}
            answer = await client.request("OPTIONS", made["url"], headers=asked)
        assert answer.headers["WebHook-Allowed-Origin"] == "baton.example"
