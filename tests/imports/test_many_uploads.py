"""Many lists that are posted at once are all taken, beside form fills, by a service of its own."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from app.settings import Settings
from app.web.capacity import MAX_UPLOADS
from tests.api import running
from tests.bootstrap.test_serve import Start, start  # noqa: F401
from tests.imports.lists import make_lists, xlsx
from tests.submissions.sender import count
from tests.waiting import TIMEOUT_SECONDS
from tests.web.test_gather_killed import KEYS

LISTS, ROWS, FORMS = 10, 10_000, 40
SHEETS = 12  # more than are converted at the same time


def pieces(of: int) -> Iterator[bytes]:
    yield b"Name,E-mail,Company\n"
    for first in range(0, ROWS, 1_000):
        yield "".join(f"Ana,p{of}-{n}@nordsoft.example,Nordsoft\n" for n in range(first, first + 1_000)).encode()


def post(address: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
    """Status and JSON of an answer; a body of pieces is sent as they come."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=TIMEOUT_SECONDS)
    connection.request("POST", path, body, headers, encode_chunked=not isinstance(body, bytes))
    answer = connection.getresponse()
    found = json.loads(answer.read() or "null")
    connection.close()
    return answer.status, found


async def test_lists_that_are_posted_at_once_are_all_taken_beside_form_fills(
    settings: Settings,
    dsn: str,
    start: Start,  # noqa: F811
) -> None:
    async with running(settings) as api:
        threads = ThreadPoolExecutor(LISTS + SHEETS + FORMS)
        source = (await make_lists(api)).source
        environment = {"BATON_DATABASE_URL": dsn, "BATON_SECRET_KEYS": KEYS, "BATON_ROLES": "api"}
        service = await asyncio.to_thread(start("serve", **environment).ready)
        upload, key = f"/v1/imports?source_id={source['id']}", {"Authorization": f"Bearer {api.key}"}

        async def send(path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
            return await asyncio.get_running_loop().run_in_executor(threads, post, service.address, path, headers, body)

        async def fill(n: int) -> tuple[int, Any]:
            """A form, sent again as senders do while the service has no room for it."""
            form = json.dumps({"email": f"form{n}@nordsoft.example"}).encode()
            while True:
                answer = await send(f"/v1/ingest/{source['key']}", {"Content-Type": "application/json"}, form)
                if answer[0] != 503:
                    return answer

        csv, sheet = {**key, "Content-Type": "text/csv"}, {**key, "Content-Type": "application/octet-stream"}
        workbooks = [xlsx({"A1": "E-mail", "A2": f"sheet{n}@nordsoft.example"}) for n in range(SHEETS)]
        assert LISTS + SHEETS <= MAX_UPLOADS
        uploads = [send(upload, csv, pieces(n)) for n in range(LISTS)] + [send(upload, sheet, one) for one in workbooks]
        answers, filled = await asyncio.gather(asyncio.gather(*uploads), asyncio.gather(*map(fill, range(FORMS))))
        assert [status for status, _ in answers] == [202] * (LISTS + SHEETS), answers
        assert [status for status, _ in filled] == [202] * FORMS, filled
        assert [made["rows"] for _, made in answers] == [ROWS] * LISTS + [1] * SHEETS
        stored = await count(
            api, "SELECT sum(jsonb_array_length(listed -> 'rows')) FROM submissions WHERE listed IS NOT NULL"
        )
        assert stored == LISTS * ROWS + SHEETS
