"""Records events in a process of its own: one order a line on stdin, answered by a line when all are committed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence

from benchmarks.rivals.events import Event, Order

TIMED = "INSERT INTO recorded (mark) SELECT unnest($1::text[])"


def take_orders(
    record: Callable[[Sequence[Event], bool], None], subscribe: Callable[[str], None] = lambda _: None
) -> None:
    """Answer until stdin ends; `record` commits one transaction, `subscribe` adds a receiver of all later events."""
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "url" in order:
            subscribe(order["url"])
        else:
            _paced(Order(**order), record)
        print("done", flush=True)


def _paced(order: Order, record: Callable[[Sequence[Event], bool], None]) -> None:
    began = time.monotonic()
    for n, events in enumerate(order.batches()):
        time.sleep(max(0.0, began + n * order.every_seconds - time.monotonic()))
        record(events, order.timed)
