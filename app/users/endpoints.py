"""PATCH /v1/users/{user_id}; the other endpoints of users are in app/tenants."""

from __future__ import annotations

from typing import Annotated

from fastapi import Response

from app import ids
from app.errors import AlreadyExists, ManagerCycle, OwnerInvalid, UserNotFound, VersionConflict
from app.tenants import audit
from app.tenants.users import change_user
from app.users.hand_over import deactivate
from app.users.schemas import UserChange, UserChanged, show_change
from app.web.auth import Caller, allowed
from app.web.fields import UserId, answer
from app.web.problems import declared, router
from app.web.transacted import InTx, Now
from app.web.versions import Expected

api = router("/v1/users", "administration")


@api.patch(
    "/{user_id}",
    response_model=UserChanged,
    responses=declared(UserNotFound, AlreadyExists, VersionConflict, OwnerInvalid, ManagerCycle),
)
async def patch_user(
    user_id: UserId,
    body: UserChange,
    caller: Annotated[Caller, allowed("admin")],
    tx: InTx,
    now: Now,
    expected: Expected,
) -> Response:
    """Members merge; null clears team, capacity, external_id, manager_id. An inactive user cannot be an actor or owner.

    `active` false answers how many open leads and opportunities the user owns; with `hand_to` they are moved at once.
    """
    values, work = body.model_dump(exclude_unset=True, exclude={"hand_to"}), None
    if body.active is False:
        row, work = await deactivate(tx, caller, user_id, values, body.hand_to, expected, now)
    else:
        row = await change_user(tx, caller.tenant_id, user_id, values, expected, now)
    if row.updated_at == now or (work and work.is_moved):
        await audit.record(tx, caller, caller.tenant_id, "user.changed", ids.show("user", user_id), now)
    return answer(show_change(row, work), version=row.version)
