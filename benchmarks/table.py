"""Prints the table of results and the tables of profiles."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Line
from benchmarks.layers import Profile


def show(console: Console, lines: Sequence[Line]) -> None:
    """Print every line, baselines below the path they belong to."""
    table = Table(
        box=box.SIMPLE_HEAD, title="Benchmarks: 32 connections, fsync on; CPU in µs per operation", pad_edge=False
    )
    for name in ("path", "what"):
        table.add_column(name, overflow="fold")
    for name in ("per second", "p50 ms", "p99 ms", "app µs", "PostgreSQL µs", "peak MiB"):
        table.add_column(name, justify="right")
    for name in ("ratio", "target", "met"):
        table.add_column(name, overflow="fold")
    before = ""
    for line in lines:
        if line.path != before and before:
            table.add_section()
        table.add_row(
            line.path if line.path != before else "",
            line.what,
            *_figures(line),
            line.ratio,
            line.target,
            _met(line.met),
        )
        before = line.path
    console.print(table)


def _figures(line: Line) -> list[str]:
    run = line.run
    if run is None:
        return [""] * 6
    times = ["" if one is None else f"{one:.1f}" for one in (run.p50_ms, run.p99_ms)]
    peak = "" if run.peak_mib is None else f"{run.peak_mib:.0f}"
    return [f"{run.rate:,.0f}", *times, f"{run.app_us:,.0f}", f"{run.pg_us:,.0f}", peak]


def _met(met: bool | None) -> str:
    return {None: "", True: "[green]yes[/]", False: "[red]no[/]"}[met]


def show_profile(console: Console, profile: Profile) -> None:
    """Print the service's CPU time by layer, and by function with what it calls."""
    table = Table(
        box=box.SIMPLE_HEAD, title=f"{profile.name}: {profile.run.app_us:,.0f} µs of the service per operation"
    )
    for name in ("layer", "µs", "function, with what it calls", "µs "):
        table.add_column(name, justify="right" if "µs" in name else "left")
    for place in range(max(len(profile.layers), len(profile.functions))):
        row: list[str] = []
        for column in (profile.layers, profile.functions):
            row += [column[place][0], f"{column[place][1]:,.1f}"] if place < len(column) else ["", ""]
        table.add_row(*row)
    console.print(table)
