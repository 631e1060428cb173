"""The handler of the job queues: a signed POST with httpx, by one client of the process, tried again when it fails."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

import httpx

IN_FLIGHT = 50
TIMEOUT_SECONDS = 15.0  # as Baton's
MAX_ATTEMPTS, MAX_WAIT_SECONDS = 50, 60
SECRET = b"k" * 32


def new_client() -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    return httpx.AsyncClient(timeout=TIMEOUT_SECONDS, limits=limits)


async def send(client: httpx.AsyncClient, url: str, event_id: str, body: str) -> None:
    """One attempt; raises unless the answer is a 2xx."""
    stamp = str(int(time.time()))
    mac = hmac.new(SECRET, f"{event_id}.{stamp}.{body}".encode(), hashlib.sha256).digest()
    headers = {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }
    (await client.post(url, content=body, headers=headers)).raise_for_status()


def wait_seconds(attempts: int) -> int:
    """How long to wait after the attempt before which there were so many: 1, 2, 4 … 60 seconds."""
    return min(1 << min(attempts, 6), MAX_WAIT_SECONDS)
