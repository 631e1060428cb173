"""/v1/policies: a tenant's policy versions, from draft to active (docs/policies.md)."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Response
from starlette.exceptions import HTTPException

from app.database.transaction import Record, Tx
from app.errors import (
    AlreadyApproved,
    ApprovalsMissing,
    HumanRequired,
    MappingRequired,
    PolicyHasFaults,
    PolicyNotFound,
    RoleNotAllowed,
    StateConflict,
    UnknownTeam,
    VersionConflict,
)
from app.policies import activate, approve, draft, sql
from app.policies.schemas import (
    PolicyActivation,
    PolicyDocument,
    PolicyOut,
    PolicyPage,
    PolicyState,
    show_policy,
    show_summary,
)
from app.web.auth import Caller, allowed
from app.web.fields import PolicyId, answer
from app.web.pages import Cursor, Limit, Page
from app.web.problems import declared, router
from app.web.transacted import InTx, Now
from app.web.versions import Expected

api = router("/v1/policies", "policies")
Reader = Annotated[Caller, allowed("policy:read")]
Writer = Annotated[Caller, allowed("policy:write")]
NOW: Final = PolicyActivation()
WRITE: Final = (PolicyNotFound, VersionConflict, StateConflict, RoleNotAllowed)


async def _answer(tx: Tx, row: Record, status: int = 200, **options: Any) -> Response:
    approvals = await sql.approvals_of(tx, row.tenant_id, row.id)
    return answer(show_policy(row, approvals), status, version=row.version, **options)


@api.get("", response_model=PolicyPage)
async def list_policies(
    caller: Reader, tx: InTx, state: PolicyState | None = None, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    page = Page(limit, cursor, filters={"state": state})
    return answer(page.answer(await sql.list_policies(tx, caller.tenant_id, page, state), show_summary))


@api.post("", status_code=201, response_model=PolicyOut, responses=declared(PolicyHasFaults, RoleNotAllowed))
async def create_policy(body: PolicyDocument, caller: Writer, tx: InTx, now: Now) -> Response:
    """Create a draft from a whole policy document. A document with faults is refused as a whole."""
    row = await draft.create_draft(tx, caller, body, now)
    location = f"/v1/policies/{show_summary(row)['id']}"
    return await _answer(tx, row, 201, location=location)


@api.get("/active", response_model=PolicyOut)
async def get_active_policy(caller: Reader, tx: InTx) -> Response:
    """The active policy: every journey follows it, unless pinned to an earlier version."""
    return await _answer(tx, await sql.active_policy(tx, caller.tenant_id))


@api.api_route("/active", methods=["PUT", "DELETE"], include_in_schema=False)
@api.api_route("/schema", methods=["PUT", "DELETE"], include_in_schema=False)
async def refuse_change() -> Response:
    """These paths are read only; `/{policy_id}`, which takes these methods, would match them."""
    raise HTTPException(405)


@api.get("/{policy_id}", response_model=PolicyOut, responses=declared(PolicyNotFound))
async def get_policy(policy_id: PolicyId, caller: Reader, tx: InTx) -> Response:
    row = await sql.policy(tx, caller.tenant_id, policy_id)
    if row is None:
        raise PolicyNotFound()
    return await _answer(tx, row)


@api.put("/{policy_id}", response_model=PolicyOut, responses=declared(*WRITE, PolicyHasFaults))
async def put_policy(
    policy_id: PolicyId, body: PolicyDocument, caller: Writer, tx: InTx, now: Now, expected: Expected
) -> Response:
    """Replace the document of a draft or a proposed policy, which becomes a draft again, without its approvals."""
    return await _answer(tx, await draft.edit(tx, caller, policy_id, body, expected, now))


@api.delete("/{policy_id}", status_code=204, responses=declared(*WRITE))
async def delete_policy(policy_id: PolicyId, caller: Writer, tx: InTx, now: Now, expected: Expected) -> Response:
    """Delete a draft."""
    await draft.delete(tx, caller, policy_id, expected, now)
    return Response(status_code=204)


@api.post("/{policy_id}/proposal", response_model=PolicyOut, responses=declared(*WRITE))
async def propose_policy(policy_id: PolicyId, caller: Writer, tx: InTx, now: Now, expected: Expected) -> Response:
    """Propose a draft, so that both sides can approve it."""
    return await _answer(tx, await approve.propose(tx, caller, policy_id, expected, now))


@api.post(
    "/{policy_id}/approvals", response_model=PolicyOut, responses=declared(*WRITE, HumanRequired, AlreadyApproved)
)
async def approve_policy(policy_id: PolicyId, caller: Writer, tx: InTx, now: Now, expected: Expected) -> Response:
    """Approve a proposed policy, as the person in `Baton-Actor`, for marketing or for sales (sdr, ae, manager)."""
    return await _answer(tx, await approve.approve(tx, caller, policy_id, expected, now))


@api.post(
    "/{policy_id}/activation",
    response_model=PolicyOut,
    responses=declared(*WRITE, ApprovalsMissing, MappingRequired, UnknownTeam, PolicyHasFaults),
)
async def activate_policy(
    policy_id: PolicyId, caller: Writer, tx: InTx, now: Now, expected: Expected, body: PolicyActivation = NOW
) -> Response:
    """Activate a policy that both sides approved, or plan it for `effective_from`. All leads are evaluated by it."""
    row = await activate.activate(tx, caller, policy_id, body.effective_from, body.mapping, expected, now)
    return await _answer(tx, row)
