"""A day is YYYY-MM-DD and nothing else, wherever one is taken: what has a time or an offset is not cut to a day."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api import Api
from tests.contract.bodies import body
from tests.contract.contract import AUTHENTICATED, WITH_BODY
from tests.contract.test_hostile import REQUIRED, send_document
from tests.contract.world import RecordIds, create_one_of_each

NO_DAYS = [
    "2026-06-01T00:00:00+05:00",
    "2026-06-01 00:00",
    "2026-06-01T00:00:00Z",
    "2026-06-01T00:00",
    "2026-06-01T12:00:00Z",
    "2026-06-01Z",
    "2026-06-01 ",
    "2026-06-01\n",
    " 2026-06-01",
    "20260601",
    "2026-6-1",
    "1780272000",
]
