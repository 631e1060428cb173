"""Prometheus counters and histograms. No label holds personal data or an id."""

from __future__ import annotations

from typing import Any

from prometheus_client import Counter, Histogram

REQUESTS = Counter("baton_http_requests", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram(
    "baton_http_request_seconds",
    "Seconds from receiving a request to sending its whole response.",
    ["route"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REFUSED = Counter("baton_ingest_refused", "Requests refused at an ingest address.", ["reason"])
SUBMISSIONS = Counter("baton_submissions", "Submission items by verdict.", ["verdict"])
DELIVERIES = Counter("baton_deliveries", "Delivery attempts by outcome.", ["outcome"])


def observe(scope: Any, status: int, seconds: float) -> None:
    """Counts one request under its route's path template, so that ids never become labels."""
    route = route_of(scope)
    REQUESTS.labels(scope["method"] if len(scope["method"]) < 8 else "other", route, str(status or 499)).inc()
    SECONDS.labels(route).observe(seconds)


def route_of(scope: Any) -> str:
    """The path template of the matched route, or `unmatched`."""
    return getattr(scope.get("route"), "path", None) or "unmatched"
