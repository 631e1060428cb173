"""Which faults occur when: a pure function of the seed, so that a run can be repeated."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["kill", "pause", "suspend", "restart", "hold", "replay", "lanes"]

MEAN_SECONDS: Final = 3.5  # between two faults
LEASE_SECONDS: Final = 30.0
# How often each kind occurs, in parts, and whom it may hit. `kill`: kill -9 of a process. `pause`: SIGSTOP for less
# than a lease, then SIGCONT; `suspend`: for longer than a lease. `restart`: PostgreSQL, with `-m immediate`. `hold`:
# a subscription is paused, and resumed later. `replay`: its latest events are sent once more. `lanes`: it is served by
# another number of lanes.
PARTS: Final[dict[tuple[Kind, str], int]] = {
    ("kill", "api"): 20,
    ("kill", "work"): 12,
    ("kill", "dispatch"): 16,
    ("kill", "every dispatch"): 8,  # all processes of the role at once: one of them may serve every lane
    ("pause", "api"): 5,
    ("pause", "work"): 4,
    ("pause", "dispatch"): 6,
    ("suspend", "dispatch"): 4,
    ("suspend", "every dispatch"): 2,
    ("restart", "postgresql"): 8,
    ("hold", "subscription"): 8,
    ("replay", "subscription"): 7,
    ("lanes", "subscription"): 10,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """`at`, `lasts`: seconds. `number` chooses one of those that the target names."""

    at: float
    kind: Kind
    target: str
    number: int
    lasts: float


def schedule(seed: int, seconds: float) -> list[Fault]:
    """The faults of a run of so many seconds, in the order of their beginning. The last ones may end after it."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    faults: list[Fault] = []
    at = chance.expovariate(1 / MEAN_SECONDS)
    while at < seconds:
        [(kind, target)] = chance.choices(list(PARTS), list(PARTS.values()))
        faults.append(Fault(at, kind, target, chance.randrange(1000), _length(kind, chance)))
        at += chance.expovariate(1 / MEAN_SECONDS)
    return faults


def _length(kind: Kind, chance: random.Random) -> float:
    match kind:
        case "suspend":
            return LEASE_SECONDS + chance.uniform(3, 10)
        case "pause":
            return chance.uniform(0.2, 6)
        case "hold":
            return chance.uniform(0.5, 15)
        case _:
            return 0.0
