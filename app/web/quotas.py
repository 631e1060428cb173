"""Quotas: how many API requests and submissions of one tenant this process takes a minute, and how many at a time.

Each of the processes that one `serve` starts grants an equal part of a tenant's limits, rounded up, without asking the
others (docs/decisions/0034). The limits are read with keys and sources, which are cached for at most five seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from app import metrics
from app.errors import RateLimited
from app.web.bucket import Bucket

Kind = Literal["requests", "submissions"]
DEFAULT_PER_MINUTE: Final = 600_000


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that were set for a tenant; None stands for the default."""

    submissions_per_minute: int | None = None
    requests_per_minute: int | None = None
    in_flight: int | None = None

    def effective(self) -> dict[str, int | None]:
        """The limits that hold. By default as many requests are in flight as the process takes: there is no number."""
        defaults = dict.fromkeys(NAMES, DEFAULT_PER_MINUTE) | {"in_flight": None}
        return {name: getattr(self, name) or default for name, default in defaults.items()}


NAMES: Final = tuple(field.name for field in fields(Limits))
NONE_SET: Final = Limits()
_limits: dict[UUID, Limits] = {}


def limits_of(row: Any) -> Limits:
    """The limits in a row that has the columns of that name."""
    return Limits(*(getattr(row, name) for name in NAMES))


def learn(tenant_id: UUID, row: Any) -> None:
    """Remembers the limits of a tenant for this process."""
    _limits[tenant_id] = limits_of(row)


class Quota:
    """What one tenant may still send to this process as requests of one kind."""

    def __init__(self, kind: Kind, tenant_id: UUID, processes: int) -> None:
        self._rate: Final = f"{kind}_per_minute"
        self._tenant_id, self._processes = tenant_id, processes
        self._bucket: Bucket | None = None
        self._in_flight = 0

    @contextmanager
    def admitted(self, now: datetime) -> Iterator[None]:
        """Counts a request, and that it is in flight during the block. Raises RateLimited."""
        most = self._part("in_flight")
        if most is not None and self._in_flight >= most:
            raise _refused("in_flight", most, f'{most};qu="concurrent-requests"', wait=None)
        self.take(now)
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def take(self, now: datetime) -> None:
        """Counts a request. Raises RateLimited."""
        self._bucket = self.check(now).taken()

    def check(self, now: datetime) -> Bucket:
        """Counts nothing. Raises RateLimited if no other request may come now."""
        quota = self._part(self._rate) or DEFAULT_PER_MINUTE
        bucket = self._bucket
        if bucket is None or bucket.quota != quota:  # the first request, or the limit was changed
            bucket = Bucket.full(quota, now)
        self._bucket = bucket = bucket.refilled(now)
        if not bucket.tokens:
            raise _refused(self._rate, quota, f"{quota};w=60", wait=bucket.seconds_to_next)
        return bucket

    def _part(self, name: str) -> int | None:
        """The part of a limit that this process grants; None where none was set."""
        limit: int | None = getattr(_limits.get(self._tenant_id, NONE_SET), name)
        return None if limit is None else -(-limit // self._processes)


class Quotas:
    """The quotas of all tenants in this process, one of `processes`."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._quotas: dict[tuple[Kind, UUID], Quota] = {}

    def of(self, kind: Kind, tenant_id: UUID) -> Quota:
        found = self._quotas.get((kind, tenant_id))
        if found is None:
            found = self._quotas[kind, tenant_id] = Quota(kind, tenant_id, self._processes)
        return found


def _refused(limit: str, quota: int, policy: str, wait: int | None) -> RateLimited:
    """The problem, with the headers of draft-ietf-httpapi-ratelimit-headers-10. `wait`: seconds until the next."""
    metrics.OVER_QUOTA.labels(limit).inc()
    problem = RateLimited(
        f"The tenant has reached its limit {limit}, {quota} in this process. Send the request again after Retry-After.",
        limit=limit,
        quota=quota,
    )
    remaining = f'"{limit}";r=0' if wait is None else f'"{limit}";r=0;t={wait}'
    headers = {"RateLimit-Policy": f'"{limit}";q={policy}', "RateLimit": remaining, "Retry-After": str(wait or 1)}
    problem.headers = headers
    return problem
