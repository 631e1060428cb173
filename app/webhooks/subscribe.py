"""Create, change, pause, resume and delete subscriptions, and rotate their secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import compress
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row

from app import ids
from app.database.transaction import Tx
from app.errors import PositionExpired, RequestInvalid, ScopeMissing, StateConflict, SubscriptionNotFound, TargetRefused
from app.events import across, cursors
from app.events import sql as events_sql
from app.events.record import record_events
from app.events.sql import event_of
from app.ids import new_id
from app.keyring import CannotOpen, KeyRing
from app.web.fields import rfc3339
from app.web.versions import check, moved
from app.webhooks import by_hand, credentials, egress, notices, secrets, sql
from app.webhooks.accepted import Selection, accepted
from app.webhooks.change_lanes import change_lanes
from app.webhooks.check_selection import Asked, check_selection, condition_reads_lead
from app.webhooks.consenting import CONSENT, agreeing
from app.webhooks.credentials import Credentials
from app.webhooks.egress import Egress
from app.webhooks.handshake import state_after
from app.webhooks.schemas import Rotation, SubscriptionCreate, SubscriptionPatch
from app.webhooks.secrets import COLUMNS, MAX_KEYS, TooManyKeys, keys_of, secrets_json
from app.webhooks.signing import Kind, new_secret, read_key
from app.webhooks.sinks import is_sink

HEADERS = "headers"
SELECTING = {"types", "filter", "condition"}  # what decides whether an event is sent
Warnings = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class SubscriptionContext:
    """What every change of a subscription needs: transaction, tenant, encryption keys, HTTP client and time."""

    tx: Tx
    tenant_id: UUID
    ring: KeyRing
    egress: Egress
    now: datetime
    may_read_leads: bool = False

    async def locked(self, subscription_id: UUID, expected: frozenset[str] | None) -> Row[Any]:
        """Lock and return the row.

        Raises SubscriptionNotFound where there is none, VersionConflict for another version.
        """
        row = await sql.lock_subscription(self.tx, self.tenant_id, subscription_id)
        if row is None:
            raise SubscriptionNotFound()
        check(expected, row.version)
        return row

    async def update(self, subscription_id: UUID, values: dict[str, Any]) -> None:
        await sql.update_subscription(self.tx, self.tenant_id, subscription_id, values, self.now)


async def create(context: SubscriptionContext, body: SubscriptionCreate) -> tuple[UUID, str, Warnings]:
    """Create an active subscription; its id, its secret, and what may be wrong with its condition.

    Raises TargetRefused for a URL that may not be called, CursorInvalid for the start, ScopeMissing for leads it may
    not read, and RequestInvalid for what no event matches and for credentials that the URL does not take.
    """
    warnings = await check_events(context, body.model_dump())
    subscription_id, secret = new_id(), new_secret()
    position = await _start_position(context, body.start)
    url = await checked_url(context.egress, body.url)
    credentials.check(url, body.credentials)
    _check_handshake(url, body.handshake)
    _check_lanes(body.lanes, body.limits.concurrency, "lanes")
    values = {
        "id": subscription_id,
        "url": url,
        "types": body.types,
        "filter": body.filter,
        "condition": body.condition,
        "mode": body.mode,
        "schema_version": body.schema_version,
        "include": body.include,
        "format": body.format,
        "handshake": body.handshake,
        **_stored({"limits": body.limits.model_dump()}),
        "lanes": body.lanes,
        "on_dead": body.on_dead,
        "state": "active",
        **state_after("active", None, due=body.handshake),
        "headers": _encrypted_headers(context, subscription_id, body.headers),
        "secrets": _first_key(context, subscription_id, "v1", secret),
        "ed25519_keys": _first_key(context, subscription_id, "v1a", new_secret("v1a")) if body.ed25519 else None,
        "credentials": credentials.seal(context.ring, context.tenant_id, subscription_id, body.credentials),
        "created_at": context.now,
        "updated_at": context.now,
    }
    await sql.insert_subscription(context.tx, context.tenant_id, values, position)
    return subscription_id, secret, warnings


async def patch(
    context: SubscriptionContext, subscription_id: UUID, body: SubscriptionPatch, expected: frozenset[str] | None
) -> Warnings:
    """Change the given members; what may be wrong with the condition.

    Raises the problems of `locked`, `checked_url`, `check_events` and `credentials.changed`.
    """
    values = body.model_dump(mode="json", exclude={"credentials", "limits"}, exclude_unset=True)
    if body.on_dead == "skip":
        await by_hand.let_go_on(context.tx, context.tenant_id, subscription_id)
    if body.url is not None:
        values["url"] = await checked_url(context.egress, body.url)  # a DNS lookup, so before the lock
        await sql.restart_lanes(context.tx, context.tenant_id, subscription_id)  # another receiver, which may be well
    if body.lanes is not None:
        await change_lanes(context.tx, context.tenant_id, subscription_id, body.lanes)
    warnings = await _select(context, subscription_id, values) if SELECTING & values.keys() else []
    row = await context.locked(subscription_id, expected)
    await check_events(context, {**row._mapping, **values}, selecting=False)
    url = values.get("url", row.url)
    given = body.credentials or (Credentials() if "credentials" in body.model_fields_set else None)  # null: none
    values |= credentials.changed(context.ring, context.tenant_id, row, url, given)
    _check_handshake(url, values.get("handshake", row.handshake))
    limits = {**row.limits, "disable_after_days": row.disable_after_days}
    if body.limits is not None:
        limits |= body.limits.model_dump(mode="json", exclude_unset=True)
        values |= _stored({"limits": limits})
    place = "limits.concurrency" if body.lanes is None else "lanes"
    _check_lanes(values.get("lanes", row.lanes), limits["concurrency"], place)
    headers = values.pop("headers", None)
    if (ed25519 := values.pop("ed25519", None)) is not None and ed25519 != bool(row.ed25519_keys):
        turned_on = ed25519 and _with_new_key(context, row, "v1a", new_secret("v1a"), "ed25519")
        values["ed25519_keys"] = turned_on or None
    values = moved(row._mapping, values)
    values |= _after_change(row, values)
    if headers is not None and not _has_headers(context, row, headers):
        values["headers"] = _encrypted_headers(context, subscription_id, headers)
    if values:
        await context.update(subscription_id, values)
    return warnings


def _check_handshake(url: str, handshake: bool) -> None:
    if handshake and is_sink(url):
        detail = "a broker cannot be asked by the handshake, which is of HTTP: leave it out, or set it to false"
        raise RequestInvalid.of("handshake", "handshake_needs_http", detail)


def _check_lanes(lanes: int, concurrency: int, field: str) -> None:
    if lanes > concurrency:
        detail = f"{lanes} lanes share limits.concurrency, which is {concurrency}: it must be at least as many"
        raise RequestInvalid.of(field, "more_lanes_than_concurrency", detail)


def _after_change(row: Row[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """What follows from another URL, and from a handshake that is wanted now or no more: consent is for one URL."""
    if not {"url", "handshake"} & values.keys():
        return {}
    due = values.get("handshake", row.handshake)
    return {"consented_at": None, "allowed_rate": None, **state_after(row.state, row.state_reason, due)}


def _stored(values: dict[str, Any]) -> dict[str, Any]:
    """The values as columns: code of the previous release refuses `limits` with a member that it does not know."""
    if "limits" in values:
        limits = dict(values["limits"])
        return {**values, "disable_after_days": limits.pop("disable_after_days"), "limits": limits}
    return values


async def _select(context: SubscriptionContext, subscription_id: UUID, values: Mapping[str, Any]) -> Warnings:
    """Checks which events the changed subscription selects, and lets leads go on whose first delivery is not among
    them: the lane skips due retries. Raises the problems of `check_events`.

    Before the subscription is locked, in the order in which its lane takes these locks.
    """
    row = await sql.subscription(context.tx, context.tenant_id, subscription_id)
    if row is None:
        return []
    warnings = await check_events(context, {**row._mapping, **values})
    changed = {**row._mapping, **values, "include": []}  # the lead is needed only where the condition reads it
    selection = Selection.of(changed, ids.show("subscription", subscription_id))
    waiting = await sql.waiting_events(context.tx, context.tenant_id, subscription_id)
    found = await accepted(context.tx, context.tenant_id, selection, [event_of(each) for each in waiting])
    agree = await agreeing(context.tx, context.tenant_id, selection.purposes, found)
    wanted = {each.position for each in compress(found, agree)}
    unwanted = [each for each in waiting if each.position not in wanted]
    if blocking := [each.position for each in unwanted if each.blocks]:
        await by_hand.let_go_on(context.tx, context.tenant_id, subscription_id, blocking)
    if due := [each.position for each in unwanted if not each.blocks]:
        await sql.make_due(context.tx, context.tenant_id, subscription_id, due)
    return warnings


async def rotate(
    context: SubscriptionContext, subscription_id: UUID, body: Rotation, expected: frozenset[str] | None
) -> str | None:
    """Add a new key of a kind; the older ones stay valid for the grace. Returns the secret of `v1`, to be shown.

    Raises RequestInvalid for a secret of another kind or form, for `v1a` where it is off and for a sixth valid key, and
    the problems of `locked`.
    """
    row = await context.locked(subscription_id, expected)
    if body.kind == "v1a" and row.ed25519_keys is None:
        raise RequestInvalid.of("kind", "ed25519_off", "this subscription signs with v1 only: change ed25519 to true")
    secret = new_secret(body.kind) if body.secret is None else body.secret
    try:
        read_key(body.kind, secret)
    except ValueError as error:
        raise RequestInvalid.of("secret", "secret_invalid", str(error)) from None
    grace = timedelta(seconds=body.grace_seconds)
    keys = _with_new_key(context, row, body.kind, secret, "grace_seconds", grace)
    await context.update(subscription_id, {COLUMNS[body.kind]: keys})
    return secret if body.kind == "v1" else None


def _first_key(context: SubscriptionContext, subscription_id: UUID, kind: Kind, secret: str) -> str:
    first = secrets.stored(context.ring, context.tenant_id, subscription_id, kind, secret, context.now)
    return secrets_json([first])


def _with_new_key(
    context: SubscriptionContext, row: Row[Any], kind: Kind, secret: str, field: str, grace: timedelta = timedelta(0)
) -> str:
    """The keys of a kind with a new one, as stored. Raises RequestInvalid, naming `field`, if five are valid."""
    new = secrets.stored(context.ring, context.tenant_id, row.id, kind, secret, context.now)
    others = keys_of(row, "v1a" if kind == "v1" else "v1")
    match secrets.rotated(keys_of(row, kind), new, context.now, grace, others):
        case TooManyKeys(until):
            detail = (
                f"{MAX_KEYS} keys are valid, as many as may be; wait until {rfc3339(until)}, or rotate without grace"
            )
            raise RequestInvalid.of(field, "too_many_keys", detail)
        case keys:
            return secrets_json(keys)


async def pause(context: SubscriptionContext, subscription_id: UUID, expected: frozenset[str] | None) -> None:
    """Stop sending and keep the position. Raises StateConflict if disabled, and the problems of `locked`."""
    row = await context.locked(subscription_id, expected)
    if row.state == "disabled":
        raise StateConflict("A disabled subscription cannot be paused; resume it first.", state=row.state)
    values = moved(row._mapping, {"state": "paused", "state_reason": "requested"})
    if values:
        await context.update(subscription_id, values)


async def resume(
    context: SubscriptionContext, subscription_id: UUID, expected: frozenset[str] | None, at: str = "cursor"
) -> None:
    """Continue where it stopped, now, or at a position.

    Raises PositionExpired when the events there are gone, StateConflict for another position of an active
    subscription and for a handshake that is due, and the problems of `locked`.
    """
    lanes = await sql.lock_lanes(context.tx, context.tenant_id, subscription_id)
    row = await context.locked(subscription_id, expected)
    if row.state == "active" and at != "cursor":
        raise StateConflict("Pause the subscription first: it is active, and has its position.", state=row.state)
    if row.state == "active" or not lanes:
        return
    if row.handshake and row.consented_at is None:
        raise StateConflict("Its receiver has to agree first: POST …/handshake.", state=row.state)
    stopped_at = min(lane.position for lane in lanes)
    position = await _resume_position(context, stopped_at, at)
    if at != "cursor":
        await sql.move_lanes(context.tx, context.tenant_id, subscription_id, position)
    else:  # one whose receiver was taken to be down is tried at once: a person asks for it
        await sql.restart_lanes(context.tx, context.tenant_id, subscription_id)
    await context.update(subscription_id, {"state": "active", "state_reason": None})
    if position > stopped_at:
        shown = ids.show("subscription", subscription_id)
        gap = notices.gap(shown, stopped_at + 1, position, context.now)
        await record_events(context.tx, context.tenant_id, [gap], context.now)


async def _resume_position(context: SubscriptionContext, stopped_at: int, at: str) -> int:
    """The position after which to go on."""
    head, first = (
        (await events_sql.head(context.tx, context.tenant_id)).position,
        await across.first_position(context.tx),
    )
    position = {"cursor": stopped_at, "now": head}.get(at)
    position = int(at) - 1 if position is None else position
    if position > head:
        raise RequestInvalid.of("resume", "position_unknown", f"the last event has the position {head}")
    if position + 1 < first and at != "now":
        detail = f"The events from {position + 1} on are kept no more. Resume at {first}, the first position, or now."
        raise PositionExpired(detail, first_position=str(first))
    return position


async def delete(context: SubscriptionContext, subscription_id: UUID, expected: frozenset[str] | None) -> None:
    """Delete it with its lanes and unfinished deliveries. Raises the problems of `locked`."""
    await sql.delete_lanes(context.tx, context.tenant_id, subscription_id)
    await context.locked(subscription_id, expected)
    await sql.delete_subscription(context.tx, context.tenant_id, subscription_id)


async def check_events(context: SubscriptionContext, values: Mapping[str, Any], *, selecting: bool = True) -> Warnings:
    """The warnings of the filter and the condition, which are looked at where `selecting`.

    Who lets leads be sent, or events be chosen by their leads, may read them, whatever is changed: a new URL alone
    would send them there. A thin subscription sends ids only. Raises ScopeMissing where the caller may not read leads,
    RequestInvalid for leads of a thin subscription and the problems of `check_selection`.
    """
    include, condition = values["include"], values["condition"]
    reads_leads = include or CONSENT in values["filter"] or condition_reads_lead(condition)
    if reads_leads and not context.may_read_leads:
        detail = "A subscription that includes leads, or chooses by them or their consents, needs the scope leads:read."
        raise ScopeMissing(detail, scope="leads:read")
    if include and values["mode"] == "thin":
        detail = "the mode `thin` sends ids only, and no lead: leave `include` out, or set `mode` to `full`"
        raise RequestInvalid.of("include", "include_needs_full", detail)
    if not selecting:
        return []
    return await check_selection(context.tx, context.tenant_id, Asked(values["types"], values["filter"], condition))


async def checked_url(client: Egress, url: str) -> str:
    """The URL in the form to store. Raises TargetRefused or RequestInvalid, naming `url`, when it may not be called."""
    try:
        return await client.check_url(url)
    except egress.TargetRefused as refused:
        if refused.code == "url_invalid":
            raise RequestInvalid.of("url", refused.code, refused.detail) from None
        errors = [{"field": "url", "code": refused.code, "detail": refused.detail}]
        raise TargetRefused(refused.detail, errors=errors) from None


def read_headers(ring: KeyRing, tenant_id: UUID, subscription_id: UUID, sealed: str | None) -> dict[str, str]:
    """The subscription's custom headers, decrypted. Raises CannotOpen when the ring lacks the encryption key."""
    if sealed is None:
        return {}
    headers: dict[str, str] = orjson.loads(ring.open(tenant_id, subscription_id, HEADERS, sealed))
    return headers


def _has_headers(context: SubscriptionContext, row: Row[Any], headers: dict[str, str]) -> bool:
    try:
        return read_headers(context.ring, context.tenant_id, row.id, row.headers) == headers
    except CannotOpen:  # they are replaced: what they were is not needed
        return False


def _encrypted_headers(context: SubscriptionContext, subscription_id: UUID, headers: dict[str, str]) -> str | None:
    if not headers:
        return None
    return context.ring.seal(context.tenant_id, subscription_id, HEADERS, orjson.dumps(headers).decode())


async def _start_position(context: SubscriptionContext, start: str) -> int:
    after = "latest" if start == "now" else start
    return await cursors.position_of(context.tx, context.tenant_id, after, filters=None)
