"""An open load, in a separate process: requests are sent at a fixed rate, whatever is answered.

`python -m benchmarks.flood FILE` reads a pickled `Flood`, and works like `benchmarks.load`. A request takes an idle
connection or opens a new one. Its latency counts from the instant at which it was due.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.figures import percentile
from benchmarks.load import _content_length

TICK_SECONDS = 0.01
GIVE_UP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Stream:
    """Requests at `rate` a second, in turn and again from the beginning."""

    name: str
    rate: float
    requests: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Flood:
    """Streams that run together for `seconds`."""

    port: int
    seconds: float
    streams: Sequence[Stream]


@dataclass(slots=True)
class Outcome:
    """What came of the requests of one stream; status 0: the connection was closed without an answer."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    sent: int = 0


class Connection(asyncio.Protocol):
    """One connection of a stream, one request at a time."""

    def __init__(self, idle: deque[Connection], outcome: Outcome) -> None:
        self.idle, self.outcome = idle, outcome
        self.due: float | None = None
        self.buffer = b""
        self.open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes, due: float) -> None:
        self.due, self.buffer = due, b""
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0 or len(self.buffer) < head + 4 + _content_length(self.buffer[:head]):
            return
        self._done(int(self.buffer[9:12]))
        if b"connection: close" not in self.buffer[:head].lower():
            self.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self._done(0)

    def _done(self, status: int) -> None:
        if self.due is not None:
            self.outcome.statuses[status] += 1
            self.outcome.latencies.append(time.perf_counter() - self.due)
            self.due = None


async def _stream(flood: Flood, stream: Stream, outcome: Outcome) -> None:
    loop, idle, opening = asyncio.get_running_loop(), deque[Connection](), set[asyncio.Task[None]]()
    began = time.perf_counter()

    async def open_and_send(request: bytes, due: float) -> None:
        try:
            _, made = await loop.create_connection(lambda: Connection(idle, outcome), "127.0.0.1", flood.port)
        except OSError:
            outcome.statuses[0] += 1
            outcome.latencies.append(time.perf_counter() - due)
            return
        made.send(request, due)

    while (passed := time.perf_counter() - began) < flood.seconds:
        while outcome.sent < passed * stream.rate:
            due = began + outcome.sent / stream.rate
            request = stream.requests[outcome.sent % len(stream.requests)]
            outcome.sent += 1
            while idle and not idle[-1].open:
                idle.pop()
            if idle:
                idle.pop().send(request, due)
            else:
                task = asyncio.create_task(open_and_send(request, due))
                opening.add(task)
                task.add_done_callback(opening.discard)
        await asyncio.sleep(TICK_SECONDS)
    ends = time.perf_counter() + GIVE_UP_SECONDS
    while len(outcome.latencies) < outcome.sent and time.perf_counter() < ends:
        await asyncio.sleep(0.05)


async def run(flood: Flood) -> dict[str, object]:
    """For each stream: sent, by status, and the percentiles of the latency in milliseconds; `missing` had no answer."""
    outcomes = {stream.name: Outcome() for stream in flood.streams}
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await asyncio.gather(*(_stream(flood, stream, outcomes[stream.name]) for stream in flood.streams))
    return {
        name: {
            "sent": one.sent,
            "statuses": dict(one.statuses),
            "missing": one.sent - len(one.latencies),
            **{f"p{share}": 1e3 * (percentile(one.latencies, share / 100) or 0) for share in (50, 99, 99.9, 100)},
        }
        for name, one in outcomes.items()
    }


if __name__ == "__main__":
    found: Flood = pickle.loads(Path(sys.argv[1]).read_bytes())
    print(json.dumps(uvloop.run(run(found))), flush=True)
