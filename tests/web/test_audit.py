"""The audit log: who did what and who read what, in a chain in which a row that is gone or changed shows."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from itertools import combinations
from typing import Any

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app import ids
from app.commands.administration import verify_all
from app.database import migrate
from app.tenants.audit_chain import audit_faults
from tests.api import Api
from tests.submissions.sender import make_sender

READ = {"name": "CRM", "scopes": ["leads:read"]}


async def rows(api: Api, query: str = "", key: str | None = None) -> list[dict[str, Any]]:
    """All rows of the log, the latest first, three on a page."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = await api.get(f"/v1/audit?limit=3&{query}{cursor}", key=key)
        found += page["data"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


async def faults(api: Api) -> list[str]:
    async with api.app.state.engine.connect() as tx:
        return await audit_faults(tx, api.tenant_id)


async def run_as_superuser(api: Api, statement: str, **values: Any) -> None:
    """Without triggers, as somebody could who wants to hide something."""
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("SET LOCAL session_replication_role = replica"))
        await tx.execute(text(statement), {"tenant_id": api.tenant_id, **values})


def hash_of(before: str, row: dict[str, Any]) -> str:
    """The hash as docs/operations.md describes it, from the values of the response alone."""
    in_order = {
        name: {key: row[name][key] for key in sorted(row[name], key=lambda key: (len(key), key))}
        for name in ("actor", "detail")
    }
    whole, _, parts = row["recorded_at"].removesuffix("Z").partition(".")
    at, number = f"{whole}.{parts or '000000'}Z", ids.read("audit", row["id"])
    values = [row["number"], str(number), at, row["act"], row["subject"], in_order["actor"], in_order["detail"]]
    return hashlib.sha256(bytes.fromhex(before) + json.dumps(values, ensure_ascii=False).encode()).hexdigest()


async def test_each_row_has_the_next_number_and_a_hash_of_itself_and_the_row_before(api: Api) -> None:
    user = await api.user("sdr", name="Zoë „Ω” 李")
    await api.call("PATCH", f"/v1/users/{user}", {"team": "north"})
    await api.post("/v1/sources", {"name": "site", "preset": "generic"})
    found = (await rows(api))[::-1]
    assert [row["number"] for row in found] == list(range(1, len(found) + 1))
    assert [row["act"] for row in found] == ["user.created", "user.changed", "source.created"]
    before = ""
    for row in found:
        assert row["hash"] == hash_of(before, row)
        before = row["hash"]
    head = (await api.get("/v1/audit"))["head"]
    assert head == {"number": len(found), "hash": before}
    assert await faults(api) == []


async def test_a_log_without_rows_has_no_head(api: Api) -> None:
    assert await api.get("/v1/audit") == {"data": [], "next": None, "head": None}
    assert await faults(api) == []


async def test_who_reads_keys_and_raw_submissions_is_told(api: Api) -> None:
    sender = await make_sender(api)
    await sender.post({"email": "ana@acme.example"})
    submission = (await api.get("/v1/submissions"))["data"][0]["id"]
    reader = await api.user("manager")
    key = (await api.post("/v1/keys", READ))["id"]
    before = len(await rows(api))
    for path in (f"/v1/submissions/{submission}/raw", f"/v1/keys/{key}", "/v1/keys"):
        await api.get(path, actor=reader)
    await api.get(f"/v1/submissions/{submission}")  # without the raw request
    own = (await api.get("/v1/me"))["key"]["id"]
    told = (await rows(api))[:-before]
    assert [(row["act"], row["subject"]) for row in told] == [
        ("keys.read", ids.show("tenant", api.tenant_id)),
        ("key.read", key),
        ("submission.raw_read", submission),
    ]
    assert {json.dumps(row["actor"], sort_keys=True) for row in told} == {
        json.dumps({"id": reader, "key": own, "kind": "human"}, sort_keys=True)
    }


@pytest.mark.parametrize("path", ["/v1/keys/{key}", "/v1/submissions/{submission}/raw"])
async def test_nothing_is_told_of_what_is_not_there(api: Api, path: str) -> None:
    kind = path.split("{")[1].split("}")[0]
    assert (await api.call("GET", path.format(**{kind: ids.show(kind, ids.new_id())}))).status_code == 404
    assert await rows(api) == []


async def test_every_filter_and_each_two_of_them_list_what_matches(api: Api) -> None:
    manager = await api.user("manager")
    for number in range(3):
        api.clock.ahead += timedelta(minutes=1)
        made = await api.post("/v1/keys", {**READ, "name": f"k{number}"}, actor=manager if number else None)
        await api.call("DELETE", f"/v1/keys/{made['id']}")
    everything = await rows(api)
    some = everything[2]
    tests: dict[str, tuple[str, Callable[[dict[str, Any]], bool]]] = {
        "act": ("key.created", lambda row: row["act"] == "key.created"),
        "subject": (some["subject"], lambda row: row["subject"] == some["subject"]),
        "actor": (manager, lambda row: row["actor"]["id"] == manager),
        "from": (some["recorded_at"], lambda row: row["recorded_at"] >= some["recorded_at"]),
        "to": (everything[0]["recorded_at"], lambda row: row["recorded_at"] < everything[0]["recorded_at"]),
    }
    for names in [*((name,) for name in tests), *combinations(tests, 2)]:
        query = "&".join(f"{name}={tests[name][0]}" for name in names)
        assert await rows(api, query) == [row for row in everything if all(tests[name][1](row) for name in names)]
    assert 0 < len(await rows(api, "actor=" + manager)) < len(everything)
    assert await rows(api, "act=user.changed") == []


@pytest.mark.parametrize("act", ["person.export", "keys", "key.*", "KEY.CREATED", "", "a" * 100])
async def test_an_act_that_is_never_recorded_is_refused_so_that_no_misspelling_reads_as_nothing_done(
    api: Api, act: str
) -> None:
    answer = await api.call("GET", f"/v1/audit?act={act}")
    (fault,) = answer.json()["errors"]
    assert (answer.status_code, fault["field"], fault["code"]) == (422, "act", "unknown_value")
    assert "'person.exported'" in fault["detail"]


async def test_each_tenant_has_a_chain_of_its_own_and_sees_no_other(api: Api, rival: Api) -> None:
    await api.user("sdr")
    await rival.user("sdr")
    await rival.user("ae")
    assert [row["number"] for row in await rows(api)] == [1]
    assert [row["number"] for row in await rows(rival)] == [3, 2, 1]
    assert (await faults(api), await faults(rival)) == ([], [])


async def test_requests_at_the_same_time_leave_one_chain_without_gaps(api: Api) -> None:
    async def one(number: int) -> None:
        await api.post("/v1/keys", {**READ, "name": f"k{number}"})
        await api.get("/v1/keys")

    await asyncio.gather(*(one(number) for number in range(25)))
    assert sorted(row["number"] for row in await rows(api)) == list(range(1, 51))
    assert await faults(api) == []


async def test_what_is_rolled_back_takes_no_number(api: Api) -> None:
    await api.user("sdr")
    twice = (
        "INSERT INTO audit (tenant_id, id, recorded_at, actor, act, detail)"
        f" SELECT :tenant_id, '{ids.new_id()}', now(), '{{}}', 'a', '{{}}' FROM generate_series(1, 2)"
    )
    async with api.app.state.engine.connect() as tx:
        with pytest.raises(IntegrityError):
            await tx.execute(text(twice), {"tenant_id": api.tenant_id})
    await api.user("sdr")
    assert [row["number"] for row in await rows(api)] == [2, 1]
    assert await faults(api) == []


GONE, CHANGED = "rows are gone", "is not as it was written"


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM audit WHERE number = 1", ["row 2 ", GONE]),
        ("DELETE FROM audit WHERE number = 3", ["row 4 ", GONE]),
        ("DELETE FROM audit WHERE number = 5", ["row 5, the last that was written, is gone"]),
        ("DELETE FROM audit WHERE number > 2", ["row 5, the last that was written, is gone"]),
        ("DELETE FROM audit", ["row 5, the last that was written, is gone"]),
        ("UPDATE audit SET act = 'user.changed' WHERE number = 2", ["row 2 ", CHANGED]),
        ("UPDATE audit SET subject = NULL WHERE number = 2", ["row 2 ", CHANGED]),
        ('UPDATE audit SET actor = actor || \'{"id": "x"}\' WHERE number = 5', ["row 5 ", CHANGED]),
        ("UPDATE audit SET detail = '{\"a\": 1}' WHERE number = 2", ["row 2 ", CHANGED]),
        ("UPDATE audit SET recorded_at = recorded_at + interval '1 microsecond' WHERE number = 2", ["row 2 ", CHANGED]),
        ("UPDATE audit SET id = gen_random_uuid() WHERE number = 2", ["row 2 ", CHANGED]),
        ("UPDATE audit SET hash = '' WHERE number = 5", ["row 5 ", CHANGED]),
        ("UPDATE audit SET number = 0 - number WHERE number > 3", ["row -5 "]),
        (
            "INSERT INTO audit (tenant_id, id, recorded_at, actor, act, detail)"
            " VALUES (:tenant_id, gen_random_uuid(), now(), '{}', 'key.created', '{}')",
            ["row None ", "key.created"],
        ),
    ],
)
async def test_a_row_that_is_gone_changed_or_smuggled_in_is_found(api: Api, statement: str, found: list[str]) -> None:
    for _ in range(5):
        await api.user("sdr")
    assert await faults(api) == []
    await run_as_superuser(api, statement)
    told = "; ".join(await faults(api))
    assert [one for one in found if one not in told] == []
    assert await verify_all(api.app.state.engine) == 1


async def test_rows_that_were_there_before_the_chain_are_taken_into_it(api: Api, rival: Api) -> None:
    for one in (api, rival, api, rival, api):
        await one.user("sdr")
    before = await rows(api)
    engine, url = api.app.state.engine, api.app.state.settings.database_url
    async with engine.engine.connect() as connection:
        await connection.run_sync(lambda one: command.downgrade(migrate.configuration(one), "0053_audit_chain-1"))
    await migrate.upgrade(url)
    assert await rows(api) == before
    assert (await faults(api), await faults(rival)) == ([], [])
    await api.user("sdr")
    assert (await rows(api))[0]["number"] == 4
