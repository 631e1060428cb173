"""A sampling profiler for one process: counts stacks by CPU time, with an overhead of about 1 %."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

EVERY_SECONDS = 0.002
MAX_DEPTH = 80

Stack = tuple[str, ...]


@contextmanager
def sampling(path: Path | None) -> Iterator[None]:
    """Sample stacks during the block; SIGUSR1 resets the counts, SIGUSR2 writes them to `path`."""
    if path is None:
        yield
        return
    counts: Counter[Stack] = Counter()

    def sample(_: int, frame: FrameType | None) -> None:
        counts[_stack(frame)] += 1

    def reset(_: int, __: FrameType | None) -> None:
        counts.clear()

    def write(_: int, __: FrameType | None) -> None:
        found = dict(counts)  # at once: the next sample interrupts what follows, and changes `counts`
        new = path.with_suffix(".new")
        new.write_text(json.dumps([[list(stack), count] for stack, count in found.items()]))
        new.replace(path)

    signal.signal(signal.SIGPROF, sample)
    signal.signal(signal.SIGUSR1, reset)
    signal.signal(signal.SIGUSR2, write)
    signal.setitimer(signal.ITIMER_PROF, EVERY_SECONDS, EVERY_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _stack(frame: FrameType | None) -> Stack:
    """`file:function` of each frame, innermost first."""
    found: list[str] = []
    while frame is not None and len(found) < MAX_DEPTH:
        code = frame.f_code
        found.append(f"{code.co_filename}:{code.co_name}")
        frame = frame.f_back
    return tuple(found)
