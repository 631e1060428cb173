"""Ledgers of invented runs in which everything went well, for tests that put one fault into them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from app.commands.torture.ledger import Entry


@dataclass
class Run:
    """Two leads with `rounds` events each, one a second, sent to two subscriptions."""

    rounds: int = 5
    concurrency: int = 8
    lanes: int = 1
    entries: list[Entry] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("one", "two"):
            self.note("subscription", 0, name=name, concurrency=self.concurrency, lanes=self.lanes)
        for position in range(1, 2 * self.rounds + 1):
            lead, version, at = f"lead_{position % 2}", (position + 1) // 2, float(position)
            event = {"event": f"evt_{position}", "lead": lead, "position": position, "body": f"b{position}"}
            self.note("acknowledged", at, key=f"{lead}@{version}")
            self.note("committed", 900, **event, type="lead.updated", keys=[f"{lead}@{version}"])
            self.note("stored", 900, event=event["event"])
            self.note("fed", at, event=event["event"])
            for name in ("one", "two"):
                self.take(name, position, at)

    def note(self, what: str, at: float, **members: Any) -> None:
        self.entries.append({"what": what, "at": at, **members})

    def take(self, name: str, position: int, at: float, **members: Any) -> None:
        """The subscription's receiver answers 2xx to the event."""
        self.note(
            "received",
            at,
            **{
                "to": name,
                "event": f"evt_{position}",
                "lead": f"lead_{position % 2}",
                "position": position,
                "body": f"b{position}",
                "taken": True,
                "replay": None,
                "signed": True,
                **members,
            },
        )

    def disturb(self, at: float, until: float | None = None) -> None:
        self.note("disturbed", at, until=at if until is None else until, kind="kill", process="dispatch 1")

    def without(self, what: str, **members: Any) -> list[Entry]:
        """The entries but those of this kind with these members."""
        return [
            entry
            for entry in self.entries
            if entry["what"] != what or any(entry[name] != value for name, value in members.items())
        ]

    def replay(self, first: int, last: int, failed: int = 0, state: str = "done") -> None:
        self.note("replay", 900, to="one", replay="rpl_1", first=first, last=last, failed=failed, state=state)
