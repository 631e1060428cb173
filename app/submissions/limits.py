"""Limits of a source: how many submissions this process takes of it, and of one client address.

As with the quotas of a tenant (web/quotas.py), each process grants an equal part of a limit, rounded up.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from typing import Final
from uuid import UUID

from app import metrics
from app.errors import RateLimited
from app.sources.document import Document
from app.web.bucket import MINUTE, Bucket

TEN_MINUTES: Final = 10 * MINUTE
MAX_BUCKETS: Final = 50_000
BY_SOURCE, BY_CLIENT = "source_per_minute", "client_per_minute"
_SPAM: Final = "client_spam"

Key = tuple[str, UUID, str | None]


class SourceLimits:
    """What the sources may still take in this process, one of `processes`."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._buckets: OrderedDict[Key, Bucket] = OrderedDict()

    def take(self, source_id: UUID, document: Document, client: str | None, now: datetime) -> bool:
        """Counts a submission; whether its client has sent more than `spam.max_per_client` in ten minutes.

        Raises RateLimited beyond the limits of the source. Without an address of its client only those of all count.
        """
        limits = document.limits
        self._take_or_refuse((BY_CLIENT, source_id, client), client and limits.per_client_per_minute, now)
        self._take_or_refuse((BY_SOURCE, source_id, None), limits.per_minute, now)
        most = client and document.spam.max_per_client
        return bool(most) and self._taken((_SPAM, source_id, client), int(most or 0), now, TEN_MINUTES) is not None

    def _take_or_refuse(self, key: Key, limit: int | str | None, now: datetime) -> None:
        refused = self._taken(key, int(limit), now, MINUTE) if limit else None
        if refused is not None:
            raise _refused(key[0], refused)

    def _taken(self, key: Key, limit: int, now: datetime, window: int) -> Bucket | None:
        """Takes a token; the bucket if it has none."""
        quota = -(-limit // self._processes)
        bucket = self._buckets.pop(key, None)
        if bucket is None or bucket.quota != quota:  # the first one, or the limit was changed
            bucket = Bucket.full(quota, now, window)
        bucket = bucket.refilled(now)
        self._buckets[key] = bucket.taken() if bucket.tokens else bucket
        if len(self._buckets) > MAX_BUCKETS:  # that of the client that has sent nothing for longest
            self._buckets.popitem(last=False)
        return None if bucket.tokens else bucket


def _refused(limit: str, bucket: Bucket) -> RateLimited:
    """The problem, with the headers of draft-ietf-httpapi-ratelimit-headers-10."""
    metrics.OVER_QUOTA.labels(limit).inc()
    quota, wait = bucket.quota, bucket.seconds_to_next
    whose = "This address" if limit == BY_CLIENT else "The source"
    problem = RateLimited(
        f"{whose} has reached the limit of {quota} submissions a minute. Send the request again after Retry-After.",
        limit=limit,
        quota=quota,
    )
    policy = {"RateLimit-Policy": f'"{limit}";q={quota};w=60', "RateLimit": f'"{limit}";r=0;t={wait}'}
    problem.headers = {**policy, "Retry-After": str(wait)}
    return problem
