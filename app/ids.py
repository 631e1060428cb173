"""Public ids: a prefix, `_`, and 26 characters of lower-case Crockford base32 of a UUIDv7 (the TypeID form).

In Python and in the database an id is a `uuid.UUID`; the prefix exists only in requests and responses.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from uuid import UUID

from uuid_utils.compat import uuid7

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
# Two letters at a time, for speed: every event contains several ids.
PAIRS: Final = [first + second for first in ALPHABET for second in ALPHABET]
SHIFTS: Final = range(120, -1, -10)
# To the digits of base 32 that `int` reads; to a star, which is none, for every other letter.
DIGITS: Final = bytes(
    b"0123456789abcdefghijklmnopqrstuv"[ALPHABET.index(chr(code))] if chr(code) in ALPHABET else ord("*")
    for code in range(256)
)
LENGTH: Final = 26

PREFIXES: Final = {
    "lead": "lead",
    "journey": "jrn",
    "submission": "sub",
    "source": "src",
    "import": "imp",
    "transition": "trn",
    "conversion": "cnv",
    "account": "acc",
    "contact": "con",
    "opportunity": "opp",
    "policy": "pol",
    "backtest": "bkt",
    "subscription": "whs",
    "replay": "rpl",
    "event": "evt",
    "user": "usr",
    "key": "key",
    "tenant": "ten",
    "activity": "act",
    "transaction": "tx",
    "duplicate": "dup",
    "audit": "aud",
    "confirmation": "cnf",
    "withdrawal_link": "wdl",
}


def new_id() -> UUID:
    """A UUIDv7: ids sort by creation time, to the millisecond."""
    return uuid7()


@lru_cache(maxsize=4096)  # an id is shown several times: in each event of a change and in the answer
def show(kind: str, value: UUID) -> str:
    """The public form of an id: `show("lead", …)` → `lead_01h…`."""
    number = value.int
    return f"{PREFIXES[kind]}_{''.join([PAIRS[number >> shift & 1023] for shift in SHIFTS])}"


def shown(kind: str, value: UUID | None) -> str | None:
    return None if value is None else show(kind, value)


def read(kind: str, text: str) -> UUID:
    """Parses a public id. Raises ValueError for any text that `show` would not produce."""
    prefix, _, suffix = text.rpartition("_")
    if prefix != PREFIXES[kind] or len(suffix) != LENGTH or suffix[0] > "7":
        raise ValueError(f"not a public id of kind {kind}")
    return UUID(int=int(suffix.encode("ascii").translate(DIGITS), 32))
