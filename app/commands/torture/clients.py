"""The clients of a run: they write, read the feed, and note what the API acknowledged. All of them retry."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson

from app.commands.torture.ledger import Ledger
from app.commands.torture.processes import ADMIN_KEY
from app.commands.torture.receivers import digest

TIMEOUT: Final = aiohttp.ClientTimeout(total=20)
RETRY_SECONDS: Final = 0.2
RETRIED: Final = (429, 503)
WRITERS: Final = 24
PAUSE_SECONDS: Final = 1.0  # the mean of a writer, between two requests
PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Api:
    """The API at several addresses; a request that gets no answer, 429 or 503 is sent again, to the next one."""

    session: aiohttp.ClientSession
    addresses: Sequence[str]
    ledger: Ledger

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
        may: str | None = None,
    ) -> Any:
        """The answer as JSON; None for one that is neither 2xx nor to be retried.

        This is noted as wrong unless it is a 409, or a refusal for the code of a field that the request may meet.
        """
        sent = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json", **(headers or {})}
        data = None if body is None else orjson.dumps(body)
        number = random.randrange(len(self.addresses))  # noqa: S311 - spreads load
        while True:
            number += 1
            address = self.addresses[number % len(self.addresses)]
            try:
                async with self.session.request(
                    method, address + path, data=data, headers=sent, params=params
                ) as answer:
                    found = orjson.loads(await answer.read() or b"null")
            except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError):
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if answer.ok:
                return found
            if answer.status in RETRIED or (answer.status == 409 and "Retry-After" in answer.headers):
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if answer.status != 409 and may not in [each["code"] for each in found.get("errors", [])]:
                text = f"{method} {path} answered {answer.status} {found.get('code')}: {found.get('detail')}"
                self.ledger.note("wrong", text=text)
            return None

    async def pages(self, path: str, **params: Any) -> list[Any]:
        """The rows of all pages of a list."""
        rows, asked = list[Any](), {"limit": 100, **params}
        while True:
            page = await self.send("GET", path, params=asked)
            rows += page["data"]
            if page["next"] is None:
                return rows
            asked["cursor"] = page["next"]


@dataclass(slots=True)
class Writers:
    """Writers with leads of their own, until `stop` is set; then each finishes the request that it sends."""

    api: Api
    source_path: str
    seed: int
    stop: asyncio.Event

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(WRITERS):
                tasks.create_task(self._write(number))

    async def _write(self, number: int) -> None:
        chance = random.Random(f"{self.seed} writer {number}")  # noqa: S311 - no secret
        leads, count = list[str](), 0
        while not self.stop.is_set():
            count += 1
            key = f"{self.seed}-{number}-{count}"
            if not leads or chance.random() < 0.1:
                await self._create(leads, key)
            elif (drawn := chance.random()) < 0.15:
                await self._fill_form(key)
            else:
                await self._change(chance.choice(leads[-3:]), key, is_activity=drawn < 0.3)
            await asyncio.sleep(chance.uniform(0, 2 * PAUSE_SECONDS))

    async def _create(self, leads: list[str], key: str) -> None:
        body = {"fields": {"email": f"lead@torture-{key}.com", "company": f"Company {key}"}}
        if (lead := await self.api.send("POST", "/v1/leads", body, {"Idempotency-Key": key})) is not None:
            leads.append(lead["id"])
            self._acknowledge(f"{lead['id']}@{lead['version']}")

    async def _change(self, lead_id: str, key: str, is_activity: bool) -> None:
        path, head = f"/v1/leads/{lead_id}", {"Idempotency-Key": key}
        if is_activity:
            body: dict[str, Any] = {"type": "webinar", "activity_key": key}
            if (made := await self.api.send("POST", f"{path}/activities", body, head)) is not None:
                self._acknowledge(made["id"])
        elif (lead := await self.api.send("PATCH", path, {"fields": {"job_title": f"Title {key}"}}, head)) is not None:
            self._acknowledge(f"{lead_id}@{lead['version']}")

    async def _fill_form(self, key: str) -> None:
        body = {"submission_id": key, "email": f"form@torture-form-{key}.com", "company": f"Form {key}"}
        if (accepted := await self.api.send("POST", self.source_path, body)) is not None:
            self._acknowledge(accepted["submission"]["id"])

    def _acknowledge(self, key: str) -> None:
        self.api.ledger.note("acknowledged", key=key)


async def follow_feed(api: Api, stop: asyncio.Event) -> None:
    """Read the feed from its beginning while it grows, and note each event; ends with an empty page after `stop`."""
    after = "earliest"
    while True:
        ending = stop.is_set()
        asked: dict[str, str | int] = {"after": after, "limit": PAGE, "wait": 0 if ending else 2}
        page = await api.send("GET", "/v1/events", params=asked)
        for event in page["data"]:
            api.ledger.note("fed", event=event["id"])
        after = page["next"]
        if ending and not page["has_more"]:
            return


async def note_committed(api: Api, leads_of: Mapping[str, Sequence[str]]) -> None:
    """Note each event of the feed with the keys by which acknowledgements name it.

    `leads_of` has the submissions of each lead that they made: the capture of the lead is what they stand for.
    """
    after, more = "earliest", True
    while more:
        page = await api.send("GET", "/v1/events", params={"after": after, "limit": PAGE})
        for event in page["data"]:
            api.ledger.note(
                "committed",
                event=event["id"],
                type=event["type"],
                lead=event["data"].get("lead_id"),
                position=int(event["meta"]["position"]),
                body=digest(event),
                keys=_keys(event, leads_of),
            )
        after, more = page["next"], page["has_more"]


def _keys(event: Mapping[str, Any], leads_of: Mapping[str, Sequence[str]]) -> list[str]:
    data = event["data"]
    keys = [f"{data.get('lead_id')}@{event['meta']['lead_version']}"]
    if event["type"] == "lead.activity":
        keys.append(data["activity"]["id"])
    if event["type"] == "lead.captured":
        keys += leads_of.get(data["lead_id"], ())
    return keys
