"""/v1/me, /v1/tenants, /v1/users (but for changing one: app/users), /v1/keys."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response

from app import ids
from app.errors import AlreadyExists, KeyNotFound, ScopeMissing, TenantNotFound, UserNotFound, VersionConflict
from app.tenants import across, audit, calendar, create, limits, sql, users
from app.tenants.schemas import (
    CalendarOut,
    CalendarPut,
    KeyCreate,
    KeyOut,
    KeyPage,
    LimitsOut,
    LimitsPut,
    MeOut,
    Role,
    TenantCreate,
    TenantCreated,
    TenantOut,
    TenantPage,
    TenantPatch,
    UserCreate,
    UserOut,
    UserPage,
    show_key,
    show_tenant,
    show_user,
)
from app.web import auth, versions
from app.web.auth import AnyCaller, Caller, allowed
from app.web.fields import KeyId, TenantId, UserId, answer, rfc3339
from app.web.pages import Cursor, Limit, Page
from app.web.problems import declared, router
from app.web.transacted import InTx, Now
from app.web.versions import Expected

api = router("/v1", "administration")
Admin = Annotated[Caller, allowed("admin")]
Platform = Annotated[Caller, allowed("platform")]


@api.get("/me", response_model=MeOut)
async def get_me(caller: AnyCaller, tx: InTx) -> Response:
    """The tenant, the scopes and the actor of the key that made the request."""
    tenant = await sql.tenant(tx, caller.tenant_id)
    assert tenant is not None
    key = {"id": ids.show("key", caller.key_id), "name": caller.key_name, "scopes": sorted(caller.scopes)}
    actor = {"id": caller.actor.id, "kind": caller.actor.kind, "role": caller.actor.role}
    return answer({"tenant": show_tenant(tenant), "key": key, "actor": actor})


@api.post("/tenants", status_code=201, response_model=TenantCreated)
async def create_tenant(body: TenantCreate, caller: Platform, tx: InTx, now: Now) -> Response:
    """Create a tenant with a shipped policy and a first key, whose secret is shown only here."""
    tenant_id = await create.create_tenant(tx, body.name, body.policy, now)
    key = await create.create_key(tx, tenant_id, "admin", ("admin",), now)
    await audit.record(tx, caller, tenant_id, "tenant.created", ids.show("tenant", tenant_id), now)
    row = await sql.tenant(tx, tenant_id)
    assert row is not None
    shown = show_tenant(row)
    made = {"tenant": shown, "key": {"id": ids.show("key", key.row.id), "secret": key.secret}}
    return answer(made, 201, location=f"/v1/tenants/{shown['id']}")


@api.get("/tenants", response_model=TenantPage)
async def list_tenants(caller: Platform, tx: InTx, limit: Limit = 50, cursor: Cursor = None) -> Response:
    page = Page(limit, cursor)
    return answer(page.answer(await across.list_tenants(tx, page), show_tenant))


@api.get("/tenants/{tenant_id}", response_model=TenantOut, responses=declared(TenantNotFound))
async def get_tenant(tenant_id: TenantId, caller: Platform, tx: InTx) -> Response:
    row = await sql.tenant(tx, tenant_id)
    if row is None:
        raise TenantNotFound()
    return answer(show_tenant(row), version=row.version)


@api.patch("/tenants/{tenant_id}", response_model=TenantOut, responses=declared(TenantNotFound, VersionConflict))
async def patch_tenant(
    tenant_id: TenantId, body: TenantPatch, caller: Platform, tx: InTx, now: Now, expected: Expected
) -> Response:
    row = await sql.tenant(tx, tenant_id, lock=True)
    if row is None:
        raise TenantNotFound()
    versions.check(expected, row.version)
    if body.name == row.name:
        return answer(show_tenant(row), version=row.version)
    row = await sql.update_tenant(tx, tenant_id, {"name": body.name})
    await audit.record(tx, caller, tenant_id, "tenant.renamed", ids.show("tenant", tenant_id), now)
    return answer(show_tenant(row), version=row.version)


@api.get("/tenants/{tenant_id}/limits", response_model=LimitsOut, responses=declared(TenantNotFound))
async def get_limits(tenant_id: TenantId, caller: Platform, tx: InTx) -> Response:
    """How many submissions and API requests of a tenant are taken a minute, and how many at a time."""
    row = await sql.tenant(tx, tenant_id)
    if row is None:
        raise TenantNotFound()
    return answer(limits.show(row), version=row.version)


@api.put("/tenants/{tenant_id}/limits", response_model=LimitsOut, responses=declared(TenantNotFound, VersionConflict))
async def put_limits(
    tenant_id: TenantId, body: LimitsPut, caller: Platform, tx: InTx, now: Now, expected: Expected
) -> Response:
    """Set the limits of a tenant; they hold in every process within five seconds."""
    row = await limits.set_limits(tx, tenant_id, caller, body.model_dump(), expected, now)
    return answer(limits.show(row), version=row.version)


@api.get("/calendar", response_model=CalendarOut)
async def get_calendar(caller: Admin, tx: InTx) -> Response:
    """The working hours, time zone and holidays of the tenant."""
    row = await calendar.read_calendar(tx, caller.tenant_id)
    return answer(calendar.show_calendar(row), version=row.version)


@api.put("/calendar", response_model=CalendarOut, responses=declared(VersionConflict))
async def put_calendar(body: CalendarPut, caller: Admin, tx: InTx, now: Now, expected: Expected) -> Response:
    """Set the calendar by which clocks count that start from now on; those that run keep theirs."""
    row = await calendar.set_calendar(tx, caller, body.document(), expected, now)
    return answer(calendar.show_calendar(row), version=row.version)


@api.post("/users", status_code=201, response_model=UserOut, responses=declared(AlreadyExists))
async def create_user(body: UserCreate, caller: Admin, tx: InTx, now: Now) -> Response:
    """Create a user: a person whom requests can name in `Baton-Actor`."""
    row = await users.create_user(tx, caller.tenant_id, body.model_dump(), now)
    shown = show_user(row)
    await audit.record(tx, caller, caller.tenant_id, "user.created", shown["id"], now)
    return answer(shown, 201, version=row.version, location=f"/v1/users/{shown['id']}")


@api.get("/users", response_model=UserPage)
async def list_users(
    caller: Admin,
    tx: InTx,
    role: Annotated[Role | None, Query()] = None,
    active: bool | None = None,
    manager_id: UserId | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    filters: dict[str, Any] = {"role": role, "active": active, "manager_id": manager_id}
    page = Page(limit, cursor, filters=filters)
    return answer(page.answer(await sql.list_users(tx, caller.tenant_id, page, filters), show_user))


@api.get("/users/{user_id}", response_model=UserOut, responses=declared(UserNotFound))
async def get_user(user_id: UserId, caller: Admin, tx: InTx) -> Response:
    row = await sql.user(tx, caller.tenant_id, user_id)
    if row is None:
        raise UserNotFound()
    return answer(show_user(row), version=row.version)


@api.post("/keys", status_code=201, response_model=KeyOut)
async def create_key(body: KeyCreate, caller: Admin, tx: InTx, now: Now) -> Response:
    """Create an API key; its secret is shown in this response only."""
    if "platform" in body.scopes and not caller.may("platform"):
        raise ScopeMissing("Only a key that has the scope `platform` can create a key with it.", scope="platform")
    made = await create.create_key(tx, caller.tenant_id, body.name, body.scopes, now, expires_at=body.expires_at)
    shown = show_key(made.row)
    await audit.record(tx, caller, caller.tenant_id, "key.created", shown["id"], now)
    return answer({**shown, "secret": made.secret}, 201, location=f"/v1/keys/{shown['id']}")


@api.get("/keys", response_model=KeyPage)
async def list_keys(caller: Admin, tx: InTx, now: Now, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The keys without their secrets. The audit log tells who read them."""
    page = Page(limit, cursor)
    rows = await sql.list_keys(tx, caller.tenant_id, page)
    await audit.record(tx, caller, caller.tenant_id, "keys.read", ids.show("tenant", caller.tenant_id), now)
    return answer(page.answer(rows, show_key))


@api.get("/keys/{key_id}", response_model=KeyOut, responses=declared(KeyNotFound))
async def get_key(key_id: KeyId, caller: Admin, tx: InTx, now: Now) -> Response:
    """A key without its secret. The audit log tells who read it."""
    row = await sql.key(tx, caller.tenant_id, key_id)
    if row is None:
        raise KeyNotFound()
    await audit.record(tx, caller, caller.tenant_id, "key.read", ids.show("key", key_id), now)
    return answer(show_key(row), version=row.version, moved=rfc3339(row.last_used_at))


@api.delete("/keys/{key_id}", response_model=KeyOut, responses=declared(KeyNotFound, VersionConflict))
async def revoke_key(key_id: KeyId, caller: Admin, tx: InTx, now: Now, expected: Expected) -> Response:
    """Revoke a key: this process refuses it at once, others within five seconds."""
    found = await sql.key(tx, caller.tenant_id, key_id, lock=True)
    if found is None:
        raise KeyNotFound()
    versions.check(expected, found.version)
    row = await sql.revoke_key(tx, caller.tenant_id, key_id, now)
    if row is None:
        raise KeyNotFound("The key is revoked already.")
    tx.after_commit.append(auth.clear_cache)
    await audit.record(tx, caller, caller.tenant_id, "key.revoked", ids.show("key", key_id), now)
    return answer(show_key(row), version=row.version)
