"""Sends submissions to the ingest endpoint of the application under test."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import text

from app.sources.document import usable_secrets
from app.sources.preset import make_document
from app.submissions.process import process_batch
from tests.api import Api

SECRET = "test-secret-1"


@dataclass(frozen=True)
class Sender:
    """Posts submissions to one source."""

    api: Api
    source: dict[str, Any]

    @property
    def path(self) -> str:
        return f"/v1/ingest/{self.source['key']}"

    async def store(self, overrides: dict[str, Any]) -> None:
        """Stores overrides as an older release did, which did not refuse them."""
        async with self.api.app.state.engine.begin() as tx:
            await tx.execute(
                text(
                    "UPDATE sources SET version = version + 1, overrides = CAST(:overrides AS jsonb) WHERE key = :key"
                ),
                {"overrides": json.dumps(overrides), "key": self.source["key"]},
            )

    async def post(self, body: bytes | str | dict[str, Any], **headers: str) -> httpx.Response:
        """Posts a body; a dict as JSON. `_` in a header name stands for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict):
            body, sent = json.dumps(body).encode(), {"Content-Type": "application/json", **sent}
        return await self.api.client.post(self.path, content=body, headers=sent)

    async def post_and_process(self, body: bytes | str | dict[str, Any], **headers: str) -> dict[str, Any]:
        """Posts a body, expects 202, processes it, and returns the submission."""
        answer = await self.post(body, **headers)
        assert answer.status_code == 202, answer.text
        await process(self.api)
        return await self.submission(answer.json()["submission"]["id"])

    async def submission(self, submission_id: str) -> dict[str, Any]:
        return dict(await self.api.get(f"/v1/submissions/{submission_id}"))


async def make_sender(api: Api, preset: str = "generic", **members: Any) -> Sender:
    """Creates a source of this preset, with the signing secret of the recorded requests where it verifies one."""
    if "signing" in usable_secrets(make_document(preset, members.get("overrides", {}))):
        members.setdefault("secrets", {"signing": SECRET})
    body = {"name": f"{preset} {uuid4().hex[:6]}", "preset": preset, **members}
    return Sender(api, await api.post("/v1/sources", body))


async def process(api: Api) -> int:
    """Processes all waiting submissions and returns their number."""
    total = 0
    while number := await process_batch(api.app.state.engine, api.clock.now):
        total += number
    return total


async def count(api: Api, question: str, **values: Any) -> int:
    """The number that a query returns."""
    async with api.app.state.engine.connect() as tx:
        return int((await tx.execute(text(question), values)).scalar_one())


def person(**members: Any) -> dict[str, Any]:
    """The body of a generic form with a new e-mail address."""
    return {"email": f"{uuid4().hex[:10]}@nordsoft.example", "name": "Ana Țepeș", **members}


def typeform_signature(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
