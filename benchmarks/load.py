"""The load generator, a separate process: keep-alive connections that send prepared requests one after another.

`python -m benchmarks.load FILE` reads a pickled `Plan`, prints "ready", waits for a line on stdin, runs, and prints the
result as JSON. Requests are prepared before the measurement, so that the load takes little CPU from the service.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.figures import percentile

FAULT_BYTES = 200


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests to send to a local port: each once, over `connections` connections, for at most `seconds`."""

    port: int
    connections: int
    seconds: float
    requests: Sequence[bytes]
    statuses: tuple[int, ...]  # of the responses that are right
    pause: float = 0.0  # seconds between requests of a connection


class Load:
    """State shared by all connections."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.left: Iterator[bytes] = iter(plan.requests)
        self.latencies: list[float] = []
        self.faults = 0
        self.first_fault = ""
        self.running = plan.connections
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ends = float("inf")

    def next_request(self) -> bytes | None:
        return next(self.left, None) if time.perf_counter() < self.ends else None

    def connection_closed(self) -> None:
        self.running -= 1
        if not self.running and not self.done.done():
            self.done.set_result(None)


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.buffer = b""
        self.began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transport does not inherit from it

    def send(self) -> None:
        request = self.load.next_request()
        if request is None:
            self.transport.close()
            return
        self.began = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        size = _content_length(self.buffer[:head])
        if len(self.buffer) < head + 4 + size:
            return
        answer, self.buffer = self.buffer[: head + 4 + size], self.buffer[head + 4 + size :]
        self.load.latencies.append(time.perf_counter() - self.began)
        if int(answer[9:12]) not in self.load.plan.statuses:
            self.load.faults += 1
            excerpt = answer[9:13] + answer[head + 4 :][:FAULT_BYTES]
            self.load.first_fault = self.load.first_fault or excerpt.decode(errors="replace")
        if self.load.plan.pause:
            asyncio.get_running_loop().call_later(self.load.plan.pause, self.send)
        else:
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        self.load.connection_closed()


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def run(plan: Plan) -> dict[str, object]:
    """Run the plan; count, seconds, p50 and p99 in milliseconds, and the responses with another status."""
    load, loop = Load(plan), asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(lambda: Connection(load), "127.0.0.1", plan.port))[1]
        for _ in range(plan.connections)
    ]
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    began = time.perf_counter()
    load.ends = began + plan.seconds
    for connection in connections:
        connection.send()
    await load.done
    seconds = time.perf_counter() - began
    return {
        "count": len(load.latencies),
        "seconds": seconds,
        "p50_ms": (percentile(load.latencies, 0.5) or 0) * 1e3,
        "p99_ms": (percentile(load.latencies, 0.99) or 0) * 1e3,
        "faults": load.faults,
        "first_fault": load.first_fault,
    }


if __name__ == "__main__":
    path = Path(sys.argv[1])
    found: Plan = pickle.loads(path.read_bytes())
    print(json.dumps(uvloop.run(run(found))), flush=True)
