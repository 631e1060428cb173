"""What the client of `baton torture` notes as wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from app.commands.torture.clients import Api
from app.commands.torture.ledger import Ledger

REFUSED = {"code": "request_invalid", "detail": "no", "errors": [{"code": "nothing_to_send"}]}


@pytest.mark.parametrize(
    ("status", "may", "is_wrong"),
    [
        (422, "nothing_to_send", False),
        (422, None, True),
        (422, "too_many", True),
        (409, None, False),
        (404, None, True),
    ],
)
async def test_a_refusal_is_wrong_unless_it_is_a_conflict_or_of_the_code_that_the_request_may_meet(
    tmp_path: Path, status: int, may: str | None, is_wrong: bool
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response(REFUSED if status == 422 else {"code": "other"}, status=status)

    app, log = web.Application(), tmp_path / "ledger.jsonl"
    app.router.add_post("/replays", refuse)
    async with TestClient(TestServer(app)) as client:
        api = Api(client.session, [str(client.make_url("")).rstrip("/")], Ledger(log))
        assert await api.send("POST", "/replays", {}, may=may) is None
    assert ('"what":"wrong"' in log.read_text()) is is_wrong
