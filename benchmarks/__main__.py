"""`python -m benchmarks [--quick] [--only NAME] [--profile NAME]`: measures this machine and prints one table."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console

from benchmarks import database
from benchmarks.bench import Bench, Peer
from benchmarks.figures import Line
from benchmarks.paths import (
    accept,
    backtest,
    convert,
    create,
    dead,
    deliver,
    erasure,
    imports,
    lanes,
    lists,
    many,
    mapping,
    memory,
    move,
    overload,
    process,
    replay,
    reports,
    retention,
    rivals,
    senders,
)
from benchmarks.processes import Failed
from benchmarks.table import show, show_profile

PATHS: dict[str, Callable[[Bench], list[Line]]] = {
    "accept": accept.measure,
    "process": process.measure,
    "create": create.measure,
    "transition": move.measure,
    "conversion": convert.measure,
    "delivery": deliver.measure,
    "delivery-lanes": lanes.measure,
    "memory": memory.measure,
    "overload": overload.measure,
    "import": imports.measure,
    "large-list": imports.measure_large,
    "senders": senders.measure,
    "mapping": mapping.measure,
    "lists": lists.measure,
    "many": many.measure,
    "dead": dead.measure,
    "replay": replay.measure,
    "reports": reports.measure,
    "backtest": backtest.measure,
    "erasure": erasure.measure,
    "retention": retention.measure,
    "rivals": rivals.measure,
}
# They take minutes: to fill a database, until lanes rest, to send a million events, to process a large list, to erase
# ten thousand people, to write five million events, until an outage of five minutes is over.
ONLY_WHERE_NAMED = {
    "delivery-lanes",
    "lists",
    "many",
    "dead",
    "replay",
    "large-list",
    "reports",
    "erasure",
    "retention",
    "rivals",
}
Named = Annotated[list[str] | None, typer.Option(help=f"Only these: {', '.join(PATHS)}.")]


def main(
    quick: Annotated[bool, typer.Option(help="Shorter runs: under two minutes.")] = False,
    only: Named = None,
    profile: Annotated[str | None, typer.Option(help="Measure this path and print its CPU time by layer.")] = None,
    leads: Annotated[
        int, typer.Option(help="Leads of backtest (full size: 100000), erasure (10000) and reports (2000000).")
    ] = 0,
    activities: Annotated[int, typer.Option(min=1, max=1000, help="Activities of each of these leads.")] = 10,
    peer: Annotated[
        str | None, typer.Option(help="Another system: the URL, on a local port, that creates a person.")
    ] = None,
    peer_token: Annotated[str, typer.Option(help="The bearer token for --peer.")] = "",
) -> None:
    """Measure each path and its baseline and print one table. A missed target is shown, but is no failure."""
    names = [profile] if profile else only or [name for name in PATHS if name not in ONLY_WHERE_NAMED]
    if unknown := [name for name in names if name not in PATHS]:
        raise typer.BadParameter(f"{unknown[0]} is not a path; paths are {', '.join(PATHS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the started processes are stopped
    notes, console = Console(stderr=True), Console(width=None if sys.stdout.isatty() else 200)
    lines: list[Line] = []
    failed = False
    with tempfile.TemporaryDirectory() as folder, database.started() as running:
        bench = Bench(running, quick, Path(folder) if profile else None, _peer(peer, peer_token), leads, activities)
        for name in names:
            began = time.monotonic()
            try:
                lines += PATHS[name](bench)
            except Failed as fault:
                failed = True
                lines.append(Line(name, f"could not be measured: {fault}"))
            notes.print(f"{name}: {time.monotonic() - began:.0f} s", style="dim")
    show(console, lines)
    for found in bench.profiles:
        show_profile(console, found)
    if failed:
        raise typer.Exit(1)


def _peer(url: str | None, token: str) -> Peer | None:
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "localhost") or not parts.path:
        raise typer.BadParameter("--peer needs an address such as http://127.0.0.1:8055/items/leads")
    return Peer(parts.port or 80, parts.path + (f"?{parts.query}" if parts.query else ""), token)


if __name__ == "__main__":
    typer.run(main)
