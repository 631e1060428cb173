"""What every system records: events of leads in turn, each with a mark by which the receiver knows it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

TEXT = "x" * 700


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a lead; `version` counts the changes of this lead from 1."""

    lead: int
    version: int

    @property
    def mark(self) -> str:
        return f"{self.lead}-{self.version}"

    @property
    def data(self) -> dict[str, object]:
        return {"changed": [], "mark": self.mark, "text": TEXT}

    @property
    def body(self) -> str:
        """What a rival sends: an envelope round the same data as Baton's."""
        head = {"id": f"evt_{self.mark}", "type": "lead.updated", "lead_id": self.lead, "lead_version": self.version}
        return json.dumps({**head, "data": self.data})


@dataclass(frozen=True, slots=True)
class Order:
    """Record the events from number `first` on, `together` in a transaction, every so many seconds.

    With `timed` each transaction also writes its marks into the table `recorded`, whose rows have the commit's time.
    """

    first: int
    count: int
    leads: int = 1000
    together: int = 1
    every_seconds: float = 0.0
    timed: bool = False

    def batches(self) -> Iterator[list[Event]]:
        for start in range(self.first, self.first + self.count, self.together):
            end = min(start + self.together, self.first + self.count)
            yield [Event(n % self.leads, n // self.leads + 1) for n in range(start, end)]


def disorder(marks: Iterator[str]) -> int:
    """How many events came after a later one of their lead; `marks` in the order of arrival."""
    newest: dict[str, int] = {}
    late = 0
    for mark in marks:
        lead, _, number = mark.partition("-")
        version = int(number)
        late += version < newest.get(lead, 0)
        newest[lead] = max(version, newest.get(lead, 0))
    return late
