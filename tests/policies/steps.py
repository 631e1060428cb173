"""The steps from a document to an active policy, and through the work that follows an activation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from app.journeys.refresh import refresh_due
from app.policies.schedule import schedule_leads
from app.policy.document import Policy
from tests.api import Api
from tests.rules.make import document as document_of

Shown = dict[str, Any]


async def proposed(api: Api, document: Mapping[str, Any]) -> Shown:
    """A policy that waits for approvals."""
    draft = await api.post("/v1/policies", document)
    return dict(await api.post(f"/v1/policies/{draft['id']}/proposal", None, status=200))


async def approve(api: Api, policy: Shown, *roles: str) -> Shown:
    """The policy after an approval by a new user of each role."""
    for role in roles:
        policy = await api.post(f"/v1/policies/{policy['id']}/approvals", None, status=200, actor=await api.user(role))
    return policy


async def approved(api: Api, document: Mapping[str, Any]) -> Shown:
    """A policy that can be activated."""
    return await approve(api, await proposed(api, document), "marketing", "sdr")


async def ask_activation(api: Api, policy: Shown, **members: Any) -> httpx.Response:
    return await api.call("POST", f"/v1/policies/{policy['id']}/activation", members)


async def activated(api: Api, document: Policy | Mapping[str, Any], **members: Any) -> Shown:
    """A new active policy, and all leads evaluated by it."""
    policy = await approved(api, document_of(document) if isinstance(document, Policy) else document)
    answer = await ask_activation(api, policy, **members)
    assert answer.status_code == 200, answer.text
    await settle(api)
    return dict(answer.json())


async def settle(api: Api) -> None:
    """What workers do after an activation: all leads are scheduled, and evaluated."""
    while await schedule_leads(api.app.state.engine, api.now):
        pass
    while await refresh_due(api.app.state.engine, api.clock.now):
        pass
