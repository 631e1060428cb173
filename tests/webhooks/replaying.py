"""A subscription over HTTP, and its replays."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from app import ids
from tests.api import Api
from tests.waiting import TIMEOUT_SECONDS
from tests.webhooks.conftest import Answer, Got, Inbox, World, inbox

PATH = "/v1/subscriptions"


class Replaying:
    """A tenant whose events the test records, one subscription of it, and its replays."""

    def __init__(self, api: Api, box: Inbox, made: dict[str, Any]) -> None:
        self.api, self.box, self.path, self.made = api, box, f"{PATH}/{made['id']}", made
        state = api.app.state
        self.world = World(
            state.engine, state.settings.database_url, state.settings, state.wake, tenant_id=api.tenant_id
        )

    async def create(self, *, status: int = 201, start: str | None = None, **body: Any) -> dict[str, Any]:
        """Create a replay; `start` is its `from`."""
        body |= {} if start is None else {"from": start}
        return dict(await self.api.post(f"{self.path}/replays", body, status=status))

    async def get(self, replay: dict[str, Any]) -> dict[str, Any]:
        return dict(await self.api.get(f"{self.path}/replays/{replay['id']}"))

    async def change(self, replay: dict[str, Any], verb: str, status: int = 200) -> dict[str, Any]:
        return dict(await self.api.post(f"{self.path}/replays/{replay['id']}/{verb}", None, status=status))

    async def until(self, replay: dict[str, Any], **members: Any) -> dict[str, Any]:
        """Wait until the replay has these members."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while True:
            shown = await self.get(replay)
            if all(shown[name] == value for name, value in members.items()):
                return shown
            assert time.monotonic() < end, shown
            await asyncio.sleep(0.02)

    async def until_written(self) -> None:
        """Wait until the lane has handled the whole log, and its position says so."""
        await self.world.until_row(
            "SELECT 1 FROM lanes WHERE position = (SELECT max(position) FROM event_log)"
            " AND NOT EXISTS (SELECT 1 FROM pending)"
        )

    def live(self) -> list[Got]:
        return [got for got in self.box.got if "webhook-replay" not in got.headers]

    def replayed(self, replay: dict[str, Any] | None = None) -> list[Got]:
        """The requests of a replay, or of any."""
        wanted = {replay["id"]} if replay else {got.headers.get("webhook-replay") for got in self.box.got} - {None}
        return [got for got in self.box.got if got.headers.get("webhook-replay") in wanted]


@asynccontextmanager
async def replaying(api: Api, answer: Answer = lambda _: 204, **members: Any) -> AsyncIterator[Replaying]:
    async with inbox(answer) as box:
        yield Replaying(api, box, await api.post(PATH, {"url": box.url, "types": ["lead.*"], **members}))


def shown(*leads: UUID) -> list[str]:
    return [ids.show("lead", lead) for lead in leads]
