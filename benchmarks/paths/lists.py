"""Lists: search and filters over a million leads of one tenant, one request at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import quote

from app.ids import new_id, show
from benchmarks.bench import Bench
from benchmarks.figures import Line
from benchmarks.many_leads import FIRMS, FIRST, LAST, fill_leads
from benchmarks.processes import ADMIN_KEY, Server

GET = "GET /v1/leads?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n"
STAGES = ("inquiry",) * 960 + ("mql",) * 39 + ("sal",)
TARGET_MS = 50.0


def measure(bench: Bench) -> list[Line]:
    """Target: 50 ms at the 99th percentile."""
    count = bench.scale(1_000_000, 50_000)
    dsn = bench.database.create("many_leads")
    with bench.service(dsn, "api"):
        tenant_id = bench.database.value(dsn, "SELECT id FROM tenants")  # made at the first start
    sources = [new_id()] * 999 + [new_id()]
    asyncio.run(fill_leads(dsn, tenant_id, count, sources=sources, owners=[None], stages=STAGES))
    rare = ("temperature=hot", "campaign=rare", "campaign=none", "stage=sal", f"source={show('source', sources[-1])}")
    sorts = ("", "&sort=updated_at", "&sort=stage_entered_at")
    with bench.service(dsn, "api") as server:
        return [
            _line(bench, server, f"q=, {count:,} leads", [f"q={quote(one)}" for one in searches()]),
            _line(bench, server, "filters that few or no leads match", [a + b for a in rare for b in sorts]),
            _line(bench, server, "filters that most leads match", [f"stage=inquiry{sort}" for sort in sorts]),
        ]


def searches() -> list[str]:
    """What people type: a first or last name and its beginnings, a company, an address, or two words of these."""
    first, last, firms = (words.split() for words in (FIRST, LAST, FIRMS))
    pairs = [f"{a} {b}" for a, b in zip(first, last, strict=False)]
    addresses = [f"{a}.{b}{7 * n}".lower() for n, (a, b) in enumerate(zip(first, last, strict=False))]
    of_firms = [f"{firm}{100 + n}" for n, firm in enumerate(firms)] + [
        f"{a} {b}" for a, b in zip(last, firms, strict=False)
    ]
    starts = [word[:length] for word in first + firms for length in (3, 4)]
    return [*first, *last, *firms, *pairs, *addresses, *of_firms, *starts, "gmail.com", "gmbh", "xyz", "a", "m"]


def _line(bench: Bench, server: Server, what: str, queries: Sequence[str]) -> Line:
    requests = [GET.format(query=query, key=ADMIN_KEY).encode() for query in queries]
    bench.load(server, requests, 200, connections=1)
    run = bench.load(server, requests * 3, 200, connections=1)
    met = (run.p99_ms or 0.0) <= TARGET_MS
    return Line("lists", what, run, target=f"p99 ≤ {TARGET_MS:.0f} ms", met=met)
