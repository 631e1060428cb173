"""A list is received in memory that does not grow with it: measured in a service of its own."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.settings import Settings
from tests.api import running
from tests.bootstrap.test_serve import Start, start  # noqa: F401
from tests.imports.lists import make_lists
from tests.submissions.sender import count
from tests.waiting import TIMEOUT_SECONDS
from tests.web.test_gather_killed import KEYS

LINE = "Ana,p{n}@nordsoft.example,+40721555012,Nordsoft Industries SRL,Head of Production,Romania\n"
SMALL, LARGE = 10_000, 120_000
ALLOWED_MIB = 24  # the rows of the larger list would take more than 100


def pieces(rows: int) -> Iterator[bytes]:
    yield b"Name,E-mail,Phone,Company,Job title,Country\n"
    for start_ in range(0, rows, 1_000):
        yield "".join(LINE.format(n=n) for n in range(start_, start_ + 1_000)).encode()


def post(address: str, key: str, query: str, rows: int) -> Any:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=TIMEOUT_SECONDS)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "text/csv"}
    connection.request("POST", f"/v1/imports?{query}", pieces(rows), headers, encode_chunked=True)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    assert answer.status == 202, body
    return body


def peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


async def test_twelve_times_the_rows_are_received_in_the_same_memory(
    settings: Settings,
    dsn: str,
    start: Start,  # noqa: F811
) -> None:
    async with running(settings) as api:
        source = (await make_lists(api)).source
        environment = {"BATON_DATABASE_URL": dsn, "BATON_SECRET_KEYS": KEYS, "BATON_ROLES": "api"}
        service = await asyncio.to_thread(start("serve", **environment).ready)
        query = f"source_id={source['id']}"
        await asyncio.to_thread(post, service.address, api.key, query, SMALL)
        before = peak_mib(service.process.pid)
        made = await asyncio.to_thread(post, service.address, api.key, query, LARGE)
        assert peak_mib(service.process.pid) - before < ALLOWED_MIB
        assert (made["rows"], made["state"]) == (LARGE, "processing")
        stored = "SELECT sum(jsonb_array_length(listed -> 'rows')) FROM submissions WHERE state = 'listed'"
        assert await count(api, stored) == SMALL + LARGE
