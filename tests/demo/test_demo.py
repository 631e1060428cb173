"""`baton demo` as a command."""

import asyncio
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import text

from app.commands.demo import run
from app.commands.demo.client import Client
from app.commands.demo.plan import DAYS, PolicyName
from app.commands.demo.run import FUNNELS
from app.database.server import open_database, running_database
from app.database.transaction import Database
from app.events.across import count_pending
from app.settings import CannotStart, load
from app.tenants.create import create_key, create_tenant
from tests.proof.__main__ import main as compare
from tests.waiting import until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="baton-demo-") as made:
        Path(made).chmod(0o711)
        yield Path(made)


def baton(folder: Path, *arguments: str) -> str:
    """The output of a command that must succeed."""
    command = [sys.executable, "-P", "-m", "app.commands.cli", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder), "BATON_PORT": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_a_service_that_does_not_become_ready_is_reported_instead_of_used(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "READY_SECONDS", 0)
    monkeypatch.setenv("BATON_DATABASE_URL", url)
    with pytest.raises(CannotStart, match="was not ready after 0 seconds"):
        async with run._temporary_service(load(), "no key"):
            pytest.fail("the service was used")


def test_the_demo_starts_a_service_sends_it_all_leads_and_verify_finds_no_difference(folder: Path) -> None:
    (folder / "app").mkdir()  # must not be taken for the service's package
    (folder / "app" / "__init__.py").write_text("raise ImportError('the wrong app')")
    output = baton(folder, "demo", "--leads", "120", "--seed", "3")
    counts = {stage: int(count) for stage, count in re.findall(r"^  ([a-z]+) +(\d+) +\d+%", output, re.MULTILINE)}
    assert sum(counts.values()) == 120
    assert counts["converted"] > 0
    assert counts["inquiry"] > counts["disqualified"] > 0
    assert re.search(r"export BATON=http://\S+ KEY=btn_\w{43}$", output, re.MULTILINE)
    assert "Admin key of the service (shown only once): btn_" in output
    assert re.search(r"log in with this key at http://\S+/console$", output, re.MULTILINE)
    assert "0 differ from their log" in baton(folder, "verify")
    assert not asyncio.run(without_statistics(folder)), "reports are quick at once"


async def without_statistics(folder: Path) -> list[str]:
    """The tables of which the server does not know how many rows they have."""
    with running_database(load(data_dir=folder / ".baton")) as settings:
        async with open_database(settings.url) as engine, engine.connect() as tx:
            named = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            return (await tx.execute(text(f"{named} AND reltuples < 0"))).scalars()


BANDS = {
    "mql_to_srl": (0.2, 0.4),
    "srl_to_sql": (0.8, 0.9),
    "win_rate:new": (0.3, 0.5),
    "win_rate:existing": (0.75, 1.0),
}


async def test_each_report_of_a_fresh_demo_has_numbers_of_the_agreed_shape_which_follow_from_its_events(
    engine: Database, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    environment = {"DATABASE_URL": url, "DATA_DIR": str(tmp_path), "PORT": "1", "SECRET_KEYS": f"a:{'A' * 43}="}
    for name, value in environment.items():
        monkeypatch.setenv(f"BATON_{name}", value)
    await asyncio.to_thread(run.demo, None, None, 600, 2, None)
    shown = capsys.readouterr().out
    [key] = re.findall(r"KEY=(btn_\w{43})$", shown, re.MULTILINE)
    counts_by_stage = re.findall(r"^  ([a-z]+) +\d+ +\d+%", shown, re.MULTILINE)
    today = datetime.now(UTC).date()
    window = f"from={today - timedelta(days=DAYS)}&to={today + timedelta(days=1)}"
    async with run._temporary_service(load(), key) as address, aiohttp.ClientSession() as session:
        client = Client(session, address, key)
        reports = [await client.get(f"/v1/reports/{name}?{window}") for name in ("funnel", "wins", "feedback", "rules")]
        metrics = {one["name"]: one for report in reports for one in report["groups"][0]["metrics"]}
        values = {name: one["value"] for name, one in metrics.items()}
        outside = {name: values[name] for name, (low, high) in BANDS.items() if not low <= values[name] <= high}
        assert outside == {}
        counts = {one: metrics[one]["numerator"] for one in ("volume_mql", "volume_sal", "volume_srl", "volume_sql")}
        assert list(counts.values()) == sorted(set(counts.values()), reverse=True), "each stage has fewer leads"
        assert metrics["returned"]["numerator"] > 0, "the AE gives some back"
        assert metrics["persona:decision_maker"]["lift"] > 1, "leads of the persona become SQLs more often"
        assert {"sal", "srl"} <= set(counts_by_stage), "some leads are an SAL or an SRL now"
        assert (await client.get("/v1/opportunities?slipped=true"))["data"]
        await check_forecast(client)
        await check_backtest(client)
        await until(partial(are_in_order, engine), "all events are in order")
        assert await asyncio.to_thread(compare, address, key) == 0, capsys.readouterr().out


@pytest.mark.parametrize("policy", FUNNELS)
async def test_a_tenant_takes_the_demos_of_several_seeds_and_each_has_its_own_leads(
    engine: Database,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    policy: PolicyName,
) -> None:
    environment = {"DATABASE_URL": url, "DATA_DIR": str(tmp_path), "PORT": "1", "SECRET_KEYS": f"a:{'A' * 43}="}
    for name, value in environment.items():
        monkeypatch.setenv(f"BATON_{name}", value)
    async with engine.begin() as tx:
        tenant_id = await create_tenant(tx, "several demos", policy, datetime.now(UTC))
        key = (await create_key(tx, tenant_id, "demo", ("admin",), datetime.now(UTC))).secret
    async with run._temporary_service(load(), key) as address:
        for seed, count in ((1, 60), (11, 60), (-2, 80)):
            await run._send_and_show(address, key, run.Planned(count, seed, datetime.now(UTC)))
        shown = capsys.readouterr().out
        totals = [int(one) for one in re.findall(r"^(\d+) leads of half a year", shown, re.MULTILINE)]
        assert totals == [60, 120, 200]
        assert f"The funnel of the half year: {FUNNELS[policy]}\n" in shown
        with pytest.raises(CannotStart, match="already has the demo of --seed 11"):
            await run._send_and_show(address, key, run.Planned(90, 11, datetime.now(UTC)))


async def are_in_order(engine: Database) -> bool:
    async with engine.connect() as tx:
        return await count_pending(tx) == 0


async def check_backtest(client: Client) -> None:
    """A back-test of a candidate has MQLs in eight weeks and more, and more of them than the active policy."""
    [active] = (await client.get("/v1/policies?state=active"))["data"]
    document = (await client.get(f"/v1/policies/{active['id']}"))["document"]
    document["conditions"]["mql"] = {"all": [{"fit": {"at_least": 35}}, {"engagement": {"at_least": 10}}]}
    candidate = await client.post("/v1/policies", document)
    job = await client.post(f"/v1/policies/{candidate['id']}/backtests", {})
    found: dict[str, Any] = {}

    async def is_done() -> bool:
        found.update(await client.get(f"/v1/backtests/{job['id']}"))
        return bool(found["state"] == "done")

    await until(is_done, "the back-test is done")
    assert sum(week["mql"] > 0 for week in found["candidate"]["weekly_load"]) >= 8
    assert sum(week["mql"] > 0 for week in found["baseline"]["weekly_load"]) >= 8
    assert found["candidate"]["mql"] > found["baseline"]["mql"] > 0
    assert found["candidate"]["added"]


async def check_forecast(client: Client) -> None:
    """People on two levels below the head, a gap to the quota, and deals that have changed in the last weeks."""
    forecast = await client.get("/v1/reports/forecast")
    head, *others = forecast["groups"]
    assert [head["level"], sorted({one["level"] for one in others})] == [0, [1, 2]]
    gaps = [one for one in head["metrics"] if one["name"] == "gap"]
    assert float(gaps[0]["amounts"][0]["value"]) > 0
    assert head["judgement"]["commit"] is not None
    weeks: list[str] = []

    async def are_kept() -> bool:
        weeks[:] = [one["week"] for one in (await client.get("/v1/snapshots"))["data"]]
        return len(weeks) >= run.WEEKS

    await until(are_kept, "weeks that were not kept meanwhile are made up for once a service starts")
    parts = set()
    for week in weeks:
        path = f"/v1/reports/forecast/changes?period={forecast['period']['name']}&since={week}"
        parts |= {one["name"] for one in (await client.get(path))["parts"] if one["opportunities"]}
    assert len(parts) > 1
