"""After each story, every event that it wrote is compared with the published schema of its type."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.events.sequence import sequence
from tests.api import Api
from tests.events.published import faults_of


@pytest.fixture
async def api(api: Api) -> AsyncIterator[Api]:
    yield api
    await compare_events(api)


@pytest.fixture
async def pipeline_api(pipeline_api: Api) -> AsyncIterator[Api]:
    yield pipeline_api
    await compare_events(pipeline_api)


async def compare_events(api: Api) -> None:
    await sequence(api.app.state.engine)
    path = "/v1/events?after=earliest&limit=1000&include=lead"
    events = (await api.get(path))["data"]
    assert events
    assert [fault for event in events for fault in faults_of(event)] == []
