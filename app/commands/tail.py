"""`baton tail`: prints events of the feed as JSON lines; `--forward` also posts each one to a URL as a signed webhook.

An event is forwarded until the receiver answers 2xx, so that they stay in order while the receiver is restarted. With
`--consumer` the service keeps the place: what was printed and forwarded is acknowledged, and the next run goes on from
there.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import orjson

from app.commands.output import refusal
from app.consumers.problems import AlreadyAcknowledged
from app.errors import LogDiverged
from app.settings import CannotStart
from app.webhooks.signing import key_of, new_secret, signatures

WAIT_SECONDS: Final = 20
TIMEOUT: Final = aiohttp.ClientTimeout(total=WAIT_SECONDS + 20)
RETRY_WAITS: Final = (1.0, 2.0, 4.0, 8.0)
FORWARD_WAITS: Final = (1.0, 2.0, 4.0, 8.0, 15.0)  # the last one again and again
UNAVAILABLE: Final = (429, 502, 503, 504)
FAULTS: Final = (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError)


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """Where to read: URL and API key (events:read); what: start (`after`), types, and a maximum number of events.

    With the name of a consumer, which is made if there is none, reading begins where it stands.
    """

    url: str
    key: str
    after: str = "latest"
    types: str | None = None
    most: int | None = None
    consumer: str | None = None


def tail(options: FeedOptions, forward: str | None, secret: str | None = None) -> None:
    """Print each event and post it signed to `forward`; ends after `most` events, on Ctrl-C or SIGTERM."""
    if forward and secret is None:
        secret = new_secret()
        _tell(f"Signing secret for this run: {secret}")
    if secret is not None:
        try:
            key_of(secret)
        except ValueError as error:
            raise CannotStart(f"--secret cannot be used: {error}") from None
    try:
        with suppress(KeyboardInterrupt, asyncio.CancelledError):
            asyncio.run(_until_stopped(options, forward, secret or ""))
    except BrokenPipeError:  # of `baton tail | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _until_stopped(options: FeedOptions, forward: str | None, secret: str) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await _follow(options, forward, secret)


async def _follow(options: FeedOptions, forward: str | None, secret: str) -> None:
    left = options.most
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        source = Source(session, options)
        await source.begin()
        while left is None or left > 0:
            page = await source.page()
            events, done = page["data"][:left], None
            try:
                for event in events:
                    print(orjson.dumps(event).decode(), flush=True)
                    if forward:
                        await _forward(session, forward, secret, event)
                    done = event
            finally:  # also on Ctrl-C in the middle of a page
                if done is not None:
                    await source.acknowledge({"event_id": done["id"]})
            if len(events) == len(page["data"]):
                await source.acknowledge({"cursor": page["next"]})
            left = None if left is None else left - len(events)


class Source:
    """The feed from a cursor on, or a consumer of the service."""

    def __init__(self, session: aiohttp.ClientSession, options: FeedOptions) -> None:
        self._session, self._options = session, options
        self._after, self._acknowledged = options.after, ""
        self._consumer = f"/v1/consumers/{quote(options.consumer, safe='')}" if options.consumer is not None else None

    async def begin(self) -> None:
        """Make the consumer, if it is to be used and there is none."""
        if self._consumer is not None:
            types = self._options.types.split(",") if self._options.types else None
            await self._ask("PUT", self._consumer, json={"types": types, "start": self._after})

    async def page(self) -> Any:
        """The next page; waits for an event."""
        wait = {"wait": WAIT_SECONDS}
        if self._consumer is not None:
            return await self._ask("GET", f"{self._consumer}/events", params=wait)
        types = {"types": self._options.types} if self._options.types else {}
        found = await self._ask("GET", "/v1/events", params={"after": self._after, **wait, **types})
        self._after = found["next"]
        return found

    async def acknowledge(self, place: dict[str, str]) -> None:
        """Of a consumer: what comes up to this place is done with. Another reader of the same name may be further."""
        if self._consumer is not None and place.get("cursor") != self._acknowledged:
            await self._ask("POST", f"{self._consumer}/ack", (AlreadyAcknowledged.code,), json=place)
            self._acknowledged = place.get("cursor", "")

    async def _ask(self, method: str, path: str, ignored: Collection[str] = (), **sent: Any) -> Any:
        """The answer as JSON. Retries while the service is unavailable; then, and for any problem, CannotStart."""
        headers = {"Authorization": f"Bearer {self._options.key}"}
        for wait in (*RETRY_WAITS, None):
            with suppress(*FAULTS):
                async with self._session.request(method, self._options.url + path, headers=headers, **sent) as answer:
                    if answer.status not in UNAVAILABLE:
                        found = orjson.loads(await answer.read())
                        if answer.ok or found.get("code") in ignored:
                            return found
                        raise CannotStart(self._told(method, path, answer.status, found))
            if wait is not None:
                await asyncio.sleep(wait)
        raise CannotStart(f"{self._options.url} does not answer: is the service running?")

    def _told(self, method: str, path: str, status: int, problem: dict[str, Any]) -> str:
        if problem.get("code") == LogDiverged.code:
            return (
                f"The database of {self._options.url} was restored from a backup, so its events go on differently from"
                " those printed here:"
                f" run the command again with --after {problem['last_event_at'] or problem['earliest']}"
            )
        return f"{method} {path} answers {refusal(status, problem)}"


async def _forward(session: aiohttp.ClientSession, forward: str, secret: str, event: dict[str, Any]) -> None:
    """Post the event as a webhook until it is accepted."""
    body = orjson.dumps(event)
    for attempt, wait in enumerate(chain(FORWARD_WAITS, repeat(FORWARD_WAITS[-1])), 1):
        stamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event["id"],
            "webhook-timestamp": str(stamp),
            "webhook-signature": signatures([key_of(secret)], event["id"], stamp, body),
            "webhook-attempt": str(attempt),
        }
        try:
            async with session.post(forward, data=body, headers=headers, allow_redirects=False) as answer:
                if answer.ok and answer.status < 300:
                    return
                failure = f"answers {answer.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            failure = f"does not answer ({type(error).__name__})"
        _tell(f"{forward} {failure} to {event['id']}: again in {wait:g} s")
        await asyncio.sleep(wait)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
