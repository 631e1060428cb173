"""How often one client may try to log in: of each address, LOGINS a minute and process."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from typing import Final

from app.errors import TooManyLogins
from app.web.bucket import Bucket

LOGINS: Final = 20
MOST_CLIENTS: Final = 10_000


class Attempts:
    """The attempts of the last minute, by client."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, client: str, now: datetime) -> None:
        """Counts an attempt. Raises TooManyLogins."""
        bucket = self._buckets.pop(client, None) or Bucket.full(LOGINS, now)
        bucket = bucket.refilled(now)
        self._buckets[client] = bucket.taken() if bucket.tokens else bucket
        if len(self._buckets) > MOST_CLIENTS:  # that of the client that has tried nothing for longest
            self._buckets.popitem(last=False)
        if not bucket.tokens:
            raise TooManyLogins()
