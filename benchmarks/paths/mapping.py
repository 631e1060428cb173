"""Mapping: the request of each preset's test becomes items, each with its person; one process and no database."""

from __future__ import annotations

import time
import uuid

from app.sources.mapping import map_request
from benchmarks.bench import Bench
from benchmarks.figures import Line, Run, per_operation_us
from tests.payloads.samples import Sample, samples


def measure(bench: Bench) -> list[Line]:
    """One line for each preset: the first of its samples that has items. No target."""
    first: dict[str, Sample] = {}
    for sample in samples():
        if sample.items:
            first.setdefault(sample.preset, sample)
    return [_line(preset, sample, bench.scale(1_000, 100) / 1_000) for preset, sample in sorted(first.items())]


def _line(preset: str, sample: Sample, seconds: float) -> Line:
    """Microseconds for each item, the caches of words and expressions warm."""
    document, request, source_id = sample.document(), sample.request(), uuid.uuid4()
    items, count = len(map_request(document, request, source_id)), 0
    began, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() < began + seconds:
        map_request(document, request, source_id)
        count += items
    spent = per_operation_us(time.process_time() - cpu, count)
    run = Run(count, time.perf_counter() - began, None, None, spent, 0.0)
    return Line("mapping", f"{preset}, {items} in {len(request.body):,} bytes", run)
