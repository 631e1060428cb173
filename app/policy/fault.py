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


def escaped(name: str) -> str:
    """A free name as a step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")
