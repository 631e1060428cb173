"""Reports by summaries are those of the base, to the last byte, wherever the projector stands."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import hypothesis
import pytest

from app.commands.administration import rebuild_summaries, verify_all
from app.database.engine import SERVER_SETTINGS, make_engine
from app.database.transaction import CommitOutcomeUnknown, Database
from app.events.sequence import sequence
from app.reports import cursors_sql, summaries
from app.reports.read import whole_spans
from app.reports.summaries import AGE, differences, rebuild, summarize, summarize_due
from app.settings import Settings
from tests.api import Api, running
from tests.conversion.steps import BANT
from tests.proof.sales import FORWARD, SalesLife
from tests.stories.forgetful import ForgetfulLife
from tests.stories.life import begin
from tests.waiting import TIMEOUT_SECONDS, until

STEPS = 50
UNDOING = (
    *("customer", "customer", "customer", "capture", "forward", "deal", "deal", "correct", "transition", "revisit"),
    *("merge", "merge", "merge", "erase", "retention"),
)
SUMMED = (
    *("funnel?", "velocity?", "sources?", "sources?touch=last&", "sources?by=medium&"),
    *("sources?by=campaign&touch=last&", "sources?by=business&", "funnel?by=source&", "funnel?by=business&"),
)


async def caught_up(api: Api, database: Database | None = None) -> None:
    """Sequences all events, and summarizes until nothing is left."""
    engine = database or api.app.state.engine
    while await sequence(engine):
        pass
    while await summarize_due(engine, api.now + AGE + timedelta(seconds=1)):
        pass


async def is_read(api: Api, seconds: int = 0) -> bool:
    """Whether a report of so many seconds later reads summaries."""
    async with api.app.state.engine.connect() as tx:
        return await cursors_sql.usable(tx, api.tenant_id, api.now + timedelta(seconds=seconds)) is not None


async def compare(api: Api, query: str, skipped: str = "", horizon: str = "") -> bytes:
    """The reports of now, which have to be those as of their instant, which read the base alone.

    `skipped` and `horizon`: parameters of those that have them.
    """
    told = []
    for report in SUMMED:
        more = (skipped if report.startswith(("funnel", "velocity")) else "") + horizon * report.startswith("funnel")
        path = f"/v1/reports/{report}{query}{more}"
        now = await api.call("GET", path)
        assert now.status_code == 200, now.text
        base = await api.call("GET", f"{path}&as_of={now.json()['as_of']}")
        assert now.content == base.content, path
        told.append(now.content)
    return b"".join(told)


async def found(api: Api) -> list[str]:
    async with api.app.state.engine.begin() as tx:
        return await differences(tx, api.tenant_id)


async def run(api: Api, statement: str, *values: Any) -> Any:
    async with api.app.state.engine.begin() as tx:
        return await tx.driver.fetch(statement, *values)


@pytest.mark.parametrize("policy", ["waterfall", "pipeline"])
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "Asia/Kathmandu"])
async def test_reports_of_a_random_life_are_the_same_with_summaries(settings: Settings, policy: str, zone: str) -> None:
    seed = 700 if hypothesis.settings().derandomize else int(datetime.now(UTC).timestamp())
    async with running(settings, policy) as api:
        life = await begin(api, seed, SalesLife)
        assert isinstance(life, SalesLife)
        assert (await api.call("PUT", "/v1/calendar", {"time_zone": zone})).status_code == 200
        engine, bodies = api.app.state.engine, set()
        assert not await is_read(api)
        await caught_up(api)
        for _ in range(STEPS):
            await life.step()
            match life.random.choice(("nothing", "sequence", "summarize")):
                case "sequence":
                    await sequence(engine)
                case "summarize":
                    await sequence(engine)
                    await summarize_due(engine, api.now)
            assert await is_read(api), f"seed {seed}\n{life.story()}"
            first = api.now.date() - timedelta(days=life.random.choice((0, 1, 20, 300)))
            query = f"from={first}&to={api.now.date() + timedelta(days=life.random.choice((0, 2)) or 1)}"
            more = f"&skipped={life.random.choice(('include', 'exclude'))}"
            horizon = life.random.choice(("", "&horizon=1", "&horizon=3"))
            bodies.add(await compare(api, query, more, horizon))
        await caught_up(api)
        assert await found(api) == [], f"seed {seed}\n{life.story()}"
        assert len(bodies) > STEPS / 2


class UndoingLife(ForgetfulLife):
    """A life of customers in which much is taken back."""

    async def step(self) -> None:
        name = self.random.choice(UNDOING)
        await self.pass_time(self.random.uniform(1, 90_000))
        self.log.append(f"{len(self.log)} {name} at {self.api.now.isoformat()}")
        await getattr(self, name)()
        await self.forget()

    async def customer(self) -> None:
        """Somebody new who is converted, which is often taken back."""
        await self.newcomer()
        path, deal = f"/v1/leads/{self.leads[-1]}", {"mode": "create", "name": "Licences"}
        for action, role in FORWARD.items():
            await self.pass_time(self.random.uniform(1, 200_000))
            body = {"action": action, **({} if action == "accept" else {"bant": BANT})}
            await self.keyed(f"{path}/transitions", body, role)
        await self.keyed(f"{path}/conversion", {"opportunity": deal}, "ae")
        if self.random.random() < 0.5:
            await self.pass_time(self.random.uniform(1, 90_000))
            await summarize_due(self.api.app.state.engine, self.api.now)
            await self.send("POST", f"{path}/conversion/revert", {"reason_code": "mistake"}, "manager")

    async def keyed(self, path: str, body: dict[str, Any], role: str) -> None:
        headers = {"Idempotency-Key": f"key-{len(self.log)}"}
        self.remember_opportunity(await self.send("POST", path, body, role, headers=headers))

    async def merge(self) -> None:
        """Two leads become one, and often two again."""
        one, other = self.random.choice(self.leads), self.random.choice(self.leads)
        await self.send("POST", f"/v1/leads/{one}/merge", {"into": other}, "manager")
        if self.random.random() < 0.5:
            await self.pass_time(self.random.uniform(1, 90_000))
            await summarize_due(self.api.app.state.engine, self.api.now)
            await self.send("POST", f"/v1/leads/{one}/unmerge", None, "manager")


@pytest.mark.parametrize("policy", ["waterfall", "pipeline"])
async def test_reports_are_the_same_after_reverts_merges_erasures_and_retention(
    settings: Settings, policy: str
) -> None:
    seed = 1001 if hypothesis.settings().derandomize else int(datetime.now(UTC).timestamp())
    async with running(settings, policy) as api:
        life = await begin(api, seed, UndoingLife)
        await caught_up(api)
        for _ in range(STEPS):
            await life.step()
            if life.random.random() < 0.4:
                await sequence(api.app.state.engine)
                await summarize_due(api.app.state.engine, api.now)
            assert await is_read(api)
            days = life.random.choice((1, 40, 1_000))
            await compare(api, f"from={api.now.date() - timedelta(days=days)}&to={api.now.date() + timedelta(days=1)}")
        await caught_up(api)
        await compare(api, f"from={api.now.date() - timedelta(days=1_000)}&to={api.now.date() + timedelta(days=1)}")
        assert await found(api) == [], f"seed {seed}\n{life.story()}"
        if hypothesis.settings().derandomize:
            done = life.story()
            for path in ("conversion/revert", "merge", "unmerge", "erasure"):
                assert re.search(rf"/{path} manager .* → 20[0-2]", done), f"no {path}"
            assert "unqualified" in done, "retention erased nobody"


async def killed_before_its_commit(api: Api, database: Database, now: datetime) -> None:
    async with database.begin() as tx:
        assert await summarize(tx, api.tenant_id, now)
        pid = await tx.driver.fetchval("SELECT pg_backend_pid()")
        await run(api, "SELECT pg_terminate_backend($1, 5000)", pid)


async def test_two_workers_and_one_that_is_killed_count_every_event_once(api: Api, url: str) -> None:
    await caught_up(api)
    for _ in range(12):
        await api.mql()
    while await sequence(api.app.state.engine):
        pass
    later = api.now + timedelta(minutes=1)
    killed = make_engine(url, 1)
    with pytest.raises(CommitOutcomeUnknown):
        await killed_before_its_commit(api, killed, later)
    await killed.dispose()
    workers = [make_engine(url, 2) for _ in range(2)]
    await asyncio.gather(*(summarize_due(worker, later) for worker in workers for _ in range(3)))
    for worker in workers:
        await worker.dispose()
    await caught_up(api)
    assert await found(api) == []
    [total] = await run(api, "SELECT sum(journeys) FROM milestone_counts WHERE name = 'mql' AND \"to\" = 'mql'")
    assert total[0] == 12


BLOCKED = "SELECT pid FROM pg_locks WHERE relation = $1::regclass AND NOT granted"


@pytest.mark.parametrize("table", ["journey_summaries", "stage_times", "journey_origins", "summary_cursors"])
async def test_after_a_projector_was_killed_in_a_batch_the_next_one_counts_every_event_once(
    api: Api, url: str, table: str
) -> None:
    """The process waits for a table in the middle of its batch when it is killed."""
    await caught_up(api)
    for _ in range(3):
        await api.mql()
    while await sequence(api.app.state.engine):
        pass
    later = api.now + timedelta(minutes=1)
    before = await found(api), await run(api, "SELECT position FROM summary_cursors")
    async with api.app.state.engine.connect() as watching:

        async def blocked() -> bool:
            return bool(await watching.driver.fetchval(BLOCKED, table))

        async def is_gone() -> bool:
            return not await watching.driver.fetchval("SELECT pid FROM pg_stat_activity WHERE pid = $1", pid)

        async with api.app.state.engine.begin() as holding:
            mode = "EXCLUSIVE" if table == "summary_cursors" else "SHARE"
            await holding.driver.execute(f"LOCK TABLE {table} IN {mode} MODE")
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.reports.projector", url, later.isoformat()
            )
            await until(blocked, f"the projector waits for {table}")
            pid = await watching.driver.fetchval(BLOCKED, table)
            process.send_signal(signal.SIGKILL)
            assert await asyncio.wait_for(process.wait(), TIMEOUT_SECONDS) == -signal.SIGKILL
        await until(is_gone, "PostgreSQL has noticed")
    assert (await found(api), await run(api, "SELECT position FROM summary_cursors")) == before
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.reports.projector", url, later.isoformat()
    )
    assert await asyncio.wait_for(process.wait(), TIMEOUT_SECONDS) == 0
    assert await found(api) == []
    [total] = await run(api, "SELECT sum(journeys) FROM milestone_counts WHERE name = 'mql' AND \"to\" = 'mql'")
    assert total[0] == 3
    assert await run(api, "SELECT position FROM summary_cursors") > before[1]


async def test_what_a_release_summarized_that_does_not_know_all_tables_is_made_anew(api: Api) -> None:
    """As of that release: its cursor moves on, and its batch changes only the tables that it knows."""
    await caught_up(api)
    await api.mql()
    while await sequence(api.app.state.engine):
        pass
    await run(
        api,
        "UPDATE summary_cursors SET position = (SELECT max(position) FROM event_log),"
        " times_position = (SELECT max(position) FROM event_log)",
    )
    assert not await is_read(api, 5)
    await caught_up(api)
    assert await is_read(api, 5)
    assert await found(api) == []
    await compare(api, f"from={api.now.date()}&to={api.now.date() + timedelta(days=1)}")


DAMAGES = {
    "UPDATE journey_summaries SET instants = ARRAY[instants[1] - interval '1 day']": "summary of jrn",
    "DELETE FROM journey_summaries": ": missing",
    "INSERT INTO journey_summaries SELECT tenant_id, gen_random_uuid(), business, names, instants, skips"
    " FROM journey_summaries": ": not expected",
    "UPDATE milestone_times SET ended_at = reached_at": "times of milestones of jrn",
    "DELETE FROM milestone_times": ": missing",
    'INSERT INTO milestone_times (SELECT (m).* FROM (SELECT jsonb_populate_record(m, \'{"name": "won"}\') AS m'
    " FROM milestone_times m) m)": ": not expected",
    "UPDATE journey_origins SET first_source = 'x'": "origin of jrn",
    "UPDATE journey_origins SET converted = NOT converted": ": other than by the base",
    "DELETE FROM journey_origins": ": missing",
    "UPDATE journey_origins SET journey_id = gen_random_uuid()": ": not expected",
    "UPDATE stage_times SET microseconds = microseconds + 1": "times in stages of jrn",
    "UPDATE stage_times SET microseconds = 1 WHERE microseconds IS NULL": ": other than by the base",
    "DELETE FROM stage_times": ": missing",
    "UPDATE stage_times SET seq = seq + 7": ": not expected",
    "UPDATE milestone_counts SET journeys = journeys + 1": "stored 2, by the summaries 1",
    "DELETE FROM milestone_counts": "stored 0, by the summaries 1",
    "UPDATE milestone_months SET journeys = journeys + 1": "count of the month 2",
    "DELETE FROM milestone_months": "to mql: stored 0, by the summaries 1",
    "UPDATE origin_counts SET journeys = journeys + 1": "count of the day 2",
    "UPDATE origin_counts SET amount = 1": "member business, reached ['mql']: stored 1, by the summaries 1",
    "UPDATE origin_months SET key = 'x'": "key x, member first_source, reached ['mql']: stored 1, by the summaries 0",
    "DELETE FROM origin_counts": "member last_campaign, reached ['mql']: stored 0, by the summaries 1",
    "DELETE FROM origin_months": "count of the month 2",
    "INSERT INTO milestone_counts SELECT tenant_id, reached_on, name, 'won', business, skipped, 7, 1"
    " FROM milestone_counts": "business new, days 7, name mql, skipped False, to won: stored 1, by the summaries 0",
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_verify_names_what_differs_and_a_rebuild_mends_it(api: Api, damage: str, capsys: Any) -> None:
    await api.mql()
    await caught_up(api)
    engine = api.app.state.engine
    assert (await found(api), await verify_all(engine)) == ([], 0)
    await run(api, damage)
    assert any(DAMAGES[damage] in one for one in await found(api)), await found(api)
    capsys.readouterr()
    assert await verify_all(engine) == 1
    assert "reports rebuild" in " ".join(capsys.readouterr().out.split())
    await rebuild_summaries(engine)
    assert (await found(api), await verify_all(engine)) == ([], 0)
    assert await is_read(api, 2)


async def test_comparing_and_removing_all_rows_of_a_tenant_may_take_minutes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"statement_timeout": "10min", "transaction_timeout": "0"}
    query = "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY($1)"
    monkeypatch.setitem(SERVER_SETTINGS, "statement_timeout", "5s")
    async with running(settings) as api:
        engine = api.app.state.engine
        for work in (differences, cursors_sql.empty):
            async with engine.begin() as tx:
                await work(tx, api.tenant_id)
                found = dict(await tx.driver.fetch(query, list(limits)))
                assert found == {name: limits[name] for name in found}
                assert "statement_timeout" in found
        async with engine.begin() as tx:
            assert await tx.driver.fetchval("SHOW statement_timeout") == "5s"


async def test_while_summaries_are_made_reports_read_the_milestones_and_what_changes_meanwhile_is_not_lost(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summaries, "JOURNEYS", 2)
    for _ in range(5):
        await api.mql()
    await caught_up(api)
    counts, today = [], api.now.date()
    async for count in rebuild(api.app.state.engine, api.tenant_id, api.now):
        counts.append(count)
        if len(counts) == 1:
            assert not await is_read(api)
            await api.mql()
            await compare(api, f"from={today}&to={today + timedelta(days=2)}")
    assert counts == [2, 2, 2, 0]
    assert await is_read(api)
    await compare(api, f"from={today}&to={today + timedelta(days=2)}")
    await caught_up(api)
    assert await found(api) == []


async def test_a_report_reads_the_milestones_where_too_many_events_are_not_summarized(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await caught_up(api)
    await api.mql()
    while await sequence(api.app.state.engine):
        pass
    [events] = await run(api, "SELECT count(*) FROM event_log WHERE position > (SELECT position FROM summary_cursors)")
    monkeypatch.setattr(cursors_sql, "MOST_BEHIND", events[0])
    assert await is_read(api, 2)
    monkeypatch.setattr(cursors_sql, "MOST_BEHIND", events[0] - 1)
    assert not await is_read(api, 2)


async def test_what_is_younger_than_two_seconds_is_left_to_the_report(api: Api) -> None:
    await caught_up(api)
    await api.mql()
    while await sequence(api.app.state.engine):
        pass
    [last] = await run(
        api, "SELECT min(recorded_at) FROM event_log WHERE position > (SELECT position FROM summary_cursors)"
    )
    engine = api.app.state.engine
    assert await summarize_due(engine, last[0] + AGE - timedelta(microseconds=1)) == 0
    assert await summarize_due(engine, last[0] + AGE) == 1


@pytest.mark.parametrize(
    ("zone", "first", "last", "days", "months"),
    [
        ("UTC", "2026-03-01", "2026-03-03", ("2026-03-01", "2026-03-03"), ("2026-03-03", "2026-03-03")),
        ("Europe/Bucharest", "2026-03-01", "2026-03-03", ("2026-03-01", "2026-03-02"), ("2026-03-02", "2026-03-02")),
        ("America/New_York", "2026-03-01", "2026-03-03", ("2026-03-02", "2026-03-03"), ("2026-03-03", "2026-03-03")),
        ("America/New_York", "2026-03-01", "2026-03-02", ("2026-03-02", "2026-03-02"), ("2026-03-02", "2026-03-02")),
        ("Europe/Bucharest", "2026-03-01", "2026-03-02", ("2026-03-01", "2026-03-01"), ("2026-03-01", "2026-03-01")),
        ("UTC", "2026-03-01", "2026-04-01", ("2026-03-01", "2026-04-01"), ("2026-03-01", "2026-04-01")),
        ("UTC", "2025-12-31", "2026-02-28", ("2025-12-31", "2026-02-28"), ("2026-01-01", "2026-02-01")),
        ("America/New_York", "2026-03-01", "2026-05-01", ("2026-03-02", "2026-05-01"), ("2026-04-01", "2026-05-01")),
        ("Europe/Bucharest", "2026-03-01", "2026-05-01", ("2026-03-01", "2026-04-30"), ("2026-03-01", "2026-04-01")),
        ("UTC", "2026-01-31", "2026-03-01", ("2026-01-31", "2026-03-01"), ("2026-02-01", "2026-03-01")),
    ],
)
def test_whole_days_and_months_of_a_window_are_those_of_utc(
    zone: str, first: str, last: str, days: tuple[str, str], months: tuple[str, str]
) -> None:
    start, end = (datetime.combine(date.fromisoformat(day), time(), ZoneInfo(zone)) for day in (first, last))
    spans = {name: str(day) for name, day in whole_spans(start, end).items()}
    assert (spans["first_day"], spans["last_day"]) == days
    assert (spans["first_month"], spans["last_month"]) == months
