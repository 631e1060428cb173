"""The moves of a journey write no index: PostgreSQL updates the row on its page (a HOT update)."""

import asyncpg
import pytest

from tests.api import Api
from tests.conversion.steps import converted, moved, mql, sql_lead

pytestmark = pytest.mark.own_database


async def test_the_moves_of_a_journey_are_hot_until_it_closes(api: Api) -> None:
    ae, manager = await api.user("ae"), await api.user("manager")
    for n in range(10):
        lead = await sql_lead(api, ae, company=f"Firm {n}")
        await api.add_activity(lead, "page_view")
        await converted(api, lead, ae)
        await moved(api, await mql(api), "accept", manager)
    url = api.app.state.settings.database_url.replace("+asyncpg", "")
    await api.app.state.engine.dispose()  # a connection that ends reports what it counted
    connection = await asyncpg.connect(url)
    found = await connection.fetchrow(
        "SELECT n_tup_upd AS all, n_tup_hot_upd AS hot FROM pg_stat_user_tables WHERE relname = 'journeys'"
    )
    closed = await connection.fetchval("SELECT count(*) FROM journeys WHERE closed_at IS NOT NULL")
    await connection.close()
    assert closed == 10
    assert found["all"] >= 4 * closed
    assert found["all"] - found["hot"] == closed  # journeys_open_key holds the open ones only
