"""Whether a stored value names a person who was erased."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import quote, quote_plus

import orjson

SHORTEST: Final = 6  # a text that is shorter, such as an id 4711, stands in many bodies by chance
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Sought:
    """Identities, and texts that name somebody wherever they stand: in lower case, and as forms and JSON write them."""

    identities: frozenset[Key]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, stored: Sequence[str]) -> Self:
        """Of what erasures keep (`written`), of several together."""
        known = [orjson.loads(one) for one in stored]
        identities = frozenset((kind, space, value) for one in known for kind, space, value in one["identities"])
        found = {value for _, _, value in identities} | {text for one in known for text in one["texts"]}
        ways = {way(text) for text in found if len(text) >= SHORTEST for way in WAYS}
        return cls(identities, tuple(sorted(way.lower() for way in ways)))

    def is_named_by(self, mapped: Mapping[str, Any] | None) -> bool:
        """Whether a mapped item has one of the identities."""
        return any(
            (kind, space, value) in self.identities for kind, space, value, _ in (mapped or {}).get("identities", ())
        )

    def stands_in(self, text: str) -> bool:
        """Whether a text names somebody."""
        searched = text.lower()
        return any(one in searched for one in self.texts)


def _as_json(text: str) -> str:
    return orjson.dumps(text).decode()[1:-1]


def _as_ascii_json(text: str) -> str:
    return "".join(letter if letter.isascii() else f"\\u{ord(letter):04x}" for letter in _as_json(text))


WAYS: Final = (str, quote, quote_plus, _as_json, _as_ascii_json)


def written(identities: Sequence[Key], texts: Sequence[str]) -> str:
    """What an erasure keeps, encrypted, until its steps are done."""
    return orjson.dumps({"identities": identities, "texts": texts}).decode()
