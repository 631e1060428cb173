"""`baton tail`: prints events from the feed; `--forward` also posts each one, signed, to a URL, as a webhook."""

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

from app.errors import LogDiverged
from app.settings import CannotStart
from app.webhooks.signing import key_of, new_secret, signatures

WAIT_SECONDS: Final = 20
TIMEOUT: Final = aiohttp.ClientTimeout(total=WAIT_SECONDS + 20)
RETRY_WAITS: Final = (1.0, 2.0, 4.0, 8.0)
console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """Where to read: URL and API key (events:read); what: start (`after`), types, and a maximum number of events."""

    url: str
    key: str
    after: str = "latest"
    types: str | None = None
    most: int | None = None


def tail(options: FeedOptions, forward: str | None) -> None:
    """Print each event and post it signed to `forward`; ends after `most` events or on Ctrl-C."""
    secret = new_secret() if forward else ""
    if forward:
        console.print(f"Signing secret for this run: {secret}", markup=False)
    asyncio.run(_follow(options, forward, secret))


async def _follow(options: FeedOptions, forward: str | None, secret: str) -> None:
    shown = 0
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        async for event in _events(session, options):
            console.print(_line(event))
            if forward:
                await _forward(session, forward, secret, event)
            shown += 1
            if shown == options.most:
                return


async def _events(session: aiohttp.ClientSession, options: FeedOptions) -> AsyncIterator[dict[str, Any]]:
    """The events in order, each once. Retries while the service is unavailable, then raises CannotStart."""
    after, retry_waits = options.after, iter(RETRY_WAITS)
    headers = {"Authorization": f"Bearer {options.key}"}
    while True:
        query = {"after": after, "wait": WAIT_SECONDS, **({"types": options.types} if options.types else {})}
        try:
            async with session.get(f"{options.url}/v1/events?{urlencode(query)}", headers=headers) as answer:
                page = orjson.loads(await answer.read())
                if answer.status == 503:
                    raise aiohttp.ClientError
                if page.get("code") == LogDiverged.code:
                    raise CannotStart(_restored(options.url, page))
                if not answer.ok:
                    raise CannotStart(
                        f"GET /v1/events answers {answer.status} {page.get('code')}: {page.get('detail')}"
                    )
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError):
            wait = next(retry_waits, None)
            if wait is None:
                raise CannotStart(f"{options.url} does not answer: is the service running?") from None
            await asyncio.sleep(wait)
            continue
        for event in page["data"]:
            yield event
        after, retry_waits = page["next"], iter(RETRY_WAITS)


def _restored(url: str, problem: dict[str, Any]) -> str:
    return (
        f"The database of {url} was restored from a backup, so its events go on differently from those printed here:"
        f" run the command again with --after {problem['last_event_at'] or problem['earliest']}"
    )


def _line(event: dict[str, Any]) -> str:
    data = event["data"]
    moved = f"{data.get('from') or '∅'} → {data['to']} by {data.get('action')}" if "to" in data else ""
    subject = data.get("lead_id") or data.get("opportunity_id") or ""
    position = event["meta"]["position"]
    line = f"{event['timestamp']}  {position:>6}  {event['type']:<26} {subject}  {moved}"
    return escape(line.rstrip())


async def _forward(session: aiohttp.ClientSession, forward: str, secret: str, event: dict[str, Any]) -> None:
    """Post the event as a webhook, up to five times, so that events stay in order while the receiver restarts."""
    body = orjson.dumps(event)
    failure = ""
    for wait in (*RETRY_WAITS, None):
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
                failure = f"status {answer.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            failure = type(error).__name__
        if wait is not None:
            await asyncio.sleep(wait)
    console.print(f"  {escape(forward)} did not accept the event ({failure}): it is skipped")
