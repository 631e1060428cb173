"""Reads the plans of statements: what a request ran, and how many rows each plan read to answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from app.database.transaction import Database, Tx

Statement = tuple[str, tuple[Any, ...]]


@contextmanager
def statements_of(database: Database, beginning: tuple[str, ...] = ("SELECT", "WITH")) -> Iterator[list[Statement]]:
    """The SELECTs that the pool's connections run during the block, with their values, however they are sent.

    `beginning`: how the wanted statements begin, if not SELECTs alone are wanted.
    """
    ran: list[Statement] = []

    def note(query: str, values: Any) -> None:
        if query.lstrip().startswith(beginning) and "pg_catalog" not in query:
            ran.append((query, tuple(values)))

    def logged(record: Any) -> None:
        note(record.query, record.args)

    def built(_: Any, __: Any, query: str, values: Any, *___: Any) -> None:
        note(query, values)

    def add(connection: Any, *_: Any) -> None:
        connection.driver_connection.add_query_logger(logged)

    def remove(connection: Any, *_: Any) -> None:
        connection.driver_connection.remove_query_logger(logged)

    engine = database.engine.sync_engine
    listened = (
        (engine.pool, "checkout", add),
        (engine.pool, "checkin", remove),
        (engine, "before_cursor_execute", built),
    )
    for one in listened:
        event.listen(*one)
    try:
        yield ran
    finally:
        for one in listened:
            event.remove(*one)


async def explained(tx: Tx, statement: Statement) -> dict[str, Any]:
    """The plan of a statement, with what it read when run with these values."""
    query, values = statement
    rows = await tx.driver.fetch(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {query}", *values)
    plan: dict[str, Any] = (json.loads(rows[0][0]) if isinstance(rows[0][0], str) else rows[0][0])[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All nodes of a plan."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def rows_read(plan: dict[str, Any]) -> float:
    """The rows that all scans of tables and indexes read, those that a filter removed included."""
    removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    return sum(
        (node["Actual Rows"] + sum(node.get(name, 0) for name in removed)) * node["Actual Loops"]
        for node in nodes(plan)
        if "Scan" in node["Node Type"] and ("Relation Name" in node or node["Node Type"] == "Bitmap Index Scan")
    )


def outline(plan: dict[str, Any]) -> str:
    """The scans of a plan in one line, for the message of a failed test."""
    scans = [node for node in nodes(plan) if "Scan" in node["Node Type"]]
    return ", ".join(
        f"{node['Node Type']} {node.get('Index Name') or node.get('Relation Name', '')} "
        f"{node.get('Actual Rows', '')}+{node.get('Rows Removed by Filter', 0)}"
        for node in scans
    )
