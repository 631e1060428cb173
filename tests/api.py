"""An HTTP client of the application, running in this process on a real database."""

from __future__ import annotations

import itertools
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from fastapi import FastAPI

from app.clock import Clock
from app.commands.openapi import field_codes
from app.policies.publish import publish
from app.policy.codes import TABLE
from app.policy.document import Policy
from app.problem import catalogue
from app.settings import Role, Settings
from app.tenants.create import create_key, create_tenant
from app.web import auth
from app.web.application import create_app

NUMBERS = itertools.count(1)
# What an entry of `errors` may have as its code, by docs/errors.md.
KNOWN_CODES = {
    *(code for code, _, _ in TABLE),
    *(code for codes in field_codes().values() for code in codes),
    *(each.code for each in catalogue()),
}
sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]  # httpx would look for it at each request


class MovableClock(Clock):
    """A clock that a test moves."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = timedelta()

    def offset(self) -> timedelta:
        return self.ahead


class Api:
    """An HTTP client with an admin key of a fresh tenant, and the steps that many tests begin with."""

    def __init__(self, app: FastAPI, client: httpx.AsyncClient, key: str, tenant_id: Any) -> None:
        self.app, self.client, self.key, self.tenant_id = app, client, key, tenant_id
        self.clock: MovableClock = app.state.clock

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def ago(self, **span: float) -> str:
        """A past instant in the format of a request: `ago(days=3)`."""
        return (self.now - timedelta(**span)).isoformat().replace("+00:00", "Z")

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        actor: str | None = None,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        """Send one request, with the admin key unless `key` is given; `actor` is a user's id."""
        sent = {"Authorization": f"Bearer {key or self.key}", **({"Baton-Actor": actor} if actor else {})}
        if body is not None:
            options["json"] = body
        answer = await self.client.request(method, path, headers={**sent, **(headers or {})}, **options)
        if answer.headers.get("content-type") == "application/problem+json" and method != "HEAD":
            told = {fault["code"] for fault in answer.json()["errors"]}
            assert told <= KNOWN_CODES, f"not in docs/errors.md: {told - KNOWN_CODES}"
        return answer

    async def get(self, path: str, **options: Any) -> Any:
        """The body of a GET that must return 200."""
        answer = await self.call("GET", path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any, *, status: int = 201, **options: Any) -> Any:
        """The body of a POST that must return `status`."""
        answer = await self.call("POST", path, body, **options)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def user(self, role: str, **members: Any) -> str:
        """Create a user with that role and return the id."""
        n = next(NUMBERS)
        made = await self.post(
            "/v1/users", {"name": f"{role} {n}", "email": f"{role}{n}@acme.example", "role": role, **members}
        )
        return str(made["id"])

    async def lead(self, **fields: Any) -> dict[str, Any]:
        """Create a lead; an e-mail address is generated unless one is given."""
        fields.setdefault("email", f"person{next(NUMBERS)}@company{next(NUMBERS)}.example")
        answer = await self.call("POST", "/v1/leads", {"fields": fields})
        assert answer.status_code in (200, 201), answer.text
        return dict(answer.json())

    async def add_activity(self, lead: dict[str, Any], type_: str, **members: Any) -> dict[str, Any]:
        """Record an activity of the lead."""
        return dict(await self.post(f"/v1/leads/{lead['id']}/activities", {"type": type_, **members}))

    async def mql(self, **fields: Any) -> dict[str, Any]:
        """A lead that became an MQL by the policy: fit 50 and a demo request."""
        lead = await self.lead(job_title="Director", employees=120, industry="software", **fields)
        await self.add_activity(lead, "demo_request")
        return await self.reload(lead)

    async def reload(self, lead: dict[str, Any]) -> dict[str, Any]:
        return dict(await self.get(f"/v1/leads/{lead['id']}"))

    async def ask(self, lead: dict[str, Any], action: str, actor: str | None = None, **members: Any) -> httpx.Response:
        """Request a transition and return the response, whatever its status."""
        headers = members.pop("headers", None)
        path = f"/v1/leads/{lead['id']}/transitions"
        return await self.call("POST", path, {"action": action, **members}, actor=actor, headers=headers)

    async def steps(self, lead: dict[str, Any]) -> list[tuple[str | None, str]]:
        """The history of a lead as (from, to)."""
        rows = (await self.get(f"/v1/leads/{lead['id']}/transitions"))["data"]
        return [(row["from"], row["to"]) for row in rows]

    async def publish(self, policy: Policy) -> None:
        """Make another policy the active one of this tenant."""
        async with self.app.state.engine.begin() as tx:
            await publish(tx, self.tenant_id, policy, self.now)


@asynccontextmanager
async def running(settings: Settings, policy: Any = "waterfall", roles: Sequence[Role] = ()) -> AsyncIterator[Api]:
    """The application with a fresh tenant; `roles` are its background workers (none: the test calls them itself)."""
    auth.clear_cache()
    app = create_app(settings.model_copy(update={"roles": roles}))
    app.state.clock = MovableClock()
    async with app.router.lifespan_context(app):
        async with app.state.engine.begin() as tx:
            now = datetime.now(UTC)
            tenant_id = await create_tenant(tx, "acme", policy, now)
            key = await create_key(tx, tenant_id, "tests", ("admin", "platform"), now)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://baton.example") as client:
            yield Api(app, client, key.secret, tenant_id)
