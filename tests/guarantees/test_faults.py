"""The faults of a torture depend on its seed only."""

from __future__ import annotations

from collections import Counter

import pytest

from app.commands.torture.faults import LEASE_SECONDS, MEAN_SECONDS, PARTS, schedule


@pytest.mark.parametrize("seed", [0, 1, 2026])
def test_the_same_seed_gives_the_same_faults(seed: int) -> None:
    assert schedule(seed, 600) == schedule(seed, 600)
    assert schedule(seed, 600) != schedule(seed + 1, 600)


def test_a_longer_run_begins_with_the_faults_of_a_shorter_one() -> None:
    short = schedule(7, 60)
    assert short == schedule(7, 600)[: len(short)]
    assert all(0 < fault.at < 60 for fault in short)


def test_ten_minutes_have_every_kind_of_fault_in_its_proportion() -> None:
    faults = schedule(1, 100_000)
    assert len(faults) == pytest.approx(100_000 / MEAN_SECONDS, rel=0.05)
    found = Counter((fault.kind, fault.target) for fault in faults)
    for kind, parts in PARTS.items():
        assert found[kind] / len(faults) == pytest.approx(parts / sum(PARTS.values()), rel=0.1)
    assert set(PARTS) == {(fault.kind, fault.target) for fault in schedule(1, 600)}


def test_only_a_suspended_process_stops_for_longer_than_a_lease() -> None:
    for fault in schedule(3, 20_000):
        assert (fault.lasts > LEASE_SECONDS) == (fault.kind == "suspend")
        assert (fault.lasts == 0) == (fault.kind in ("kill", "restart", "replay", "lanes"))
