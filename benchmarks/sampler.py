"""A sampling profiler for one process: where its CPU time goes, stack by stack, at a cost of about one in a hundred."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

EVERY_SECONDS = 0.002
DEEPEST = 80

Stack = tuple[str, ...]


@contextmanager
def sampling(path: Path | None) -> Iterator[None]:
    """Counts stacks by CPU time meanwhile; SIGUSR1 begins anew, SIGUSR2 writes what was counted to `path`."""
    if path is None:
        yield
        return
    counts: Counter[Stack] = Counter()

    def look(_: int, frame: FrameType | None) -> None:
        counts[_stack(frame)] += 1

    def begin(_: int, __: FrameType | None) -> None:
        counts.clear()

    def write(_: int, __: FrameType | None) -> None:
        new = path.with_suffix(".new")
        new.write_text(json.dumps([[list(stack), count] for stack, count in counts.items()]))
        new.replace(path)

    signal.signal(signal.SIGPROF, look)
    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, write)
    signal.setitimer(signal.ITIMER_PROF, EVERY_SECONDS, EVERY_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _stack(frame: FrameType | None) -> Stack:
    """Innermost first: `file:function` of each frame."""
    found: list[str] = []
    while frame is not None and len(found) < DEEPEST:
        code = frame.f_code
        found.append(f"{code.co_filename}:{code.co_name}")
        frame = frame.f_back
    return tuple(found)
