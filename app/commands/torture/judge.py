"""Which promises a ledger shows to be broken. Pure: it reads what was noted, and asks nobody.

Bounds are those of docs/guarantees.md: after each disturbance of the dispatch processes a subscription gets at most
`concurrency` events once more, and 64 of each lane.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from app.commands.torture.ledger import Entry

UNRECORDED: Final = 64  # deliveries of a lane that may be unwritten when a process ends, besides those in flight
ON_THE_WIRE_SECONDS: Final = 10.0  # how long after a disturbance a request that was sent before it may be answered
SENT: Final = "lead."  # the types that every subscription of a run gets


class Violation(NamedTuple):
    rule: str
    text: str


@dataclass(slots=True)
class Story:
    """The lines of a ledger by what they say. `committed` and `dead` are those that were read at the end."""

    subscriptions: dict[str, Entry] = field(default_factory=dict)
    acknowledged: list[Entry] = field(default_factory=list)
    received: list[Entry] = field(default_factory=list)
    disturbed: list[Entry] = field(default_factory=list)
    fed: list[Entry] = field(default_factory=list)
    committed: dict[str, Entry] = field(default_factory=dict)
    stored: list[Entry] = field(default_factory=list)
    dead: set[tuple[str, int]] = field(default_factory=set)
    replays: list[Entry] = field(default_factory=list)
    wrong: list[Entry] = field(default_factory=list)

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Story:
        story = cls()
        for entry in entries:
            match entry["what"]:
                case "subscription":
                    story.subscriptions[entry["name"]] = entry
                case "committed":
                    story.committed[entry["event"]] = entry
                case "dead":
                    story.dead.add((entry["to"], entry["position"]))
                case "replay":
                    story.replays.append(entry)
                case "acknowledged" | "received" | "disturbed" | "fed" | "stored" | "wrong" as what:
                    getattr(story, what).append(entry)
                case _:
                    pass  # for people who read the file
        return story

    def wanted(self) -> dict[str, Entry]:
        """The committed events that each subscription has to get."""
        return {event: entry for event, entry in self.committed.items() if entry["type"].startswith(SENT)}

    def taken(self) -> dict[tuple[str, str | None], list[Entry]]:
        """The requests that were answered 2xx, by subscription and replay (None: live), in their order."""
        found: dict[tuple[str, str | None], list[Entry]] = defaultdict(list)
        for entry in self.received:
            if entry["taken"]:
                found[entry["to"], entry["replay"]].append(entry)
        return found


def judge(entries: Iterable[Entry]) -> list[Violation]:
    """Every violation that the ledger shows."""
    story = Story.of(entries)
    return [Violation(name, text) for name, rule in RULES.items() for text in rule(story)]


def not_committed(story: Story) -> Iterator[str]:
    """G1: what an answer of the API acknowledged is in the log. `key` names a lead at a version, or an activity."""
    known = {key for entry in story.committed.values() for key in entry["keys"]}
    for entry in story.acknowledged:
        if entry["key"] not in known:
            yield f"{entry['key']} was acknowledged at {entry['at']:.1f} s, and no event has it"


def lost(story: Story) -> Iterator[str]:
    """G1, G2: each event was answered 2xx by each receiver, or is a dead delivery."""
    wanted, taken = story.wanted(), story.taken()
    for name in story.subscriptions:
        got = {entry["event"] for entry in taken[name, None]}
        for event, entry in wanted.items():
            if event not in got and (name, entry["position"]) not in story.dead:
                yield f"{name}: {event} at position {entry['position']} was never taken"


def phantom(story: Story) -> Iterator[str]:
    """G1: nothing is sent that was not committed."""
    for name, event in sorted({(entry["to"], entry["event"]) for entry in story.received}):
        if event not in story.committed:
            yield f"{name}: {event} was received and is not in the log"


def disordered(story: Story) -> Iterator[str]:
    """G3: of each lead, an event is taken for the first time only after those before it. Dead ones are left out."""
    for (name, replay), entries in story.taken().items():
        newest: dict[str, int] = {}
        seen: set[str] = set()
        for entry in entries:
            event, position = entry["event"], entry["position"]
            if event in seen or (name, position) in story.dead:
                continue
            seen.add(event)
            if position < newest.get(entry["lead"], 0):
                yield (
                    f"{_place(name, replay)}: {event} of {entry['lead']} at position {position} was taken at"
                    f" {entry['at']:.1f} s, after position {newest[entry['lead']]}"
                )
            newest[entry["lead"]] = max(position, newest.get(entry["lead"], 0))


class Repeat(NamedTuple):
    """An event that was taken twice, with the instants of the first and the second time."""

    first: float
    again: float
    event: str


def repeated(story: Story) -> Iterator[str]:
    """G2: an event is taken twice only around a disturbance; `concurrency` and 64 of each lane for each of them."""
    for (name, replay), entries in story.taken().items():
        subscription = story.subscriptions[name]
        room = subscription["concurrency"] + UNRECORDED * subscription["lanes"]
        for repeat in unexplained(repeats(entries), story.disturbed, room):
            yield (
                f"{_place(name, replay)}: {repeat.event} was taken at {repeat.first:.1f} s and at {repeat.again:.1f} s,"
                f" and no disturbance has room for it ({room} each)"
            )


def repeats(entries: Sequence[Entry]) -> list[Repeat]:
    """The repeats among requests that were taken: each with the time before it."""
    before: dict[str, float] = {}
    found = list[Repeat]()
    for entry in entries:
        if (first := before.get(entry["event"])) is not None:
            found.append(Repeat(first, entry["at"], entry["event"]))
        before[entry["event"]] = entry["at"]
    return found


def unexplained(repeats: Sequence[Repeat], disturbed: Sequence[Entry], room: int) -> list[Repeat]:
    """The repeats that remain when each disturbance explains at most `room` of those around it, the earliest first."""
    left = sorted(repeats, key=lambda repeat: repeat.again)
    for one in sorted(disturbed, key=lambda entry: entry["at"]):
        until = one["until"] + ON_THE_WIRE_SECONDS
        explained = set([each for each in left if each.first <= until and each.again >= one["at"]][:room])
        left = [each for each in left if each not in explained]
    return left


def altered(story: Story) -> Iterator[str]:
    """G5, G7: an event has one body, that of the feed, and its signature verifies."""
    told: set[tuple[str, str]] = set()
    for entry in story.received:
        event, committed = entry["event"], story.committed.get(entry["event"])
        if not entry["signed"] and (event, "signature") not in told:
            told.add((event, "signature"))
            yield f"{entry['to']}: the signature of {event} does not verify"
        if committed is not None and entry["body"] != committed["body"] and (event, "body") not in told:
            told.add((event, "body"))
            yield f"{entry['to']}: {event} was sent with another body than the feed has"


def feed(story: Story) -> Iterator[str]:
    """G6: a reader of the feed got each event of the table once, in the order of the positions."""
    got = [entry["event"] for entry in story.fed]
    stored = {entry["event"] for entry in story.stored}
    for event in sorted(stored ^ set(story.committed)):
        yield f"{event} is in the {'table' if event in stored else 'feed'} only"
    for event in sorted(set(story.committed) - set(got)):
        yield f"{event} was not read from the feed while it grew"
    for event, times in Counter(got).items():
        if times > 1 or event not in story.committed:
            yield f"{event} was read from the feed {times} times; it is {'' if event in stored else 'not '}in the table"
    positions = [story.committed[event]["position"] for event in got if event in story.committed]
    if positions != sorted(positions):
        yield "the feed was not in the order of the positions"


def replays(story: Story) -> Iterator[str]:
    """A replay ends, and sends each event of its range once more, but for those that it counts as failed."""
    wanted, taken = story.wanted(), story.taken()
    for entry in story.replays:
        name, replay = entry["to"], entry["replay"]
        if entry["state"] != "done":
            yield f"{_place(name, replay)} is {entry['state']}"
            continue
        of_range = {event for event, each in wanted.items() if entry["first"] <= each["position"] <= entry["last"]}
        missed = of_range - {each["event"] for each in taken[name, replay]}
        if len(missed) > entry["failed"]:
            yield f"{_place(name, replay)}: {len(missed)} events were not sent, {entry['failed']} of them failed"


def _place(name: str, replay: str | None) -> str:
    return name if replay is None else f"{name}, {replay}"


def told(story: Story) -> Iterator[str]:
    """What the run itself found: an unexpected answer, a process that ended, `verify`, no end of the work."""
    return (entry["text"] for entry in story.wrong)


RULES: Final = {
    "acknowledged is committed": not_committed,
    "nothing is lost": lost,
    "nothing is sent that is not committed": phantom,
    "each lead in order": disordered,
    "repeats within the bound": repeated,
    "one body, signed": altered,
    "the feed is complete": feed,
    "replays are complete": replays,
    "answers, processes, verify": told,
}


def checked(entries: Sequence[Entry]) -> dict[str, int]:
    """How much each rule has looked at."""
    story = Story.of(entries)
    wanted, taken = story.wanted(), story.taken()
    again = sum(len(repeats(each)) for each in taken.values())
    firsts = sum(len({entry["event"] for entry in each}) for each in taken.values())
    return dict(
        zip(
            RULES,
            (
                len(story.acknowledged),
                len(wanted) * len(story.subscriptions),
                len({(entry["to"], entry["event"]) for entry in story.received}),
                firsts,
                again,
                len(story.received),
                len(story.fed),
                len(story.replays),
                len(story.wrong),
            ),
            strict=True,
        )
    )
