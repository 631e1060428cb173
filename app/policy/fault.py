"""A fault of a policy document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, Literal

ABSENT: Final = "absent"  # in the context of an error of Pydantic: its place is a member that may not be there


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


def unknown(place: str, what: str, name: object, known: Iterable[str | None], kind: str = "") -> Fault:
    """The fault of a name that is not known. `kind`: what the message says before `what`, such as `open `."""
    return Fault(place, f"unknown_{what}", f"there is no {kind}{what} `{name}`{did_you_mean(name, known)}")


def did_you_mean(written: object, known: Iterable[str | None]) -> str:
    """The end of a message about a name that is not known: the nearest one that is, if any is near."""
    found = nearest(written, known)
    return f"; did you mean `{found}`?" if found is not None else ""


def nearest(written: object, known: Iterable[str | None]) -> str | None:
    """The name that is nearest to what was written; None where none is near."""
    names = {name.casefold(): name for name in known if name is not None}
    alike = get_close_matches(str(written).strip().casefold(), names, 1)
    return names[alike[0]] if alike else None


def field_of(place: str) -> str:
    """The member that a JSON pointer points to, as problems name it: its steps with dots between them."""
    return place.strip("/").replace("/", ".").replace("~1", "/").replace("~0", "~")


def escaped(name: str) -> str:
    """A free name as a step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def place_in(written: Any, fault: Mapping[str, Any], location: Sequence[int | str]) -> str:
    """The dotted place of an error of Pydantic in what was written, without the tags that Pydantic adds for the types
    of a union and for the name of a member."""
    parts = []
    may_be_absent = fault["type"] == "missing" or ABSENT in (fault.get("ctx") or {})
    for part in location:
        is_member = isinstance(written, Mapping) and part in written
        if is_member or (isinstance(written, list) and isinstance(part, int) and part < len(written)):
            written = written[part]
        elif not may_be_absent or part != location[-1]:
            continue
        parts.append(str(part))
    return ".".join(parts)
