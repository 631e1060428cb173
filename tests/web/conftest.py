"""A second tenant."""

from __future__ import annotations

import pytest

from app import ids
from tests.api import Api
from tests.contract.world import second_tenant


@pytest.fixture
async def rival(api: Api) -> Api:
    """A second tenant of the same application; the first one, `api`, is the platform's."""
    other = await second_tenant(api)
    other.tenant_id = ids.read("tenant", (await other.get("/v1/me"))["tenant"]["id"])
    return other
