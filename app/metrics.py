"""Prometheus metrics. No label holds personal data or an id.

Several workers keep their values in files of one folder (prometheus_client's multiprocess mode), and each process shows
those of all: counters and histograms as sums, which include the workers that died; a gauge as its `multiprocess_mode`
says; the memory, CPU time and open files of each running worker by `pid`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from prometheus_client import (
    PLATFORM_COLLECTOR,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
)
from prometheus_client.multiprocess import MultiProcessCollector

from app.settings import METRICS_FOLDER

FOLDER: Final = METRICS_FOLDER

REQUESTS = Counter("baton_http_requests", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram(
    "baton_http_request_seconds",
    "Seconds from receiving a request to sending its whole response.",
    ["route"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
OVERLOADED = Counter("baton_overloaded", "Requests and connections refused because the process is busy.", ["what"])
REFUSED = Counter("baton_ingest_refused", "Requests refused at an ingest address.", ["reason"])
OVER_QUOTA = Counter("baton_over_quota", "Requests refused because of a limit of their tenant.", ["limit"])
SUBMISSIONS = Counter("baton_submissions", "Submission items by verdict.", ["verdict"])
QUEUED = Histogram(
    "baton_submission_queue_seconds",
    "Seconds from receiving a submission to the start of the batch that processed it.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)
REMOVED = Counter("baton_retention_removed", "Rows removed because their time is over.", ["kind"])
DELIVERIES = Counter("baton_deliveries", "Delivery attempts by outcome.", ["outcome"])
GATHERED = Histogram(
    "baton_gathered_requests",
    "Requests that one batch of a verb took together.",
    ["verb"],
    buckets=(1, 2, 4, 8, 16, 32, 64),
)
WAITED = Histogram(
    "baton_gathered_wait_seconds",
    "Seconds that the longest waiting request of a batch waited for it to begin.",
    ["verb"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
PENDING = Gauge(  # every process counts the same rows
    "baton_events_pending", "Events that have no position yet.", multiprocess_mode="livemostrecent"
)

CONSUMERS = Gauge("baton_consumers", "Consumers of the feed.", multiprocess_mode="livemostrecent")
CONSUMER_LAG_SECONDS = Gauge(  # of the worst consumer, and the sum over all
    "baton_consumer_lag_seconds",
    "Age of the oldest event after the place that a consumer has acknowledged.",
    ["of"],
    multiprocess_mode="livemostrecent",
)
STREAMS = Gauge("baton_streams", "Open streams of events.", multiprocess_mode="livesum")

REPLAYED = Counter("baton_replayed_total", "Attempts of deliveries that are replayed.", ["outcome"])

SUBSCRIPTIONS = Gauge(  # by the state of the breaker: closed, open or half_open
    "baton_subscriptions", "Active subscriptions.", ["breaker"], multiprocess_mode="livemostrecent"
)
LAG_SECONDS = Gauge(  # of the worst subscription, and the sum over all
    "baton_delivery_lag_seconds",
    "Age of the oldest event after the position of an active subscription.",
    ["breaker", "of"],
    multiprocess_mode="livemostrecent",
)
LAG_POSITIONS = Gauge(
    "baton_delivery_lag_positions",
    "Positions of the log after that of an active subscription.",
    ["breaker", "of"],
    multiprocess_mode="livemostrecent",
)


def show_lanes(rows: Iterable[Any]) -> None:
    """Set the gauges of subscriptions; those of a state that none has are zero."""
    row_of = {row.breaker: row for row in rows}
    for state in ("closed", "half_open", "open"):
        row = row_of.get(state)
        SUBSCRIPTIONS.labels(state).set(row.subscriptions if row else 0)
        LAG_SECONDS.labels(state, "worst").set(row.worst_seconds if row else 0)
        LAG_SECONDS.labels(state, "sum").set(row.seconds if row else 0)
        LAG_POSITIONS.labels(state, "worst").set(row.worst_positions if row else 0)
        LAG_POSITIONS.labels(state, "sum").set(row.positions if row else 0)


def show_consumers(row: Any) -> None:
    CONSUMERS.set(row.consumers)
    CONSUMER_LAG_SECONDS.labels("worst").set(row.worst_seconds)
    CONSUMER_LAG_SECONDS.labels("sum").set(row.seconds)


def observe(scope: Any, status: int, seconds: float) -> None:
    """Counts one request under its route's path template, so that ids never become labels."""
    route = route_of(scope)
    REQUESTS.labels(scope["method"] if len(scope["method"]) < 8 else "other", route, str(status or 499)).inc()
    SECONDS.labels(route).observe(seconds)


def route_of(scope: Any) -> str:
    """The path template of the matched route, or `unmatched`."""
    return getattr(scope.get("route"), "path", None) or "unmatched"


@contextmanager
def shared_folder() -> Iterator[Path]:
    """A new folder for the values of the workers that are started in the block; it is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="baton-metrics-") as folder:
        os.environ[FOLDER] = folder
        try:
            yield Path(folder)
        finally:
            del os.environ[FOLDER]


def registry() -> CollectorRegistry:
    """What /metrics shows: the values of all workers if there are several, else those of this process."""
    if FOLDER not in os.environ:
        return REGISTRY
    folder = Path(os.environ[FOLDER])
    shown = CollectorRegistry()
    for collector in (Values(folder), Processes(folder), PLATFORM_COLLECTOR):
        shown.register(collector)
    return shown


@dataclass(frozen=True)
class Values:
    """The values that the workers have written."""

    folder: Path

    def collect(self) -> Iterable[Metric]:
        files = [str(file) for file in self.folder.glob("*.db") if _is_written(file)]
        return list(MultiProcessCollector.merge(files))


@dataclass(frozen=True)
class Processes:
    """The library's metrics of one process, for each running worker."""

    folder: Path

    def collect(self) -> Iterable[Metric]:
        shown: dict[str, Metric] = {}
        for file in self.folder.glob("gauge_live*.db"):  # removed when the worker has died
            pid = file.stem.rpartition("_")[2]
            for metric in ProcessCollector(pid=partial(str, pid), registry=None).collect():
                of_all = shown.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
                for sample in metric.samples:
                    of_all.add_sample(sample.name, {"pid": pid}, sample.value)
        return shown.values()


def _is_written(file: Path) -> bool:
    """False for a file that its worker is just creating, or that was removed since it was listed."""
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False
