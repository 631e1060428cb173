"""A fault of a policy document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Fault:
    """`place` is a JSON pointer into the document ("" is the whole); a warning does not make a policy invalid."""

    place: str
    code: str
    detail: str
    kind: Literal["fault", "warning"] = "fault"

    @property
    def entry(self) -> dict[str, str]:
        """As an entry of the `errors` of a problem: `field` is named as everywhere, `place` is a JSON pointer."""
        return {
            "field": field_of(self.place) or "document",
            "place": self.place,
            "code": self.code,
            "detail": self.detail,
        }


def field_of(place: str) -> str:
    """The member that a JSON pointer points to, as problems name it: its steps with dots between them."""
    return place.strip("/").replace("/", ".").replace("~1", "/").replace("~0", "~")


def escaped(name: str) -> str:
    """A free name as a step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")
