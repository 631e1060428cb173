"""The cache of sources never keeps a source as it was before a change that is committed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app import ids
from app.database.transaction import Database, Tx
from app.sources import change
from app.sources.known import CachedSource, source_by_key
from app.tenants.users import change_user
from tests.api import Api
from tests.submissions.sender import make_sender

Change = Callable[[Tx, Any], Awaitable[Any]]


class ChangingDatabase(Database):
    """Commits a change after the first look-up has read the old row, and before its result is cached."""

    def __init__(self, database: Database, commit_change: Callable[[], Awaitable[None]]) -> None:
        super().__init__(database.engine)
        self.commit_change = commit_change

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Tx]:
        async with super().connect() as tx:
            yield tx
        await self.commit_change()


def disable(api: Api, source_id: Any) -> Change:
    async def changed(tx: Tx, now: Any) -> None:
        values = {"enabled": False}
        await change.change_source(tx, api.tenant_id, source_id, values, None, api.app.state.keyring, now)

    return changed


def archive(api: Api, source_id: Any) -> Change:
    return lambda tx, now: change.archive_source(tx, api.tenant_id, source_id, None, now)


async def found(api: Api, key: str, engine: Database | None = None) -> CachedSource | None:
    return await source_by_key(engine or api.app.state.engine, api.app.state.keyring, key)


def is_served(known: CachedSource | None) -> bool:
    return known is not None and known.source.enabled


@pytest.mark.parametrize("make", [disable, archive])
async def test_a_request_between_a_change_and_its_commit_does_not_keep_the_old_source(
    api: Api, make: Callable[[Api, Any], Change]
) -> None:
    sender = await make_sender(api)
    key = sender.source["key"]
    changed = make(api, ids.read("source", sender.source["id"]))
    async with api.app.state.engine.begin() as tx:
        await changed(tx, api.now)
        assert is_served(await found(api, key)), "the change is not committed"
    assert not is_served(await found(api, key))


@pytest.mark.parametrize("make", [disable, archive])
async def test_a_source_that_changes_while_it_is_looked_up_is_not_cached_as_it_was(
    api: Api, make: Callable[[Api, Any], Change]
) -> None:
    sender = await make_sender(api)
    changed = make(api, ids.read("source", sender.source["id"]))

    async def commit_change() -> None:
        async with api.app.state.engine.begin() as tx:
            await changed(tx, api.now)

    changing = ChangingDatabase(api.app.state.engine, commit_change)
    assert is_served(await found(api, sender.source["key"], changing)), "it was looked up before"
    assert not is_served(await found(api, sender.source["key"]))


async def test_a_change_that_is_rolled_back_leaves_the_source(api: Api) -> None:
    sender = await make_sender(api)
    changed = disable(api, ids.read("source", sender.source["id"]))
    async with api.app.state.engine.connect() as tx:
        await tx.command("BEGIN")
        await changed(tx, api.now)
        await tx.command("ROLLBACK")
    assert is_served(await found(api, sender.source["key"]))


async def test_a_request_between_a_change_of_a_user_and_its_commit_does_not_keep_his_old_role(api: Api) -> None:
    user_id = await api.user("sdr")
    async with api.app.state.engine.begin() as tx:
        values = {"active": False}
        await change_user(tx, api.tenant_id, ids.read("user", user_id), values, None, api.now)
        assert (await api.call("GET", "/v1/leads", actor=user_id)).status_code == 200
    assert (await api.call("GET", "/v1/leads", actor=user_id)).json()["code"] == "actor_unknown"
