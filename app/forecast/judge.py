"""A judgement of what a person and his people will close in a period, beside the sum. Earlier ones are kept."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app import ids
from app.database.transaction import Record, Tx
from app.errors import UserNotFound
from app.forecast import sql
from app.forecast.asked import calendar_of, named_period
from app.forecast.roll_up import below
from app.forecast.schemas import JudgementPut
from app.journeys.record import actor_document
from app.journeys.refusals import problem
from app.lifecycle.answer import HumanRequired, RoleNotAllowed
from app.policy.facts import Actor
from app.tenants import sql as tenants
from app.web.auth import Caller
from app.web.fields import rfc3339

ACTION: Final = "judge a forecast"
MOST: Final = 200


async def judge(
    tx: Tx, caller: Caller, period: str, user_id: UUID, body: JudgementPut, now: datetime
) -> dict[str, Any]:
    """The judgement, by the person or somebody to whom the person reports.

    Raises UserNotFound, RequestInvalid for an unknown period, HumanRequired or RoleNotAllowed for anybody else.
    """
    tenant_id, judgement = caller.tenant_id, body.model_dump()
    await _check(tx, tenant_id, period, user_id, now)
    _check_actor(caller.actor, user_id, await sql.managers_at(tx, tenant_id, now))
    actor = actor_document(caller.actor)
    named = {"period": period, "user_id": user_id, "judgement": judgement}
    await sql.insert_judgement(tx, tenant_id, {**named, "actor": actor, "recorded_at": now})
    return {**_named(period, user_id), **_shown(judgement, actor, now)}


async def judgements_of(tx: Tx, caller: Caller, period: str, user_id: UUID, now: datetime) -> dict[str, Any]:
    """The judgements of a person in a period, newest first. Raises UserNotFound, RequestInvalid."""
    await _check(tx, caller.tenant_id, period, user_id, now)
    rows = await sql.judgements_of(tx, caller.tenant_id, period, user_id, MOST)
    return {**_named(period, user_id), "data": [show_judgement(row) for row in rows]}


async def _check(tx: Tx, tenant_id: UUID, period: str, user_id: UUID, now: datetime) -> None:
    if await tenants.user(tx, tenant_id, user_id) is None:
        raise UserNotFound()
    named_period(await calendar_of(tx, tenant_id, now), period)


def _check_actor(actor: Actor, user_id: UUID, manager_of: dict[UUID, UUID | None]) -> None:
    if actor.kind != "human" or actor.user_id is None:
        raise problem(HumanRequired(ACTION))
    if actor.role != "admin" and user_id not in below(actor.user_id, manager_of):
        raise problem(RoleNotAllowed(ACTION, actor.role, ("the person", "a manager of the person", "admin")))


def show_judgement(row: Record) -> dict[str, Any]:
    return _shown(row.judgement, row.actor, row.recorded_at)


def _named(period: str, user_id: UUID) -> dict[str, Any]:
    return {"period": period, "user_id": ids.show("user", user_id)}


def _shown(judgement: dict[str, Any], actor: dict[str, Any], at: datetime) -> dict[str, Any]:
    return {**judgement, "actor": actor, "recorded_at": rfc3339(at)}
