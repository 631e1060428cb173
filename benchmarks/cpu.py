"""CPU time and memory of process trees, read from /proc."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from benchmarks.figures import Run, per_operation_us

TICKS: Final = os.sysconf("SC_CLK_TCK")
PAGE: Final = os.sysconf("SC_PAGE_SIZE")
MIB: Final = 1024 * 1024
PARENT, USER, CHILDREN_SYSTEM, RESIDENT = 1, 11, 14, 21  # places in /proc/PID/stat, counted from the state


def tree(pid: int) -> dict[int, list[str]]:
    """A process and its descendants: the fields of /proc/PID/stat of each, from the state on."""
    found: dict[int, list[str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found[int(folder.name)] = (folder / "stat").read_text().rpartition(") ")[2].split()
        except OSError:  # the process has ended meanwhile
            continue
    members = {pid}
    for process in sorted(found):
        if int(found[process][PARENT]) in members:
            members.add(process)
    return {process: found[process] for process in members if process in found}


def cpu_seconds(pid: int) -> float:
    """User and system CPU time of a process tree; includes children that have ended and were waited for."""
    return sum(sum(map(int, stat[USER : CHILDREN_SYSTEM + 1])) for stat in tree(pid).values()) / TICKS


def memory_mib(pid: int) -> float:
    """Resident memory of a process tree."""
    return sum(int(stat[RESIDENT]) for stat in tree(pid).values()) * PAGE / MIB


def peak_mib(pid: int) -> float:
    """The sum of the peak resident memory of each process of a tree."""
    peak = 0
    for process in tree(pid):
        try:
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
        except OSError:
            continue
        peak += sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return peak / 1024


class Meter:
    """Measures the CPU time of two process trees between its creation and `run`."""

    def __init__(self, app: int, pg: int) -> None:
        self.app, self.pg = app, pg
        self.began = time.perf_counter(), cpu_seconds(app), cpu_seconds(pg)

    def run(
        self, count: int, p50_ms: float | None = None, p99_ms: float | None = None, seconds: float | None = None
    ) -> Run:
        """The cost since creation, per operation; `seconds` if the operations took less time than has elapsed."""
        began, app, pg = self.began
        app_us = per_operation_us(cpu_seconds(self.app) - app, count)
        pg_us = per_operation_us(cpu_seconds(self.pg) - pg, count)
        elapsed = time.perf_counter() - began if seconds is None else seconds
        return Run(count, elapsed, p50_ms, p99_ms, app_us, pg_us, peak_mib(self.app))
