"""Liveness, readiness and metrics."""

from __future__ import annotations

from typing import Any, Final

import orjson
import structlog
from fastapi import APIRouter, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text

from app import metrics
from app.database import migrate
from app.database.faults import as_problem
from app.database.sealed import missing_keys, needed
from app.database.storage import has_no_room
from app.errors import SecretKeysMissing
from app.events.partitions import room_left

log = structlog.get_logger("baton.operations")

MIN_ROOM: Final = 1_000_000
SELECT_STATE = text(
    "SELECT current_setting('synchronous_commit') AS synchronous_commit, current_setting('server_version') AS version,"
    " current_setting('transaction_read_only') = 'on' AS read_only,"
    " (SELECT version_num FROM alembic_version) AS revision"
)
STORAGE_FULL: Final = "the disk of the database is full: make room, then everything that waits is processed"
EVENT_LOG_FULL: Final = "the event log is nearly full: run a process with the dispatch role, which adds partitions"
READ_ONLY: Final = "the database accepts no writes: name its primary in BATON_DATABASE_URL, or let the role write"

open_routes = APIRouter(tags=["operations"])


@open_routes.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process is alive; the database is not checked."""
    return {"status": "ok"}


@open_routes.get("/readyz", responses={503: {"description": "Not ready; `problems` says why, `codes` for a machine."}})
async def readyz(request: Request) -> Response:
    """Ready for requests: the database accepts writes, has room and this schema, and no secret key is missing."""
    details, problems = await _readiness(request.app.state)
    status = "not ready" if problems else "ready"
    body = {"status": status, "problems": list(problems.values()), "codes": list(problems), **details}
    return Response(orjson.dumps(body), 503 if problems else 200, media_type="application/json")


async def _readiness(state: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Details, and the problems by their code."""
    problems = {"draining": "draining"} if state.draining else {}
    details: dict[str, Any] = {"test_clock_offset_seconds": state.clock.offset().total_seconds()}
    if await state.engine.storage_full():
        problems["storage_full"] = STORAGE_FULL
    try:
        async with state.engine.connect() as tx:
            row = (await tx.execute(SELECT_STATE)).one()
            room = await room_left(tx)
            missing = await missing_keys(tx, state.keyring)
    except Exception as error:  # any error means not ready
        if as_problem(error) is None:
            problems["schema_missing"] = "a query of the database failed: check that baton migrate was run on it"
        else:
            problems["database_unavailable"] = "the database does not answer"
            if (cluster := state.settings.cluster) is not None and has_no_room(cluster):
                problems["storage_full"] = STORAGE_FULL
        return details, problems
    found, newest = row.revision, migrate.newest()
    if row.read_only:
        problems["read_only"] = READ_ONLY
    if found != newest:
        problems["schema_differs"] = f"the schema is at {found}, this release needs {newest}: run baton migrate"
    if room < MIN_ROOM:
        problems["event_log_full"] = EVENT_LOG_FULL
    if missing:
        problems[SecretKeysMissing.code] = needed(missing)
        log.error(SecretKeysMissing.code, kids=missing)
    if row.synchronous_commit in ("off", "local"):
        details["warning"] = f"synchronous_commit is {row.synchronous_commit}: committed changes may be lost in a crash"
    return {**details, "postgresql": row.version, "revision": row.revision}, problems


@open_routes.get("/metrics", response_class=Response, include_in_schema=False)
async def get_metrics(request: Request) -> Response:
    """Metrics in Prometheus' text format; 404 where BATON_METRICS_LISTEN serves them on another port."""
    if request.app.state.settings.metrics_listen is not None:
        raise HTTPException(404)
    return Response(generate_latest(metrics.registry()), headers={"Content-Type": CONTENT_TYPE_LATEST})
