"""The sampling profiler of the benchmarks."""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.sampler import sampling

STACKS = 100_000


def test_samples_are_written_while_sampling_goes_on(tmp_path: Path) -> None:
    handlers = {one: signal.getsignal(one) for one in (signal.SIGPROF, signal.SIGUSR1, signal.SIGUSR2)}
    path = tmp_path / "samples"
    try:
        with sampling(path):
            sample: Any = signal.getsignal(signal.SIGPROF)
            for number in range(STACKS):  # so many that the next samples are taken while they are written
                sample(0, SimpleNamespace(f_code=SimpleNamespace(co_filename=f"/{number}", co_name="f"), f_back=None))
            os.kill(os.getpid(), signal.SIGUSR2)
        found = {tuple(stack): count for stack, count in json.loads(path.read_text())}
        assert all(found[(f"/{number}:f",)] == 1 for number in range(STACKS))
    finally:
        for one, handler in handlers.items():
            signal.signal(one, handler)
