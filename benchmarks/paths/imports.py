"""Imports: a list is stored, then its rows become leads; against COPY of the same rows into a table of texts."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import asyncpg

from benchmarks.bench import Bench
from benchmarks.cpu import Meter, memory_mib, peak_mib
from benchmarks.figures import Line, Run, ratio_of
from benchmarks.processes import ADMIN_KEY, Failed, Server

COLUMNS = ("First name", "Last name", "E-mail", "Telephone", "Company", "Job title", "Country", "Newsletter")
PIECE_ROWS = 1_000
SECONDS = 900.0


def measure(bench: Bench) -> list[Line]:
    """Memory is flat when ten times the rows take as much of it. The rates have no target."""
    count, many = bench.scale(20_000, 3_000), bench.scale(300_000, 30_000)
    dsn = bench.database.create("imports")
    with bench.service(dsn, "api") as server:
        source = new_source(server)
        small = _received(bench, server, source, many // 10)
        large = _received(bench, server, source, many)
    grown = ratio_of(large.peak_mib or 0.0, small.peak_mib or 0.0)
    copied = asyncio.run(_copy(bench, dsn, many))
    dsn = bench.database.create("processed_imports")
    with bench.service(dsn, "api,work", "import") as server:
        source = new_source(server)
        _processed(bench, server, source, 300, "a")
        done = bench.profile(server, "import", lambda: _processed(bench, server, source, count, "b"))
        dry = _dry_run(bench, server, source, count)
    return [
        Line(
            "import",
            f"{many:,} rows are received and stored",
            large,
            f"{ratio_of(large.rate, copied.rate):.2f} × COPY; {grown:.2f} × the memory of a tenth of the rows",
            "flat: ≤ 1.10 ×",
            grown <= 1.10,
        ),
        Line(
            "import",
            f"{count:,} rows, until each has its verdict and lead",
            done,
            f"{ratio_of(done.rate, copied.rate):.4f} × COPY",
        ),
        Line("import", f"dry run of {count:,} rows", dry),
        Line("import", "bare COPY of the same rows into a table of texts", copied),
    ]


def measure_large(bench: Bench) -> list[Line]:
    """A list is processed in flat memory when the service is as large at its end as after a tenth of its rows."""
    count = bench.scale(100_000, 10_000)
    with bench.service(bench.database.create("large_import"), "api,work") as server:
        source = new_source(server)
        meter = Meter(server.pid, bench.database.pid)
        made = post(server, f"source_id={source}", csv_of(count, "l"))
        early = _memory_after(server, made, count // 10)
        late = _memory_after(server, made, count)
        run = meter.run(count)
    grown = ratio_of(late, early)
    name = f"{count:,} rows, until each has its verdict and lead"
    shown = f"{early:.0f} MiB after a tenth, {late:.0f} MiB at the end: {grown:.2f} ×"
    return [Line("large-list", name, run, shown, "flat: ≤ 1.10 ×", grown <= 1.10)]


def _memory_after(server: Server, made: Any, rows: int) -> float:
    """The memory of the service once so many rows of the list have their verdicts."""
    done, moved_at = 0, time.monotonic()
    while done < rows:
        time.sleep(0.5)
        found = server.call("GET", f"/v1/imports/{made['id']}")["rows_done"]
        if found > done:
            done, moved_at = found, time.monotonic()
        elif time.monotonic() > moved_at + SECONDS:
            raise Failed(f"no row after {done} of {rows} was processed in {SECONDS:.0f} s")
    return memory_mib(server.pid)


def new_source(server: Server) -> str:
    """A source for lists; its id."""
    found: str = server.call("POST", "/v1/sources", {"name": "Lists", "preset": "html-form"})["id"]
    return found


def rows(count: int, name: str = "p") -> Iterator[tuple[str, ...]]:
    """People whom nobody knows yet."""
    for n in range(count):
        who = f"{name}{n}"
        yield (
            *(f"Ana{n % 500}", f"Țepeș{n}", f"{who}@firm{n % 1000}.example", f"+40721{n:06}", f"Firm {n % 1000}"),
            *("Head of Production", "Romania", "yes"),
        )


def csv_of(count: int, name: str) -> Iterator[bytes]:
    """The list as CSV, in pieces."""
    lines = [",".join(COLUMNS)]
    for row in rows(count, name):
        lines.append(",".join(row))
        if len(lines) >= PIECE_ROWS:
            yield "".join(f"{line}\n" for line in lines).encode()
            lines.clear()
    yield "".join(f"{line}\n" for line in lines).encode()


def post(server: Server, query: str, pieces: Iterator[bytes]) -> Any:
    """Post a list; the parsed answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "text/csv"}
    connection.request("POST", f"/v1/imports?{query}", pieces, headers, encode_chunked=True)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    if answer.status not in (200, 202):
        raise Failed(f"an import was answered {answer.status}: {body}")
    return body


def _received(bench: Bench, server: Server, source: str, count: int) -> Run:
    meter = Meter(server.pid, bench.database.pid)
    post(server, f"source_id={source}", csv_of(count, f"r{count}x"))
    run = meter.run(count)
    return Run(count, run.seconds, None, None, run.app_us, run.pg_us, peak_mib(server.pid))


def _processed(bench: Bench, server: Server, source: str, count: int, name: str) -> Run:
    meter = Meter(server.pid, bench.database.pid)
    made = post(server, f"source_id={source}", csv_of(count, name))
    ends = time.monotonic() + SECONDS
    while (found := server.call("GET", f"/v1/imports/{made['id']}"))["state"] != "completed":
        if time.monotonic() > ends:
            raise Failed(f"only {found['rows_done']} of {count} rows after {SECONDS:.0f} s")
        time.sleep(0.1)
    return meter.run(count)


def _dry_run(bench: Bench, server: Server, source: str, count: int) -> Run:
    meter = Meter(server.pid, bench.database.pid)
    post(server, f"source_id={source}&dry_run=true", csv_of(count, "d"))
    return meter.run(count)


async def _copy(bench: Bench, dsn: str, count: int) -> Run:
    """COPY from this process, of which the CPU is not measured."""
    connection = await asyncpg.connect(dsn)
    names = [f"c{n}" for n in range(len(COLUMNS))]
    await connection.execute(f"CREATE TABLE copied ({', '.join(f'{name} text' for name in names)})")
    meter = Meter(bench.database.pid, bench.database.pid)
    await connection.copy_records_to_table("copied", records=rows(count), columns=names)
    run = meter.run(count)
    await connection.close()
    return Run(count, run.seconds, None, None, 0.0, run.pg_us)
