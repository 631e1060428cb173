"""The same stories with PgBouncer in transaction mode between the service and PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.settings import Settings
from tests.pgbouncer import pooler, with_pgbouncer
from tests.stories import test_pipeline, test_waterfall

pytestmark = with_pgbouncer


@pytest.fixture
async def settings(settings: Settings, dsn: str) -> AsyncIterator[Settings]:
    async with pooler(dsn, size=4) as running:
        yield running.settings(settings)


STORIES = {**vars(test_pipeline), **vars(test_waterfall)}
globals().update({name: story for name, story in STORIES.items() if name.startswith("test_")})
