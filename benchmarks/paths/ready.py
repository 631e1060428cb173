"""A database with MQLs, created by form fills, and the users who work on them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from app import ids
from benchmarks.bench import PROCESSED, Bench, new_source, new_user, wait_for_count
from benchmarks.people import form_fills


@dataclass(frozen=True, slots=True)
class Ready:
    """A database with MQLs, an SDR and an AE."""

    dsn: str
    sdr: str
    ae: str
    leads: list[UUID]

    def shown(self, first: int, end: int) -> list[str]:
        """Public ids of leads `first` to `end`."""
        return [ids.show("lead", one) for one in self.leads[first:end]]


def make_ready(bench: Bench, name: str, count: int) -> Ready:
    """Create `count` leads, each qualified by a demo request."""
    dsn = bench.database.create(name)
    with bench.service(dsn, "api,work") as server:
        ingest = new_source(server)
        sdr, ae = new_user(server, "sdr"), new_user(server, "ae")
        bench.load(server, form_fills(ingest, count, ready=True), 202)
        wait_for_count(bench.database, dsn, PROCESSED, count)
    rows = bench.database.run(dsn, "SELECT id FROM leads WHERE stage = 'mql' ORDER BY id")
    bench.database.run(dsn, "VACUUM ANALYZE")
    return Ready(dsn, sdr, ae, [UUID(str(row["id"])) for row in rows])
