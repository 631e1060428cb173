"""Liveness, readiness and metrics."""

from __future__ import annotations

from typing import Any, Final

import orjson
from fastapi import APIRouter, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text

from app.database import migrate
from app.database.faults import as_problem
from app.events.partitions import room_left

MIN_ROOM: Final = 1_000_000
SELECT_STATE = text(
    "SELECT current_setting('synchronous_commit') AS synchronous_commit, current_setting('server_version') AS version,"
    " (SELECT version_num FROM alembic_version) AS revision"
)

open_routes = APIRouter(tags=["operations"])


@open_routes.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process is alive; the database is not checked."""
    return {"status": "ok"}


@open_routes.get("/readyz", responses={503: {"description": "Not ready; `problems` says why."}})
async def readyz(request: Request) -> Response:
    """Ready for requests: the database answers, its schema is this release's, and the event log has free partitions."""
    details, problems = await _readiness(request.app.state)
    body = {"status": "ready" if not problems else "not ready", "problems": problems, **details}
    return Response(orjson.dumps(body), 200 if not problems else 503, media_type="application/json")


async def _readiness(state: Any) -> tuple[dict[str, Any], list[str]]:
    problems = ["draining"] if state.draining else []
    details: dict[str, Any] = {"test_clock_offset_seconds": state.clock.offset().total_seconds()}
    try:
        async with state.engine.connect() as tx:
            row = (await tx.execute(SELECT_STATE)).one()
            room = await room_left(tx)
    except Exception as error:  # any error means not ready
        if as_problem(error) is None:
            problems.append("a query of the database failed: check that baton migrate was run on it")
            return details, problems
        return details, [*problems, "the database does not answer"]
    if row.revision != migrate.newest():
        problems.append(f"the schema is at {row.revision}, this release needs {migrate.newest()}: run baton migrate")
    if room < MIN_ROOM:
        problems.append("the event log is nearly full: run a process with the dispatch role, which adds partitions")
    if row.synchronous_commit in ("off", "local"):
        details["warning"] = f"synchronous_commit is {row.synchronous_commit}: committed changes may be lost in a crash"
    return {**details, "postgresql": row.version, "revision": row.revision}, problems


@open_routes.get("/metrics", response_class=Response, include_in_schema=False)
async def get_metrics(request: Request) -> Response:
    """Metrics in Prometheus' text format; 404 where BATON_METRICS_LISTEN serves them on another port."""
    if request.app.state.settings.metrics_listen is not None:
        raise HTTPException(404)
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
