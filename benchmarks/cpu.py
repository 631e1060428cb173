"""CPU time and memory of process trees, read from /proc."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

MIB = 1024 * 1024


def tree(pid: int) -> Iterator[psutil.Process]:
    """A process and all that live below it."""
    try:
        root = psutil.Process(pid)
        yield root
        yield from root.children(recursive=True)
    except psutil.NoSuchProcess:
        return


def cpu_seconds(pid: int) -> float:
    """What a tree has used so far, user and system; children that ended and were waited for count too."""
    used = 0.0
    for process in tree(pid):
        try:
            spent = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used += spent.user + spent.system + spent.children_user + spent.children_system
    return used


def memory_mib(pid: int) -> float:
    """Resident memory of a tree."""
    used = 0
    for process in tree(pid):
        try:
            used += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return used / MIB


def peak_mib(pid: int) -> float:
    """The most that each process of a tree has held, summed."""
    peak = 0.0
    for process in tree(pid):
        try:
            with open(f"/proc/{process.pid}/status") as status:
                found = next((line for line in status if line.startswith("VmHWM:")), "VmHWM: 0 kB")
        except OSError:
            continue
        peak += int(found.split()[1]) / 1024
    return peak


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of CPU and of the clock between two looks."""

    app: float
    pg: float
    seconds: float


class Meter:
    """Reads two trees when it is made and again at `spent`."""

    def __init__(self, app: int, pg: int) -> None:
        self.app, self.pg = app, pg
        self.began = time.perf_counter(), cpu_seconds(app), cpu_seconds(pg)

    def spent(self) -> Spent:
        began, app, pg = self.began
        return Spent(cpu_seconds(self.app) - app, cpu_seconds(self.pg) - pg, time.perf_counter() - began)
