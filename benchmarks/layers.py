"""Assigns sampled stacks to layers, by the innermost frame whose file is in LAYERS."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Run

# The first entry contained in a frame's file name gives the layer; other frames (the standard library) are skipped.
LAYERS: tuple[tuple[str, str], ...] = (
    ("/benchmarks/sampler", "sampling itself"),
    ("/phonenumbers/", "normalising: phonenumbers"),
    ("/email_validator/", "normalising: e-mail"),
    ("/idna/", "normalising: e-mail"),
    ("/dns/", "normalising: e-mail"),
    ("/tldextract/", "normalising: domains"),
    ("/nameparser/", "normalising: names"),
    ("/pycountry/", "normalising"),
    ("/app/matching/identity", "matching"),
    ("/app/matching/", "normalising"),
    ("/rapidfuzz/", "matching"),
    ("/jmespath/", "mapping"),
    ("/app/sources/verify", "signature"),
    ("/app/sources/parse", "parsing"),
    ("/app/sources/", "mapping"),
    ("/app/web/strict_json", "JSON"),
    ("/app/submissions/accept", "group commit"),
    ("/app/submissions/", "submissions"),
    ("/app/scoring/", "scoring"),
    ("/app/policy/", "rules"),
    ("/app/lifecycle/", "rules"),
    ("/app/routing/", "rules"),
    ("/app/journeys/record", "recording: rows and events"),
    ("/app/journeys/", "loading and changing"),
    ("/app/leads/", "leads"),
    ("/app/pipeline/", "conversion"),
    ("/app/conversion/", "conversion"),
    ("/app/transitions/", "transition"),
    ("/app/web/idempotency", "idempotency"),
    ("/app/keyring", "idempotency"),
    ("/cryptography/", "idempotency"),
    ("/app/webhooks/egress", "sending"),
    ("/app/webhooks/", "delivery"),
    ("/aiohttp/", "sending: aiohttp"),
    ("/app/events/", "events"),
    ("/app/metrics", "metrics"),
    ("/prometheus_client/", "metrics"),
    ("/app/web/gate", "gate"),
    ("/app/web/auth", "authentication"),
    ("/app/ids", "ids"),
    ("/app/web/fields", "answers"),
    ("/app/", "the rest of app"),
    ("/pydantic", "validation"),
    ("/fastapi/", "FastAPI"),
    ("/starlette/", "FastAPI"),
    ("/uvicorn/", "HTTP server"),
    ("/asyncpg/", "driver (asyncpg)"),
    ("/sqlalchemy/", "SQLAlchemy"),
    ("/asyncio/", "event loop"),
    ("/uvloop/", "event loop"),
)


@dataclass(frozen=True, slots=True)
class Profile:
    """CPU of a run in microseconds per operation: by layer, and by function with what it calls."""

    name: str
    run: Run
    layers: list[tuple[str, float]]
    functions: list[tuple[str, float]]


def layer_of(stack: list[str]) -> str:
    """The layer of a stack, innermost frame first."""
    for frame in stack:
        for part, layer in LAYERS:
            if part in frame:
                return layer
    return "interpreter"


def read_profile(path: Path, name: str, run: Run) -> Profile:
    """The samples in a file, scaled to the service's CPU time in the run."""
    samples = json.loads(path.read_text()) if path.exists() else []
    total = sum(count for _, count in samples) or 1
    by_layer: Counter[str] = Counter()
    by_function: Counter[str] = Counter()
    for stack, count in samples:
        by_layer[layer_of(stack)] += count
        for frame in set(stack[:40]):
            by_function[_short(frame)] += count
    scale = run.app_us / total
    return Profile(
        name,
        run,
        [(layer, count * scale) for layer, count in by_layer.most_common()],
        [(function, count * scale) for function, count in by_function.most_common(45)],
    )


def _short(frame: str) -> str:
    file, _, function = frame.rpartition(":")
    return "/".join(file.split("/")[-2:]) + ":" + function
