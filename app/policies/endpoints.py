"""/v1/policies: read a tenant's policy versions."""

from __future__ import annotations

from typing import Annotated

from fastapi import Response

from app.errors import PolicyNotFound
from app.policies import sql
from app.policies.schemas import PolicyOut, PolicyPage, show_policy, show_summary
from app.web.auth import Caller, allowed
from app.web.fields import PolicyId, answer
from app.web.pages import Cursor, Limit, Page
from app.web.problems import declared, router
from app.web.transacted import InTx

api = router("/v1/policies", "policies")
Reader = Annotated[Caller, allowed("policy:read")]


@api.get("", response_model=PolicyPage)
async def list_policies(caller: Reader, tx: InTx, limit: Limit = 50, cursor: Cursor = None) -> Response:
    page = Page(limit, cursor)
    return answer(page.answer(await sql.list_policies(tx, caller.tenant_id, page), show_summary))


@api.get("/active", response_model=PolicyOut)
async def get_active_policy(caller: Reader, tx: InTx) -> Response:
    """The active policy: every journey follows it, unless pinned to an earlier version."""
    return answer(show_policy(await sql.active_policy(tx, caller.tenant_id)))


@api.get("/{policy_id}", response_model=PolicyOut, responses=declared(PolicyNotFound))
async def get_policy(policy_id: PolicyId, caller: Reader, tx: InTx) -> Response:
    row = await sql.policy(tx, caller.tenant_id, policy_id)
    if row is None:
        raise PolicyNotFound()
    return answer(show_policy(row))
