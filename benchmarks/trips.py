"""Counts round trips to the database per request, from PostgreSQL's statement log in a separate small run."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.bench import Bench

LOGGED = re.compile(r"LOG:  (?:execute [^:]+|statement): (.*)")
# Statements of wake-ups, startup, new connections and the cache of API keys, which no request causes.
IGNORED = re.compile(
    r"pg_notify|LISTEN|pg_catalog|(FROM|UPDATE) keys|statement_timeout|transaction_timeout|ALTER"
    r"|show |select current_schema|typeinfo_tree"
)
WARM = 8


def round_trips(bench: Bench, dsn: str, requests: Sequence[bytes]) -> tuple[float, list[str]]:
    """Statements per request, BEGIN and COMMIT included, and the first characters of those of the last request."""
    name = dsn.partition("?")[0].rpartition("/")[2]
    bench.database.run(dsn, f"ALTER DATABASE \"{name}\" SET log_statement = 'all'")
    try:
        with bench.service(dsn, "api") as server:
            bench.load(server, requests[:WARM], 201, connections=1)
            before = bench.database.log_size()
            bench.load(server, requests[WARM:], 201, connections=1)
            statements = [line for line in LOGGED.findall(bench.database.log_since(before)) if not IGNORED.search(line)]
    finally:
        bench.database.run(dsn, f'ALTER DATABASE "{name}" RESET log_statement')
    per_request = len(statements) / len(requests[WARM:])
    return per_request, [line.strip()[:60] for line in statements[-round(per_request) :]]
