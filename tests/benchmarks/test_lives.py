"""The history that reports are measured on has the shape that its figures are told of."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from benchmarks.lives import COLUMNS, DAYS, NEXT, made

UNTIL = datetime(2026, 11, 29, tzinfo=UTC)
POLICY = UUID(int=1)
OWNERS = [UUID(int=2), UUID(int=3)]


def test_a_lead_has_one_journey_in_ten_more_and_five_transitions() -> None:
    counts = Counter({table: len(found) for table, found in one_part(5_000).items()})
    assert counts["leads"] == 5_000
    assert 1.05 < counts["journeys"] / counts["leads"] <= 1.1
    assert 4.8 < counts["transitions"] / counts["leads"] < 5.3
    assert counts["conversions"] == counts["opportunities"] > 0


def test_every_row_has_a_value_for_every_column() -> None:
    for table, found in one_part(200).items():
        assert {len(row) for row in found} == {len(COLUMNS[table].split())}, table


def test_journeys_move_along_the_edges_forward_in_time_and_within_the_history() -> None:
    allowed = {(start, to) for start, steps in NEXT.items() for to, _ in steps}
    of_journey: dict[UUID, list[tuple[str, datetime]]] = {}
    for row in one_part(500)["transitions"]:
        of_journey.setdefault(row[0], []).append((row[5], row[8]))
    for steps in of_journey.values():
        assert steps[0][0] == "inquiry"
        assert {(a, b) for (a, _), (b, _) in pairwise(steps)} <= allowed
        assert all(UNTIL - timedelta(days=DAYS) <= at < UNTIL for _, at in steps)
        assert [at for _, at in steps] == sorted(at for _, at in steps)


def test_no_lead_has_two_open_journeys() -> None:
    still_open = [row[1] for row in one_part(2_000)["journeys"] if row[8] is None]
    assert still_open
    assert len(still_open) == len(set(still_open))


def test_two_runs_make_the_same_rows() -> None:
    assert one_part(100) == one_part(100)


def one_part(count: int) -> dict[str, list[tuple[Any, ...]]]:
    (found,) = made(count, UNTIL, POLICY, OWNERS)
    return dict(found)
