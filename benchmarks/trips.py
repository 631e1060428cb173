"""Round trips to the database, counted in PostgreSQL's own log in a small run of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.bench import Bench

SAID = re.compile(r"LOG:  (?:execute [^:]+|statement): (.*)")
ASIDE = re.compile(r"pg_notify|LISTEN|pg_catalog|(FROM|UPDATE) keys|statement_timeout|ALTER")  # wake-ups, start, keys
WARM = 8


def round_trips(bench: Bench, dsn: str, requests: Sequence[bytes]) -> tuple[float, list[str]]:
    """Statements for each request, BEGIN and COMMIT among them, and the beginnings of those of the last request."""
    name = dsn.partition("?")[0].rpartition("/")[2]
    bench.database.run(dsn, f"ALTER DATABASE \"{name}\" SET log_statement = 'all'")
    try:
        with bench.service(dsn, "api") as server:
            bench.load(server, requests[:WARM], 201, connections=1)
            before = bench.database.log_size()
            bench.load(server, requests[WARM:], 201, connections=1)
            said = [line for line in SAID.findall(bench.database.log_since(before)) if not ASIDE.search(line)]
    finally:
        bench.database.run(dsn, f'ALTER DATABASE "{name}" RESET log_statement')
    each = len(said) / len(requests[WARM:])
    return each, [line.strip()[:60] for line in said[-round(each) :]]
