"""The receivers of a run: each subscription has one, with a habit of its own. Requests are noted before the answer."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import random
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson
from aiohttp import web

from app.commands.torture.ledger import Ledger

Answer = Literal["taken", "failed", "refused", "reset", "stalled"]
CODES: Final[Mapping[Answer, int]] = {"taken": 204, "failed": 500, "refused": 422}
RETRIES: Final = [0.0, 0.2, 0.3, 0.5, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, *[5.0] * 10]


@dataclass(frozen=True, slots=True)
class Habit:
    """How a receiver behaves: the shares of its requests that fail, end in a reset, or get no answer in time.

    `slow`: the most seconds that an answer takes. `refuses`: one lead of so many gets 422 for each of its events.
    """

    failed: float = 0.0
    reset: float = 0.0
    stalled: float = 0.0
    slow: float = 0.0
    refuses: int = 0
    concurrency: int = 8
    timeout_seconds: int = 15
    retries: tuple[float, ...] = tuple(RETRIES)

    def answer(self, lead: str, chance: random.Random) -> Answer:
        if self.refuses and int(hashlib.sha256(lead.encode()).hexdigest(), 16) % self.refuses == 0:
            return "refused"
        drawn = chance.random()
        for answer, share in (("failed", self.failed), ("reset", self.reset), ("stalled", self.stalled)):
            if drawn < share:
                return answer  # type: ignore[return-value]
            drawn -= share
        return "taken"


# By the name of the subscription. `lies` and `resets` have done their work when they fail.
HABITS: Final = {
    "well": Habit(),
    "slow": Habit(slow=0.3, concurrency=16),
    "lies": Habit(failed=0.2),
    "resets": Habit(reset=0.15, concurrency=4),
    "stalls": Habit(stalled=0.02, timeout_seconds=4),
    "refuses": Habit(refuses=12, retries=(0.0, 0.3, 0.6)),
}


@dataclass(slots=True)
class Receivers:
    """One HTTP server for all subscriptions. `calm`: from now on everything is taken."""

    ledger: Ledger
    seed: int
    url: str = ""
    secrets: dict[str, bytes] = field(default_factory=dict)
    calm: bool = False
    latest: float = 0.0
    chances: dict[str, random.Random] = field(default_factory=dict)

    def know(self, name: str, secret: str) -> None:
        """The secret of a subscription, `whsec_…`."""
        self.secrets[name] = base64.b64decode(secret.removeprefix("whsec_"))

    async def receive(self, request: web.Request) -> web.Response:
        """Note a delivery, and answer it as the subscription's receiver does."""
        name, body = request.match_info["name"], await request.read()
        event, headers, habit = orjson.loads(body), request.headers, HABITS[name]
        chance = self.chances.setdefault(name, random.Random(f"{self.seed} {name}"))  # noqa: S311 - no secret
        lead = str(event["data"].get("lead_id"))
        answer = "taken" if self.calm else habit.answer(lead, chance)
        if answer == "stalled":
            await asyncio.sleep(habit.timeout_seconds + 2)
        elif habit.slow:
            await asyncio.sleep(chance.uniform(0, habit.slow))
        self.latest = self.ledger.now
        self.ledger.note(
            "received",
            to=name,
            event=headers["webhook-id"],
            lead=lead,
            position=int(event["meta"]["position"]),
            body=digest(event),
            taken=answer == "taken",
            answer=answer,
            replay=headers.get("webhook-replay"),
            signed=self._verifies(name, headers, body),
        )
        if answer in ("reset", "stalled"):
            _reset(request)
        return web.Response(status=CODES.get(answer, 500))

    def _verifies(self, name: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether a signature is that of Standard Webhooks, with the secret that was shown when it was subscribed."""
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        wanted = base64.b64encode(hmac.digest(self.secrets[name], signed, "sha256")).decode()
        return f"v1,{wanted}" in headers["webhook-signature"].split()


def digest(event: Any) -> str:
    """A short text that is equal for equal events, members in the same order."""
    return hashlib.sha256(orjson.dumps(event)).hexdigest()[:16]


def _reset(request: web.Request) -> None:
    """Close the connection with RST, without an answer."""
    if (transport := request.transport) is not None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


@asynccontextmanager
async def receivers(ledger: Ledger, seed: int) -> AsyncIterator[Receivers]:
    """Receivers at `url`/NAME."""
    made = Receivers(ledger, seed)
    app = web.Application()
    app.router.add_post("/{name}", made.receive)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()
