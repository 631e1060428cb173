"""What a policy says: its differences from another one, its diagram, and the JSON Schema of all documents."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Header, Query, Response

from app import ids
from app.database.plain_json import write_json
from app.database.transaction import Record, Tx
from app.errors import NotAcceptable, PolicyHasFaults, PolicyNotFound
from app.policies import sql
from app.policies.compared import PolicyDiff, show_diff
from app.policy.diagram import mermaid
from app.policy.document import Policy
from app.policy.drawing import svg
from app.policy.json_schema import json_schema
from app.policy.read import read_document
from app.web.accept import best
from app.web.auth import Caller, allowed
from app.web.fields import PolicyId, answer
from app.web.problems import declared, router
from app.web.transacted import InTx

api = router("/v1/policies", "policies")
Reader = Annotated[Caller, allowed("policy:read")]
DIAGRAMS: Final = {"image/svg+xml": svg, "text/vnd.mermaid": mermaid}
TEXT: Final = {"schema": {"type": "string"}}
DIAGRAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The diagram.", "content": dict.fromkeys(DIAGRAMS, TEXT)}
}
SCHEMA: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The JSON Schema.", "content": {"application/schema+json": {"schema": {"type": "object"}}}}
}


@api.get("/schema", response_class=Response, responses=SCHEMA)
async def get_policy_schema(caller: Reader) -> Response:
    """The JSON Schema of a policy document, with which editors complete and check what is written."""
    return Response(write_json(json_schema()), media_type="application/schema+json")


@api.get("/{policy_id}/diff", response_model=PolicyDiff, responses=declared(PolicyNotFound))
async def get_policy_diff(
    policy_id: PolicyId,
    caller: Reader,
    tx: InTx,
    against: Annotated[
        PolicyId | None, Query(description="Compared with this version; left out: the active one.")
    ] = None,
) -> Response:
    """What this version has that another one has not, in words: every difference, with its place and both values."""
    row = await find(tx, caller, policy_id)
    other = await find(tx, caller, against, "against") if against else await sql.active_policy(tx, caller.tenant_id)
    return answer(show_diff(row, other))


@api.get(
    "/{policy_id}/diagram",
    response_class=Response,
    responses={**DIAGRAM, **declared(PolicyNotFound, NotAcceptable, PolicyHasFaults)},
)
async def get_policy_diagram(
    policy_id: PolicyId, caller: Reader, tx: InTx, accept: Annotated[str, Header(include_in_schema=False)] = "*/*"
) -> Response:
    """Stages and actions as a picture (SVG), or as text for Mermaid, as the Accept header asks; SVG for any."""
    kind = best(accept, tuple(DIAGRAMS))
    if kind is None:
        raise NotAcceptable(f"Send Accept: {' or '.join(DIAGRAMS)}.")
    text = DIAGRAMS[kind](sound((await find(tx, caller, policy_id)).document))
    return Response(text, media_type=kind, headers={"Vary": "Accept"})


async def find(tx: Tx, caller: Caller, policy_id: PolicyId, field: str | None = None) -> Record:
    """The policy. Raises PolicyNotFound, with the parameter that names it if it is not the path that does."""
    row = await sql.policy(tx, caller.tenant_id, policy_id)
    if row is None and field is not None:
        raise PolicyNotFound.of(field, f"there is no policy {ids.show('policy', policy_id)}")
    if row is None:
        raise PolicyNotFound()
    return row


def sound(document: dict[str, Any]) -> Policy:
    """The policy of a stored document. Raises PolicyHasFaults for one that the rules of today refuse."""
    policy = read_document(document)
    if isinstance(policy, list):
        raise PolicyHasFaults(errors=[fault.entry for fault in policy])
    return policy
