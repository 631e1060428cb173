"""Which members of a body the mapping has read."""

from __future__ import annotations

from typing import Any


class Reading:
    """Notes reads by the identity of the object read from; keeps those objects, so that no address is used twice."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[object, set[str]]] = {}
        self.noting = True

    def note(self, container: object, key: str) -> None:
        """This member of this object has been read."""
        if not self.noting:
            return
        known = self._read.get(id(container))
        if known is None:
            self._read[id(container)] = (container, {key})
        else:
            known[1].add(key)

    def has_read(self, container: object, key: str) -> bool:
        """Whether this member of this object was read."""
        return key in self._read.get(id(container), (None, ()))[1]

    def rest(self, value: Any) -> Any:
        """What was not read of an object, empty answers left out; None when nothing is left.

        Of a member that was read only in parts, the other parts stay.
        """
        if not isinstance(value, dict):
            return None
        kept: dict[str, Any] = {}
        for key, member in value.items():
            left = self._rest_of_read(member) if self.has_read(value, key) else member
            if left not in (None, "", [], {}):
                kept[key] = left
        return kept or None

    def _rest_of_read(self, member: Any) -> Any:
        if isinstance(member, dict):
            return self.rest(member) if id(member) in self._read else None
        if isinstance(member, list) and any(id(element) in self._read for element in member):
            return [left for element in member if (left := self.rest(element))]
        return None
