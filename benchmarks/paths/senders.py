"""Senders: 32 connections send the requests of many providers at once, each provider to a source of its own."""

from __future__ import annotations

import re
import time
from itertools import cycle, islice
from urllib.parse import urlencode

from benchmarks.bench import PROCESSED, Bench, wait_for_count
from benchmarks.cpu import Meter
from benchmarks.figures import Line, Run
from benchmarks.processes import Server
from tests.payloads.samples import Sample, samples

HEAD = "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n"
LOCAL_PART = re.compile(rb"[A-Za-z0-9._-]+(?=(?:@|%40)[A-Za-z0-9-]+\.)")


def measure(bench: Bench) -> list[Line]:
    """Accepted alone, and until the last is processed. No target: what an item costs depends on its provider."""
    mixed = [sample for sample in samples() if [item.get("verdict", "lead") for item in sample.items] == ["lead"]]
    accepted, processed = bench.scale(16_000, 4_000), bench.scale(4_000, 1_000)
    what = f"forms of {len({sample.preset for sample in mixed})} providers"
    with bench.service(bench.database.create("senders"), "api") as server:
        paths = _sources(server, mixed)
        bench.load(server, _requests(mixed, paths, 500), 202)
        alone = bench.load(server, _requests(mixed, paths, accepted), 202)
    dsn = bench.database.create("senders_processed")
    with bench.service(dsn, "api,work", "senders") as server:
        paths = _sources(server, mixed)
        _processed(bench, dsn, server, _requests(mixed, paths, 300))
        requests = _requests(mixed, paths, processed)
        done = bench.profile(server, "senders", lambda: _processed(bench, dsn, server, requests))
    return [
        Line("senders", f"{what}, accepted", alone),
        Line("senders", f"{what}, until the last is processed", done),
    ]


def _sources(server: Server, mixed: list[Sample]) -> dict[str, str]:
    """The path of a source for each preset. It checks no signature, for the bodies are changed, and answers 202."""
    overrides: dict[str, object] = {"verify": [], "submission_key": None, "respond": {"status": 202}}
    paths = {}
    for preset in {sample.preset for sample in mixed}:
        body = {"name": preset, "preset": preset, "overrides": overrides}
        paths[preset] = f"/v1/ingest/{server.call('POST', '/v1/sources', body)['key']}"
    return paths


def _requests(mixed: list[Sample], paths: dict[str, str], count: int) -> list[bytes]:
    """The samples in turn, each time of another person."""
    run = f"{time.time_ns():x}"
    return [_request(sample, paths, f"p{run}{n}") for n, sample in enumerate(islice(cycle(mixed), count))]


def _request(sample: Sample, paths: dict[str, str], who: str) -> bytes:
    body = LOCAL_PART.sub(who.encode(), (sample.folder / sample.file).read_bytes())
    query = urlencode(sample.entry["query"])
    path = paths[sample.preset] + (f"?{query}" if query else "")
    return HEAD.format(path=path, kind=sample.request_headers["content-type"], size=len(body)).encode() + body


def _processed(bench: Bench, dsn: str, server: Server, requests: list[bytes]) -> Run:
    before = bench.database.value(dsn, PROCESSED)
    meter = Meter(server.pid, bench.database.pid)
    accepted = bench.load(server, requests, 202)
    wait_for_count(bench.database, dsn, PROCESSED, before + len(requests))
    return meter.run(len(requests), accepted.p50_ms, accepted.p99_ms)
