"""`baton tail`: follow the feed; with `--forward`, as a webhook receiver on this machine would hear it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import orjson
from rich.console import Console
from rich.markup import escape

from app.settings import CannotStart
from app.webhooks.signing import key_of, new_secret, signatures

WAIT_SECONDS: Final = 20
TIMEOUT: Final = aiohttp.ClientTimeout(total=WAIT_SECONDS + 20)
WAITS: Final = (1.0, 2.0, 4.0, 8.0)
console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Reading:
    """What to follow: the service, a key with events:read, from where, which types, and how many at most."""

    url: str
    key: str
    after: str = "latest"
    types: str | None = None
    most: int | None = None


def tail(reading: Reading, forward: str | None) -> None:
    """Prints each event as it comes, and posts it signed to `forward`; ends after `most` events or by Ctrl-C."""
    secret = new_secret() if forward else ""
    if forward:
        console.print(f"Signing secret of this run: {secret}", markup=False)
    asyncio.run(_follow(reading, forward, secret))


async def _follow(reading: Reading, forward: str | None, secret: str) -> None:
    shown = 0
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        async for event in _events(session, reading):
            console.print(_line(event))
            if forward:
                await _hand_on(session, forward, secret, event)
            shown += 1
            if shown == reading.most:
                return


async def _events(session: aiohttp.ClientSession, reading: Reading) -> AsyncIterator[dict[str, Any]]:
    """The events in order, each once; a service that is away is waited for. CannotStart."""
    after, waits = reading.after, iter(WAITS)
    headers = {"Authorization": f"Bearer {reading.key}"}
    while True:
        asked = {"after": after, "wait": WAIT_SECONDS, **({"types": reading.types} if reading.types else {})}
        try:
            async with session.get(f"{reading.url}/v1/events?{urlencode(asked)}", headers=headers) as answer:
                page = orjson.loads(await answer.read())
                if answer.status == 503:
                    raise aiohttp.ClientError
                if not answer.ok:
                    raise CannotStart(f"the feed answers {answer.status} {page.get('code')}: {page.get('detail')}")
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError):
            wait = next(waits, None)
            if wait is None:
                raise CannotStart(f"{reading.url} does not answer: is the service running?") from None
            await asyncio.sleep(wait)
            continue
        for event in page["data"]:
            yield event
        after, waits = page["next"], iter(WAITS)


def _line(event: dict[str, Any]) -> str:
    data = event["data"]
    moved = f"{data.get('from') or '∅'} → {data['to']} by {data.get('action')}" if "to" in data else ""
    subject = data.get("lead_id") or data.get("opportunity_id") or ""
    position = event["meta"]["position"]
    said = f"{event['timestamp']}  {position:>6}  {event['type']:<26} {subject}  {moved}"
    return escape(said.rstrip())


async def _hand_on(session: aiohttp.ClientSession, forward: str, secret: str, event: dict[str, Any]) -> None:
    """Posts the event as a webhook, up to five times, so that the order holds while the receiver restarts."""
    body = orjson.dumps(event)
    said = ""
    for wait in (*WAITS, None):
        stamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event["id"],
            "webhook-timestamp": str(stamp),
            "webhook-signature": signatures([key_of(secret)], event["id"], stamp, body),
        }
        try:
            async with session.post(forward, data=body, headers=headers, allow_redirects=False) as answer:
                if answer.ok:
                    return
                said = f"it answers {answer.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            said = type(error).__name__
        if wait is not None:
            await asyncio.sleep(wait)
    console.print(f"  not taken by {escape(forward)}: {said}")
